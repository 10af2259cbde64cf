"""Studies annotated with LabelMe: head CT as PNG or JPG slices, echocardiography as frames."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles, broken
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.labelme import read_annotation
from sliceweave.pipelines.labelme_files import LabelledPicture, Study, by_study, labelled_pictures
from sliceweave.pipelines.labelme_masks import structure_mask
from sliceweave.pipelines.pictures import Picture, number_in, read_grey, read_luminance
from sliceweave.pipelines.slice_pictures import (
    PictureSeries,
    PictureSlice,
    Size,
    ct_grid,
    echo_grid,
    series_case,
    to_hu,
)
from sliceweave.pipelines.slice_spacing import spacing_table
from sliceweave.pipelines.tiles import HEAD_WINDOW_HU

log = logging.getLogger(__name__)

Voxels = Callable[[Picture], NDArray[np.generic]]
SeriesOf = Callable[[str, Sequence[PictureSlice]], PictureSeries]


def find_labelme_ct(files: SourceFiles, options: PrepareOptions) -> list[Case]:
    """Head CT of 8-bit slices in a folder by patient, or all in the root as `<patient>_<slice>`, with LabelMe files.

    A slice without a LabelMe file shows no hematoma. Missing numbers are gaps of the series.

    Raises:
        InputError: the user's window, spacing or names cannot be used.
    """
    entries = labelled_pictures(files)
    if not entries:
        return []
    window_hu = options.window_hu or HEAD_WINDOW_HU
    spacing = spacing_table(files, options)

    def series(patient: str, slices: Sequence[PictureSlice]) -> PictureSeries:
        return PictureSeries(slices, ct_grid(lambda: spacing.ct_mm(patient)), np.float32)

    studies = {study: group for study, group in by_study(entries, files.root).items() if _is_series(group)}
    return _cases(files, options, studies, lambda picture: to_hu(read_grey(picture), window_hu), series)


def find_labelme_echo(files: SourceFiles, options: PrepareOptions) -> list[Case]:
    """Ultrasound frames in a folder by patient with LabelMe files; frames without one are left out.

    Raises:
        InputError: the user's spacing or names cannot be used.
    """
    entries = labelled_pictures(files)
    labelled = [entry for entry in entries if entry.annotation]
    if not labelled:
        return []
    spacing = spacing_table(files, options)
    if len(labelled) < len(entries):
        log.info("left out %d of %d frames, which have no LabelMe file", len(entries) - len(labelled), len(entries))
        files.take(entry.path for entry in entries)

    def series(patient: str, slices: Sequence[PictureSlice]) -> PictureSeries:
        return PictureSeries(slices, echo_grid(spacing.of(patient).pixel_mm), np.uint8)

    return _cases(files, options, by_study(labelled, files.root), read_luminance, series)


def _is_series(group: Sequence[LabelledPicture]) -> bool:
    """Whether pictures are slices at all, and not what else lies about: annotated, or numbered."""
    return any(entry.annotation or any(map(str.isdigit, entry.path.stem)) for entry in group)


def _cases(
    files: SourceFiles,
    options: PrepareOptions,
    studies: Mapping[Study, Sequence[LabelledPicture]],
    voxels: Voxels,
    series: SeriesOf,
) -> list[Case]:
    names, conflict = _structure(studies, options.names)
    cases = []
    for study, group in studies.items():
        files.take(path for entry in group for path in (entry.path, entry.annotation) if path)
        study_id, patient = printable(study.study_id), printable(study.patient)
        try:
            _check_usable(group, conflict)
            slices = [_slice(entry, voxels, names) for entry in group]
        except InputError as error:
            cases.append(broken(study_id, str(error), patient))
            continue
        cases.append(series_case(study_id, patient, series(patient, slices)))
    return cases


def _structure(studies: Mapping[Study, Sequence[LabelledPicture]], wanted: Sequence[str]) -> tuple[frozenset[str], str]:
    """The labels that count, case-folded, and what to say where that is open.

    Raises:
        InputError: none of the names that the user gives is drawn.
    """
    counts = sum((Counter(entry.names) for group in studies.values() for entry in group), Counter[str]())
    drawn = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    names = frozenset(name.strip().casefold() for name in wanted)
    if names and counts and not names & counts.keys():
        raise InputError(f"expected shapes named {', '.join(wanted)}, got {drawn}; pass --names with those that count")
    conflict = "" if names or len(counts) < 2 else f"expected shapes of one name, got {drawn}; pass --names a,b"
    return names or frozenset(counts), conflict


def _check_usable(group: Sequence[LabelledPicture], conflict: str) -> None:
    """Raises InputError for the first problem of a patient's files, and where it is open which label counts."""
    for entry in group:
        if entry.problem or (conflict and entry.annotation):
            raise InputError(entry.problem or conflict)


def _slice(entry: LabelledPicture, voxels: Voxels, names: Collection[str]) -> PictureSlice:
    picture, annotation = entry.picture, entry.annotation
    assert picture is not None
    mask = None if annotation is None else _mask_of(annotation, names)
    return PictureSlice(number_in(entry.path.stem), picture, lambda: voxels(picture), mask)


def _mask_of(annotation: Path, names: Collection[str]) -> Callable[[Size], NDArray[np.uint8]]:
    return lambda size: structure_mask(read_annotation(annotation), names, size).astype(np.uint8)
