"""A DICOM series as a stack of slices: checked, ordered, every slice at its true position."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sliceweave.pipelines.cases import SliceStack
from sliceweave.pipelines.dicom_checks import check_series
from sliceweave.pipelines.dicom_gaps import missing_slices
from sliceweave.pipelines.dicom_geometry import by_position, origins_ras_mm, series_geometry
from sliceweave.pipelines.dicom_headers import SliceHeader
from sliceweave.pipelines.dicom_pixels import AIR_HU, is_whole, padding_is_tissue, slice_values
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry_checks import SMALLEST_SPACING_MM
from sliceweave.pipelines.volume_checks import check_size

_INT16 = np.iinfo(np.int16)

Headers = Sequence[SliceHeader]


def open_series(headers: Headers) -> SliceStack:
    """The stack (columns, rows, slices) of one series' slices, in any order; int16, or float32 where that is too small.

    Array axis 0 runs along a row of the image and axis 1 down a column, nothing is flipped or resampled; slice k is
    at its own ImagePositionPatient.

    Raises:
        InputError: slices that are no volume: of mixed size, pixels or orientation, without a place, different ones
            at one place, in colours, with several frames, damaged.
    """
    check_series(headers)
    groups = by_position(headers)
    slices, doubled = [group[0] for group in groups], _doubled(groups)
    missing = missing_slices(slices)
    geometry = series_geometry(slices)
    check_size(geometry.shape, np.dtype(np.float32).itemsize)
    dtype = _smallest_dtype(slices)
    found = {"missing_slices": missing, "doubled_slices": doubled}
    warnings = (*missing, *doubled, *_padding_warnings(slices))
    flags = tuple(flag for flag, lines in found.items() if lines)
    return SliceStack(geometry, dtype, lambda: _blocks(slices, dtype), flags, warnings, modality=slices[0].modality)


def _blocks(slices: Headers, dtype: DTypeLike) -> Iterator[NDArray[Any]]:
    return (slice_values(header).astype(dtype)[..., None] for header in slices)


def _doubled(groups: list[list[SliceHeader]]) -> list[str]:
    """A line where slices come twice with the same pixels.

    Raises:
        InputError: different slices at one place.
    """
    doubles = [(group[0], other) for group in groups for other in group[1:]]
    for first, other in doubles:
        if not _is_same(first, other):
            raise InputError(
                f"{other.path.name}: expected one slice at each position, got another than {first.path.name} at "
                f"the same; the series has {sum(map(len, groups))} slices at {len(groups)} positions: keep the files "
                "of one phase or echo in the folder"
            )
    if not doubles:
        return []
    names = f"{doubles[0][1].path.name} is {doubles[0][0].path.name} again"
    return [f"{len(doubles)} of {sum(map(len, groups))} slices come twice ({names}); one of each was kept"]


def _is_same(first: SliceHeader, other: SliceHeader) -> bool:
    here, there = origins_ras_mm([first, other])
    is_same_place = bool(np.linalg.norm(here - there) < SMALLEST_SPACING_MM)
    return is_same_place and np.array_equal(slice_values(first), slice_values(other))


def _smallest_dtype(slices: Headers) -> DTypeLike:
    """int16 for whole numbers that fit; where the stored bits could hold more, the pixels are looked at."""
    if not all(is_whole(header.coding) for header in slices):
        return np.float32
    if all(_fits_int16(_possible_values(header)) for header in slices):
        return np.int16
    is_int16 = all(_fits_int16(slice_values(header)) for header in slices)
    return np.int16 if is_int16 else np.float32


def _possible_values(header: SliceHeader) -> NDArray[np.float64]:
    coding = header.coding
    return np.array([*(coding.slope * end + coding.intercept for end in coding.stored_range()), AIR_HU])


def _fits_int16(values: NDArray[Any]) -> bool:
    return bool(values.min() >= _INT16.min and values.max() <= _INT16.max)


def _padding_warnings(slices: Headers) -> list[str]:
    odd = [header for header in slices if padding_is_tissue(header.coding)]
    if not odd:
        return []
    return [
        f"{odd[0].path.name}: PixelPaddingValue {odd[0].coding.padding} is a number that tissue has; those pixels "
        f"became air ({AIR_HU} HU) in {len(odd)} slices, as the header has it"
    ]
