"""What the headers of one DICOM series must agree in before its slices are a volume."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from sliceweave.pipelines.dicom_headers import SliceHeader
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.volume_checks import volume_shape

# 0.03 mm at the far edge of a slice 256 mm wide, and more than rounded headers differ by.
DIRECTION_TOLERANCE = 1e-4
PIXEL_TOLERANCE_MM = 1e-4
_RIGHT_ANGLE_TOLERANCE = 1e-2

Headers = Sequence[SliceHeader]
Field = Callable[[SliceHeader], tuple[float, ...] | None]


def check_series(headers: Headers) -> None:
    """Raises InputError, one line with counts, where the slices are no grey images on parallel grids of one kind."""
    _check_coding(headers)
    for keyword, field in _PLACE.items():
        _check_given(headers, keyword, field)
    _check_alike(headers, "one size (rows x columns)", lambda header: header.size, 0)
    _check_alike(headers, "one PixelSpacing", lambda header: header.pixel_mm, PIXEL_TOLERANCE_MM)
    _check_alike(headers, "one orientation", lambda header: header.directions, DIRECTION_TOLERANCE)
    volume_shape([*headers[0].size, len(headers)])
    _check_grid(headers[0])


_PLACE: dict[str, Field] = {
    "ImagePositionPatient": lambda header: header.position_mm,
    "ImageOrientationPatient": lambda header: header.directions,
    "PixelSpacing": lambda header: header.pixel_mm,
}


def _check_coding(headers: Headers) -> None:
    wrong = [(header, reason) for header in headers if (reason := _unusable_coding(header))]
    if wrong:
        header, reason = wrong[0]
        raise InputError(f"{_named(header, len(wrong), len(headers))}: {reason}")


def _unusable_coding(header: SliceHeader) -> str:
    coding = header.coding
    if coding.frames != 1:
        return (
            f"expected one slice in each file, got {coding.frames} frames in one; export the series as single slices "
            "(classic DICOM), or convert it with dcm2niix"
        )
    if coding.samples != 1 or not coding.photometric.startswith("MONOCHROME"):
        return (
            f"expected grey values, got {coding.samples} samples a pixel ({coding.photometric}); export the original "
            "series, not a screenshot"
        )
    if coding.photometric != "MONOCHROME2":
        return f"expected MONOCHROME2, got {coding.photometric}, whose grey values may be inverted; export it again"
    if coding.has_table or coding.slope == 0:
        what = "a lookup table" if coding.has_table else "RescaleSlope 0"
        return f"expected RescaleSlope and RescaleIntercept, got {what}; export the original series"
    return ""


def _check_given(headers: Headers, keyword: str, field: Field) -> None:
    without = [header for header in headers if field(header) is None]
    if without:
        raise InputError(
            f"{_named(without[0], len(without), len(headers))}: expected {keyword} in every slice, got none, and "
            "without it no place in the patient; export the original series"
        )


def _check_alike(headers: Headers, what: str, field: Field, tolerance: float) -> None:
    usual = Counter(field(header) or () for header in headers).most_common(1)[0][0]
    others = [header for header in headers if not np.allclose(field(header) or (), usual, rtol=0, atol=tolerance)]
    if others:
        raise InputError(
            f"{_named(others[0], len(others), len(headers))}: expected {what} in the series, got "
            f"{_joined(field(others[0]))} among {_joined(usual)}; keep the files of one volume in a folder"
        )


def _check_grid(header: SliceHeader) -> None:
    row, column = np.reshape(header.directions or (), (2, 3))
    lengths = np.linalg.norm([row, column], axis=1)
    if abs(lengths - 1).max() > _RIGHT_ANGLE_TOLERANCE or abs(row @ column) > _RIGHT_ANGLE_TOLERANCE:
        raise InputError(
            f"{header.path.name}: expected two unit vectors at right angles in ImageOrientationPatient, got "
            f"{_joined(header.directions)}; repair the header"
        )
    if min(header.pixel_mm or (0,)) <= 0:
        raise InputError(
            f"{header.path.name}: expected a PixelSpacing above 0 mm, got {_joined(header.pixel_mm)}; repair the header"
        )


def _named(header: SliceHeader, count: int, total: int) -> str:
    return header.path.name if count == 1 else f"{header.path.name} and {count - 1} more of {total} files"


def _joined(numbers: tuple[float, ...] | None) -> str:
    return f"({', '.join(f'{number:.6g}' for number in numbers or ())})"
