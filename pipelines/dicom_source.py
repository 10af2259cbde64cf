"""The series that a mask was made from, and voxels on the series' own slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from sliceweave.pipelines.bounded_file import BoundedFile
from sliceweave.pipelines.dicom_checks import check_series
from sliceweave.pipelines.dicom_geometry import by_position, series_geometry
from sliceweave.pipelines.dicom_headers import DAMAGED, SliceHeader, damaged, read_header
from sliceweave.pipelines.dicom_series import is_dicom
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry, apart_mm

_TOLERANCE_MM = 0.05
_NEEDED = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
_NOT_CARRIED = ("PatientComments", "PhysiciansOfRecord")  # free text and names that no reader of results needs


@dataclass(frozen=True, eq=False)
class Series:
    """A series, its slices in order along their normal.

    Attributes:
        slices: data sets without pixels.
        headers: of the same slices: how their pixels are read.
        geometry: their grid (columns, rows, slices).
    """

    slices: Sequence[Dataset]
    headers: Sequence[SliceHeader]
    geometry: Geometry


def read_series(folder: Path) -> Series:
    """The series in a folder; of slices that come twice the first.

    Raises:
        InputError: no series, several, damaged files, or slices that lack what results have to refer to.
    """
    headers = [header for path in _files(folder) if (header := _image_header(path))]
    if not headers:
        raise InputError(f"{folder}: expected the folder of a DICOM series, got no image in it; check the path")
    if (count := len({header.series_uid for header in headers})) > 1:
        raise InputError(f"{folder}: expected one series, got {count}; give a folder with the mask's own series alone")
    return series_of(headers)


def series_of(headers: Sequence[SliceHeader]) -> Series:
    """The series of these slices; of those that come twice the first. Raises InputError as `read_series`."""
    check_series(headers)
    slices = [group[0] for group in by_position(headers)]
    return Series([_dataset(header.path) for header in slices], slices, series_geometry(slices))


def name_same_subject(seg: Path, files: Sequence[Path]) -> bool:
    """Whether a SEG names the same patient and study as the first image among the files; no where one is damaged."""
    try:
        first = next((path for path in files if _image_header(path)), None)
        return first is not None and _subject(seg) == _subject(first)
    except (InputError, *DAMAGED):
        return False


def on_series(voxels: NDArray[Any], geometry: Geometry, series: Series, name: str) -> NDArray[Any]:
    """Voxels (columns, rows, slices) on the series' slices, their axes turned to its own where they differ.

    Args:
        name: what the voxels are called.

    Raises:
        InputError: they do not lie on the series' own voxels.
    """
    wanted = series.geometry
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(geometry.affine_ras), nib.io_orientation(wanted.affine_ras)
    )
    turned = nib.orientations.apply_orientation(voxels, turn)
    affine = geometry.affine_ras @ nib.orientations.inv_ornt_aff(turn, geometry.shape)
    if turned.shape != wanted.shape or apart_mm(affine, wanted.affine_ras, wanted.shape) > _TOLERANCE_MM:
        raise InputError(
            f"{name}: expected a mask on the series' own voxels, {_text(wanted.shape)}, got another grid, "
            f"{_text(turned.shape)}; give the series it was made from"
        )
    return np.asarray(turned)


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: expected the folder of a DICOM series; check the path")
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _image_header(path: Path) -> SliceHeader | None:
    return read_header(path) if is_dicom(path) and path.name.upper() != "DICOMDIR" else None


def _subject(path: Path) -> list[str]:
    with BoundedFile(path) as file:
        keywords = ["StudyInstanceUID", *_MAY_BE_EMPTY]
        dataset = dcmread(file, stop_before_pixels=True, force=True, specific_tags=keywords)
    return [str(dataset.get(keyword) or "") for keyword in keywords]


def _dataset(path: Path) -> Dataset:
    try:
        with BoundedFile(path) as file:
            dataset = dcmread(file, stop_before_pixels=True, force=True)
        missing = [keyword for keyword in _NEEDED if not dataset.get(keyword)]
    except DAMAGED as error:
        raise InputError(damaged(path, error)) from error
    if missing:
        raise InputError(f"{path.name}: expected a {missing[0]} to refer to, got none; repair the header")
    for keyword in _NOT_CARRIED:
        dataset.pop(keyword, None)
    for keyword in _MAY_BE_EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    if dataset.get("PatientIdentityRemoved") == "YES" and not dataset.get("DeidentificationMethodCodeSequence"):
        dataset.DeidentificationMethod = dataset.get("DeidentificationMethod") or "not stated"  # may not be empty
    return dataset


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
