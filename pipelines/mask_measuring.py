"""From one mask, and its image where there is one, to its rows of the report and its picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sliceweave.pipelines.bundles import labels_of
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.label_maps import WHITE, LabelMap, Labels, read_label_map
from sliceweave.pipelines.lettering import Picture
from sliceweave.pipelines.mask_sources import MaskStudy
from sliceweave.pipelines.measuring import label_results, title_of, turned
from sliceweave.pipelines.montage import montage
from sliceweave.pipelines.reading import Scan, read_scan
from sliceweave.pipelines.reference_volumes import References
from sliceweave.pipelines.rows import LabelResult, StudyFacts, StudyRows, study_rows
from sliceweave.pipelines.study_kind import StudyKind, study_kind

NO_IMAGE = "no_image"


@dataclass(frozen=True)
class MaskOptions:
    """How masks are measured.

    Attributes:
        task: whose label names, slice direction and checks apply; empty for masks of any kind, whose slices are those
            of the file.
        names: label names by value, in place of the task's.
        references: volumes to report beside the measured ones.
        needs_images: whether a study without image is flagged `no_image`.
        pictures: whether to draw the studies that have an image.
    """

    task: str = ""
    names: Mapping[int, str] = field(default_factory=dict)
    references: References = field(default_factory=References)
    needs_images: bool = False
    pictures: bool = True

    def label_names(self, values: Sequence[int]) -> dict[int, str]:
        """Names by value for a mask in which these values occur.

        All names that are given, then `label_<value>` for any other value: nothing in a mask goes unmeasured. One name
        stands for 255 too, if that is all there is. Without names an empty mask has `label_1`.
        """
        given = dict(self.names) or (labels_of(self.task) if self.task else {})
        if len(given) == 1 and list(values) == [WHITE]:
            return dict.fromkeys(values, *given.values())
        others = values if given else values or [1]
        return given | {value: f"label_{value}" for value in others if value not in given}

    def kind_of(self, label_map: LabelMap) -> StudyKind:
        """The task's kind, or one that looks at the slices as they lie in the file."""
        return study_kind(self.task) if self.task else StudyKind.of_file(label_map.geometry)


def parse_labels(text: str) -> dict[int, str]:
    """Label names by value from `1=femoral,2=tibial`; none from an empty text.

    Raises:
        InputError: anything else, or a value or name given twice.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    names = {int(value): name.strip() for value, _, name in pairs if value.strip().isdecimal() and int(value)}
    if len(names) < len(pairs) or len(set(names.values())) < len(pairs) or not all(names.values()):
        raise InputError(f"--labels is VALUE=NAME,… with values from 1 and names that differ, got '{text}'")
    return names


@dataclass(frozen=True, eq=False)
class MaskMeasurement:
    """One mask, measured, with what a picture of it needs."""

    study_id: str
    label_map: LabelMap
    scan: Scan | None
    kind: StudyKind
    results: Sequence[LabelResult]

    def rows(self, facts: StudyFacts) -> StudyRows:
        """Its rows of the report; without an image, those of its cells that need one are empty."""
        return self.kind.measurable(study_rows(facts, self.label_map.geometry, self.results), self.label_map)

    def picture(self) -> Picture | None:
        """The lesion slices with contours; None without an image."""
        if self.scan is None:
            return None
        screen = self.kind.screen(self.scan)
        title = title_of(self.study_id, self.results, screen)
        shown, voxels = _in_one_byte(self.label_map), self.kind.shown(self.scan)
        return montage(voxels, shown, screen, title, self.kind.shown_range(voxels))


def measure_study(study: MaskStudy, options: MaskOptions) -> tuple[MaskMeasurement, tuple[str, ...]]:
    """The measurement of a mask, and the flags that its image earns.

    Raises:
        InputError: mask or image cannot be used, or they do not lie on one grid.
    """
    label_map = read_label_map(study.mask, study.study_id)
    scan = read_scan(study.image, study.study_id) if study.image else None
    if scan is not None:
        label_map = label_map.on(scan.geometry)
        scan = Scan(scan.voxels, label_map.geometry, scan.header)
    kind = options.kind_of(label_map)
    names = options.label_names(label_map.values)
    is_named = bool(options.names or options.task)
    reference_ml = options.references.of(study.study_id, label_map, names, any_value=is_named)
    flags = kind.flags(scan) if scan else (NO_IMAGE,) if options.needs_images else ()
    view = label_map.seen_along(kind.slice_axis)
    shown = turned(scan, label_map.labels, kind.slice_axis)[0] if scan else None
    middle_r_mm = kind.middle_r_mm(scan) if scan else None
    results = label_results(view.labels, shown or view, names, reference_ml, middle_r_mm)
    return MaskMeasurement(study.study_id, view, shown, kind, results), flags


def _in_one_byte(label_map: LabelMap) -> Labels:
    """The labels as a picture holds them: those above 255 are counted through instead."""
    if label_map.labels.dtype == np.uint8:
        return label_map.labels
    ranks = np.searchsorted(label_map.values, label_map.labels) + 1
    return np.asarray(np.where(label_map.labels > 0, (ranks - 1) % 255 + 1, 0), np.uint8)
