"""CT-ICH 1.0.0 (Hssayeni, PhysioNet 2019, doi:10.13026/w8q8-ky94): head CT as JPG slices in two windows, with masks."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles, broken
from sliceweave.pipelines.csv_rows import read_csv_rows
from sliceweave.pipelines.ct_ich_slices import SlicesOf, find_indexed_slices
from sliceweave.pipelines.ct_ich_windows import THICKNESS_MM, mask_reader, read_hu
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.pictures import picture_file
from sliceweave.pipelines.slice_pictures import PictureSeries, PictureSlice, ct_grid, series_case
from sliceweave.pipelines.slice_spacing import spacing_table
from sliceweave.transforms.head_hu import BRAIN_WINDOW_HU

_PATTERN = (
    r"(?P<patient>\d{1,9})/"
    r"(?:(?P<kind>brain|bone)/(?P<slice>\d{1,9})|brain/(?P<masked>\d{1,9})_HGE_Seg)\.jpe?g"
)
_JPEG_HALF = 127  # masks are JPEG too: neither black nor white stays pure

Scan = dict[str, dict[int, Path]]


def find_ct_ich_jpg(files: SourceFiles, options: PrepareOptions) -> list[Case]:
    """The patients of CT-ICH 1.0.0 (`Patients_CT/049/brain/12.jpg`) and of extracts that an `index.csv` lists.

    HU come from the brain window, or the user's in its place, and where that is saturated from the bone window.

    Raises:
        InputError: the user's window or spacing cannot be used, or the table of diagnoses.
    """
    scans = _scans(files)
    indexed = find_indexed_slices(files)
    if not scans and not indexed:
        return []
    window_hu = options.window_hu or BRAIN_WINDOW_HU
    spacing = spacing_table(files, options, THICKNESS_MM)
    bleeding = _bleeding(files)
    whole: list[tuple[str, SlicesOf]] = [
        (patient, partial(_slices, scan, bleeding.get(int(patient), {}))) for patient, scan in scans.items()
    ]
    return [
        _case(patient, partial(slices_of, window_hu), partial(spacing.ct_mm, patient))
        for patient, slices_of in [*whole, *indexed]
    ]


def _case(
    patient: str, slices: Callable[[], list[PictureSlice]], spacing_mm: Callable[[], tuple[float, float]]
) -> Case:
    study_id = f"patient{patient}"
    try:
        return series_case(study_id, patient, PictureSeries(slices(), ct_grid(spacing_mm), np.float32))
    except InputError as error:
        return broken(study_id, str(error), patient)


def _scans(files: SourceFiles) -> dict[str, list[tuple[Path, re.Match[str]]]]:
    """The files of each patient; all are claimed."""
    scans: dict[str, list[tuple[Path, re.Match[str]]]] = {}
    for path, match in files.named(_PATTERN):
        scans.setdefault(match["patient"], []).append((path, match))
        files.take([path])
    return scans


def _bleeding(files: SourceFiles) -> dict[int, dict[int, Path]]:
    """The slices that the data set's diagnoses call bleeding, and the table that says so, by patient."""
    bleeding: dict[int, dict[int, Path]] = {}
    for path, _ in files.named(r"hemorrhage_diagnosis\.csv"):
        for _, row in read_csv_rows(path, ["patientnumber", "slicenumber", "no_hemorrhage"]):
            patient, number = row["patientnumber"].strip(), row["slicenumber"].strip()
            if row["no_hemorrhage"].strip() == "0" and patient.isdecimal() and number.isdecimal():
                bleeding.setdefault(int(patient), {})[int(number)] = path
    return bleeding


def _by_kind(scan: Iterable[tuple[Path, re.Match[str]]]) -> Scan:
    by_kind: Scan = {"brain": {}, "bone": {}, "mask": {}}
    for path, match in scan:
        number = int(match["slice"] or match["masked"])
        first = by_kind[(match["kind"] or "mask").lower()].setdefault(number, path)
        if first != path:
            raise InputError(f"{path}: is slice {number}, as is {first.name}; remove one")
    return by_kind


def _slices(
    found: Iterable[tuple[Path, re.Match[str]]], bleeding: Mapping[int, Path], window_hu: tuple[float, float]
) -> list[PictureSlice]:
    scan = _by_kind(found)
    for number in sorted(bleeding.keys() & scan["brain"].keys() - scan["mask"].keys()):
        expected = scan["brain"][number].with_name(f"{number}_HGE_Seg.jpg")
        raise InputError(
            f"{expected}: expected the mask of a slice that bleeds, as {bleeding[number]} says; copy it there"
        )
    for kind in ("mask", "bone"):
        for number in sorted(scan[kind].keys() - scan["brain"].keys()):
            path = scan[kind][number]
            expected = path.parents[1] / "brain" / f"{number}.jpg"
            raise InputError(f"{path}: expected its slice {expected}, found none; copy it there, or remove the {kind}")
    return [_slice(number, scan, window_hu) for number in scan["brain"]]


def _slice(number: int, scan: Mapping[str, Mapping[int, Path]], window_hu: tuple[float, float]) -> PictureSlice:
    picture, bone, mask = picture_file(scan["brain"][number]), scan["bone"].get(number), scan["mask"].get(number)
    read = partial(read_hu, picture, picture_file(bone) if bone else None, window_hu)
    return PictureSlice(number, picture, read, mask_reader(mask, _JPEG_HALF) if mask else None)
