"""Outlines that are stored as chords across a cavity, and the pixels inside of them."""

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from sliceweave.pipelines.errors import InputError

_FEWEST_CHORDS = 3
_TOLERANCE_PX = 1.0


def outlines_xy(rows: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
    """The outline (M, 2) of each traced frame by its number, in the order of time, in pixels.

    A row is x1, y1, x2, y2, frame. The first row of a frame is the long axis from apex to base, which is no part of the
    outline; the next ones are chords across it, so the outline goes along their one ends and back along the others. A
    row that stands there twice counts once.

    Raises:
        InputError: a row without numbers, a frame number that is none, or too few chords.
    """
    if not np.isfinite(rows).all():
        raise InputError("expected five numbers in each row of a tracing, got a row without; correct the table")
    outlines = {}
    for frame in np.unique(rows[:, 4]):
        if frame < 0 or frame != np.rint(frame):
            raise InputError(f"expected frames counted from 0, got a tracing of frame {frame:g}; correct the table")
        _long_axis, *chords = dict.fromkeys(map(tuple, rows[rows[:, 4] == frame, :4]))
        if len(chords) < _FEWEST_CHORDS:
            raise InputError(
                f"expected a long axis and {_FEWEST_CHORDS} chords or more, got {len(chords) + 1} rows for frame "
                f"{frame:g}; correct the table"
            )
        ends = np.array(chords)
        outlines[int(frame)] = np.concatenate([ends[:, :2], ends[::-1, 2:]])
    return outlines


def check_inside(outline_xy: NDArray[np.float64], width: int, height: int) -> None:
    """Raises InputError where an outline leaves the picture by more than a pixel."""
    farthest = np.array([width, height]) - 0.5 + _TOLERANCE_PX
    outside = (outline_xy < -0.5 - _TOLERANCE_PX) | (outline_xy > farthest)
    if outside.any():
        x, y = outline_xy[outside.any(axis=1)][0]
        raise InputError(
            f"expected an outline inside of {width}x{height} pixels, got a point at ({x:g}, {y:g}); correct the table"
        )


def pixels_inside(outline_xy: NDArray[np.float64], width: int, height: int) -> NDArray[np.uint8]:
    """(W, H) mask of the pixels whose centre, at whole numbers, lies inside of an outline or on it."""
    mask = np.zeros((width, height), dtype=np.uint8)
    mask[polygon(outline_xy[:, 0], outline_xy[:, 1], mask.shape)] = 1
    return mask
