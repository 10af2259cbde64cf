"""From one scan and its mask to what the report says of each label."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry, same_grid
from sliceweave.pipelines.reading import Gridded, Scan, read_scan
from sliceweave.pipelines.rows import LabelResult
from sliceweave.pipelines.screen import Screen
from sliceweave.pipelines.volumetry import Measurement, measure_labels, volume_ml

logger = logging.getLogger(__name__)

Mask = NDArray[np.uint8]


def turned(scan: Scan, mask: Mask, ras_axis: int) -> tuple[Scan, Mask]:
    """Scan and mask with the array axis nearest to a patient axis last: the file's own order of axes is left behind."""
    axes = scan.geometry.axes_ending_in(ras_axis)
    view = replace(scan, voxels=scan.voxels.transpose(axes), geometry=scan.geometry.permuted(axes))
    return view, mask.transpose(axes)


def label_results(
    mask: NDArray[np.unsignedinteger[Any]],
    scan: Gridded,
    labels: Mapping[int, str],
    reference_ml: Mapping[int, float],
    middle_r_mm: float | None = None,
) -> list[LabelResult]:
    """What is measured of each label of the mask (I, J, K) on its scan; an empty one measures 0.0 ml.

    Args:
        middle_r_mm: R coordinate of the body part's middle; None where it has no two sides.
    """
    measurements = measure_labels(mask, scan.geometry, labels, middle_r_mm)
    return [
        LabelResult(
            name,
            without_side_if_unknown(measurements[value], scan, middle_r_mm),
            reference_volume_ml=reference_ml.get(value),
        )
        for value, name in labels.items()
    ]


def with_slice_scores(
    results: Sequence[LabelResult], scores: NDArray[np.float64] | None, labels: Mapping[int, str]
) -> list[LabelResult]:
    """The results with the scores (labels, K) of their slices; without, where there are none of so many slices."""
    if scores is None or any(scores.shape[1] != len(result.measurement.areas_mm2) for result in results):
        return list(results)
    return [replace(result, slice_scores=scores[value - 1]) for value, result in zip(labels, results, strict=True)]


def without_side_if_unknown(measurement: Measurement, scan: Gridded, middle_r_mm: float | None) -> Measurement:
    """The measurement, less its side where there is no middle, or no header code that says how the patient lies."""
    codes = (int(scan.header["qform_code"]), int(scan.header["sform_code"]))
    return measurement if any(codes) and middle_r_mm is not None else replace(measurement, side="")


def reference_volumes_ml(label: str | None, scan: Scan, labels: Mapping[int, str]) -> dict[int, float]:
    """Volume of each label of a reference mask on the scan's geometry.

    With one label, its value in the mask may be any, but must be the only one beside zero. Empty, with a line in the
    log, if the mask does not fit the scan or holds values that are no labels.
    """
    if not label:
        return {}
    try:
        reference = read_scan(Path(label))
    except InputError as error:
        logger.warning("no reference volume: %s", error)
        return {}
    if not same_grid(reference.geometry, scan.geometry):
        logger.warning("no reference volume: %s does not lie on the grid of its image", label)
        return {}
    found = set(pd.unique(reference.voxels.ravel("K")).tolist()) - {0}  # sorted, they would need twice the memory
    if len(labels) == 1 and len(found) <= 1:
        return {value: volume_ml(reference.voxels, scan.geometry) for value in labels}
    if unknown := sorted(found - {*labels}):
        logger.warning("no reference volume: %s holds %s, expected 0 and %s", label, unknown[:5], sorted(labels))
        return {}
    return {value: volume_ml(reference.voxels == value, scan.geometry) for value in labels}


def certainty_flags(unsure_voxels: int, mask: Mask, geometry: Geometry) -> tuple[str, ...]:
    """`high_uncertainty`: more than 1 ml is neither clearly lesion nor clearly not, and over half the lesion."""
    is_high = unsure_voxels * geometry.voxel_ml > 1.0 and unsure_voxels > 0.5 * np.count_nonzero(mask)
    return ("high_uncertainty",) if is_high else ()


def title_of(study_id: str, results: Sequence[LabelResult], screen: Screen) -> str:
    """The headline of a picture: the study and its volumes, or the largest areas of a video if they are known."""

    def amount(measurement: Measurement) -> str:
        if not screen.is_video:
            return f"{measurement.volume_ml:.1f} ml"
        return f"{measurement.max_area_mm2 / 100:.1f} cm² at most" if screen.has_lengths else "(pixel size unknown)"

    return f"{study_id}: " + ", ".join(f"{r.label} {amount(r.measurement)}" for r in results)
