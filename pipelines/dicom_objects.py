"""A mask as DICOM SEG and its measurements as DICOM SR (TID 1500), referring to the series they were made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    ReferencedSegment,
    SourceImageForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes

from sliceweave.pipelines.dicom_codes import category_of, procedure_of, type_of
from sliceweave.pipelines.dicom_source import Series
from sliceweave.pipelines.label_maps import Labels
from sliceweave.pipelines.volumetry import Measurement as Measured

MAKER = "sliceweave"
_SEG_NUMBER, _SR_NUMBER = 9001, 9002
_MOST_TEXT = 64  # characters in a DICOM long string
_UNICODE = "ISO_IR 192"  # names of labels may be in any script
_MOST_IN_BYTES = 255


@dataclass(frozen=True)
class Drawn:
    """What the mask marks, and who drew it.

    Attributes:
        labels: names by value, in the order of the segments.
        algorithm: name and version; None for a mask drawn by hand, or by nobody knows whom.
    """

    labels: Mapping[int, str]
    algorithm: tuple[str, str] | None = None


def segmentation(labels: Labels, series: Series, drawn: Drawn) -> Segmentation:
    """The mask (columns, rows, slices) as a binary segmentation, each frame at its slice's own place.

    Segment n is the n-th of the labels; an empty mask keeps all its frames, since a healthy study is a result.
    """
    numbers = np.zeros(int(labels.max()) + 1, np.uint8 if len(drawn.labels) <= _MOST_IN_BYTES else np.uint16)
    for number, value in enumerate(drawn.labels, start=1):
        if value < len(numbers):
            numbers[value] = number
    return Segmentation(
        source_images=series.slices,
        pixel_array=np.ascontiguousarray(numbers[labels].transpose(2, 1, 0)),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(number, name, drawn) for number, name in enumerate(drawn.labels.values(), start=1)
        ],
        omit_empty_frames=bool(labels.any()),
        series_number=_SEG_NUMBER,
        manufacturer_model_name=MAKER,
        software_versions=version(MAKER),
        device_serial_number="none",
        content_label="SEGMENTATION",
        series_description=f"{MAKER} segmentation",
        **_identity(),
    )


def measurement_report(found: Sequence[Measured], seg: Segmentation, series: Series, drawn: Drawn) -> ComprehensiveSR:
    """Volume of each label in cm³, and the axes of its largest lesion in mm, as an SR that refers to the segments."""
    device = DeviceObserverIdentifyingAttributes(uid=hd.UID(), name=MAKER, manufacturer_name=MAKER)
    context = ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    groups = [
        _group(one, _segment(number, one, seg, series), seg.get_segment_description(number), drawn)
        for number, one in enumerate(found, start=1)
    ]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=context),
        procedure_reported=procedure_of(str(series.slices[0].Modality)),
        imaging_measurements=groups,
    )
    return ComprehensiveSR(
        evidence=[*series.slices, seg],
        content=content,
        series_number=_SR_NUMBER,
        is_complete=True,
        series_description=f"{MAKER} measurements",
        **_identity(),
    )


def _identity() -> dict[str, Any]:
    uids = {"series_instance_uid": hd.UID(), "sop_instance_uid": hd.UID()}
    return {**uids, "instance_number": 1, "manufacturer": MAKER, "specific_character_set": _UNICODE}


def _description(number: int, name: str, drawn: Drawn) -> SegmentDescription:
    kind = hd.seg.SegmentAlgorithmTypeValues
    return SegmentDescription(
        segment_number=number,
        segment_label=_long_string(name),
        segmented_property_category=category_of(name),
        segmented_property_type=type_of(name),
        algorithm_type=kind.AUTOMATIC if drawn.algorithm else kind.MANUAL,
        algorithm_identification=_algorithm(drawn),
        tracking_uid=hd.UID(),
        tracking_id=_long_string(name),
    )


def _algorithm(drawn: Drawn) -> hd.AlgorithmIdentificationSequence | None:
    if drawn.algorithm is None:
        return None
    name, its_version = map(_long_string, drawn.algorithm)
    return hd.AlgorithmIdentificationSequence(name, codes.DCM.ArtificialIntelligence, its_version)


def _segment(number: int, measured: Measured, seg: Segmentation, series: Series) -> ReferencedSegment:
    """A segment and the slices it lies on; all slices where it is empty."""
    marked = [one for one, area_mm2 in zip(series.slices, measured.areas_mm2, strict=True) if area_mm2 > 0]
    images = [SourceImageForSegmentation(one.SOPClassUID, one.SOPInstanceUID) for one in marked or series.slices]
    return ReferencedSegment(seg.SOPClassUID, seg.SOPInstanceUID, number, source_images=images)


def _group(
    measured: Measured, segment: ReferencedSegment, described: SegmentDescription, drawn: Drawn
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    values = [Measurement(codes.SCT.Volume, measured.volume_ml, codes.UCUM.CubicCentimeter)]
    for lesion in measured.lesions[:1]:
        axes = (codes.SCT.LongAxis, lesion.tada.a_mm), (codes.SCT.ShortAxis, lesion.tada.b_mm)
        values += [Measurement(name, value, codes.UCUM.Millimeter) for name, value in axes]
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(described.tracking_uid, described.tracking_id),
        referenced_segment=segment,
        finding_type=described.segmented_property_type,
        finding_category=described.segmented_property_category,
        algorithm_id=AlgorithmIdentification(*drawn.algorithm) if drawn.algorithm else None,
        measurements=values,
    )


def _long_string(text: str) -> str:
    """As DICOM takes it: a backslash would end a value there."""
    return text.replace("\\", "/")[:_MOST_TEXT]
