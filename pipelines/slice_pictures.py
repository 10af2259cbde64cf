"""A volume from the pictures of its slices, or of its frames, read one at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.cases import UNKNOWN_PIXEL_SIZE, Case, SliceStack
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.pictures import Picture, size_of

Size = tuple[int, int]
_MOST_NUMBERS_SHOWN = 8
_FRAME_STEP = 1.0  # time has no length; NIfTI wants one


@dataclass(frozen=True)
class PictureSlice:
    """One slice or frame.

    Attributes:
        number: its place in the series, counted by whoever exported it.
        picture: what says its size.
        image: reads it, (columns, rows).
        mask: reads the mask, (columns, rows), of a slice of (columns, rows); None where nothing of the structure is.
    """

    number: int
    picture: Picture
    image: Callable[[], NDArray[Any]]
    mask: Callable[[Size], NDArray[np.uint8]] | None = None


class Grid(NamedTuple):
    """The grid of a series of pictures, and what is odd about it."""

    geometry: Geometry
    flags: tuple[str, ...]
    warnings: tuple[str, ...] = ()


GridOf = Callable[[Size, Sequence[int]], Grid]


@dataclass(frozen=True)
class PictureSeries:
    """The slices of one study, whose grid follows from their size and numbers."""

    slices: Sequence[PictureSlice]
    grid_of: GridOf
    dtype: type[np.generic]

    def image(self) -> SliceStack:
        """The image, a block for each slice.

        Raises:
            InputError: pictures that do not stack; a damaged one, when its block is read.
        """
        ordered, size, grid = self._opened()
        return SliceStack(grid.geometry, self.dtype, lambda: _images(ordered, size), grid.flags, grid.warnings)

    def label(self) -> SliceStack:
        """The label on the image's grid: 1 in the structure, 0 elsewhere.

        Raises:
            InputError: as for the image, and for a mask that does not fit.
        """
        ordered, size, grid = self._opened()
        return SliceStack(grid.geometry, np.uint8, lambda: _masks(ordered, size))

    def _opened(self) -> tuple[list[PictureSlice], Size, Grid]:
        ordered = in_order(self.slices)
        size = _common_size(ordered)
        return ordered, size, self.grid_of(size, [slice_.number for slice_ in ordered])


def series_case(study_id: str, patient: str, series: PictureSeries) -> Case:
    """The study whose image and label a series of pictures holds."""
    return Case(study_id, series.image, series.label, patient=patient)


def in_order(slices: Iterable[PictureSlice]) -> list[PictureSlice]:
    """The slices by their number.

    Raises:
        InputError: two slices of one number.
    """
    ordered = sorted(slices, key=lambda slice_: slice_.number)
    for first, second in pairwise(ordered):
        if first.number == second.number and first.picture.path == second.picture.path:
            raise InputError(f"slice {first.number}, {first.picture.path}, is listed twice; remove one of the lines")
        if first.number == second.number:
            raise InputError(
                f"expected one picture of slice {first.number}, got {first.picture.path} and {second.picture.path}; "
                "remove one, or give each study its own folder"
            )
    return ordered


def ct_grid(spacing_mm: Callable[[], tuple[float, float]]) -> GridOf:
    """Grids of axial CT slices in radiological display, each at its number times the thickness.

    A picture's right is taken for the patient's left, its lower edge for posterior, rising numbers for superior.

    Args:
        spacing_mm: gives pixel size and slice thickness; asked when a study is opened, so a missing one costs no other.
    """

    def grid(size: Size, numbers: Sequence[int]) -> Grid:
        pixel_mm, thickness_mm = spacing_mm()
        heights_mm = (np.array(numbers) - numbers[0]) * thickness_mm
        gaps = set(np.diff(numbers).tolist()) or {1}
        uneven = len(gaps) > 1
        first_mm, step_mm = _fitted(heights_mm) if uneven else (0.0, gaps.pop() * thickness_mm)
        affine_ras = np.diag([-pixel_mm, -pixel_mm, step_mm, 1])
        affine_ras[2, 3] = first_mm
        origins_mm = heights_mm[:, None] * (0, 0, 1) if uneven else None
        geometry = Geometry(affine_ras, (*size, len(numbers)), origins_mm)
        warnings = _gap_warnings(numbers)
        return Grid(geometry, ("assumed_orientation", *(["missing_slices"] if warnings else [])), warnings)

    return grid


def _fitted(heights_mm: NDArray[np.float64]) -> tuple[float, float]:
    """First height and step of the even stack nearest to uneven heights."""
    step_mm, first_mm = np.polyfit(np.arange(len(heights_mm)), heights_mm, 1)
    return float(first_mm), float(step_mm)


def echo_grid(pixel_mm: float | None) -> GridOf:
    """Grids (columns, rows, frames) of ultrasound; the third step stands for one frame, not for millimetres."""
    flags = (UNKNOWN_PIXEL_SIZE,) if pixel_mm is None else ()

    def grid(size: Size, numbers: Sequence[int]) -> Grid:
        step_mm = pixel_mm or 1.0
        return Grid(Geometry(np.diag([-step_mm, -step_mm, _FRAME_STEP, 1]), (*size, len(numbers))), flags)

    return grid


def to_hu(grey: NDArray[np.uint8], window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """HU that 8-bit grey shows; float32, since a grey step is less than one HU in most windows."""
    lowest_hu, highest_hu = window_hu
    return (lowest_hu + grey.astype(np.float32) * np.float32((highest_hu - lowest_hu) / 255)).astype(np.float32)


def _common_size(slices: Sequence[PictureSlice]) -> Size:
    size = size_of(slices[0].picture)
    for slice_ in slices[1:]:
        check_size(slice_.picture, size, f"as {slices[0].picture.path.name}")
    return size


def check_size(picture: Picture, size: Size, reason: str) -> None:
    """Raises InputError where a picture is not of so many columns and rows."""
    if (own := size_of(picture)) != size:
        raise InputError(
            f"{picture.path}: expected {size[0]}x{size[1]} pixels {reason}, got {own[0]}x{own[1]}; export it again"
        )


def _images(slices: Iterable[PictureSlice], size: Size) -> Iterator[NDArray[Any]]:
    for slice_ in slices:
        yield slice_.image().reshape(*size, 1)


def _masks(slices: Iterable[PictureSlice], size: Size) -> Iterator[NDArray[np.uint8]]:
    for slice_ in slices:
        mask = np.zeros(size, np.uint8) if slice_.mask is None else slice_.mask(size)
        yield mask.reshape(*size, 1)


def _gap_warnings(numbers: Sequence[int]) -> tuple[str, ...]:
    count = numbers[-1] - numbers[0] + 1 - len(numbers)
    if not count:
        return ()
    present = set(numbers)
    absent = (number for number in range(numbers[0], numbers[-1]) if number not in present)
    shown = ", ".join(map(str, islice(absent, _MOST_NUMBERS_SHOWN))) + (", …" if count > _MOST_NUMBERS_SHOWN else "")
    what = "slice is" if count == 1 else "slices are"
    return (f"{count} {what} missing between {numbers[0]} and {numbers[-1]}: {shown}; the gaps are kept",)
