"""What LabelMe shapes enclose, as pixels.

LabelMe's coordinates are continuous: pixel (0, 0) covers 0 to 1. A pixel belongs to a shape where its centre does, so
areas are unbiased, and shapes that share an edge share no pixel. Drawing libraries also fill the outline, which makes
a hematoma of 10 mm half a pixel larger on each side.
"""

import base64
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.labelme import BACKGROUND, Annotation, Shape
from sliceweave.pipelines.pictures import picture_bytes, read_mask

Mask = NDArray[np.bool_]
BORDER_TOLERANCE = 1.0  # pixels by which LabelMe lets a user drag a point past the border
_FRAME = 4  # more than a mask whose corners keep that tolerance can stick out


def structure_mask(annotation: Annotation, names: Collection[str], size: tuple[int, int]) -> Mask:
    """(columns, rows), true in the structure; all false where nothing is drawn.

    Shapes count in the order of drawing: a later `_background_` cuts a hole, a still later structure fills it. Shapes
    of a group are parts of one object and simply add up.

    Args:
        names: labels of the structure, case-folded; all other shapes are passed over.
        size: (columns, rows) of the picture.

    Raises:
        InputError: the file states another size, or one of these shapes is not usable.
    """
    if annotation.stated_size not in (None, size):
        stated = "x".join(map(str, annotation.stated_size or ()))
        raise InputError(
            f"{annotation.path}: expected the size of its picture, {size[0]}x{size[1]}, got {stated}; "
            "is this another picture's file?"
        )
    mask = np.zeros((size[1], size[0]), bool)
    for shape in annotation.shapes:
        if shape.name == BACKGROUND:
            mask &= ~_enclosed(shape, mask.shape, annotation.path)
        elif shape.name in names:
            mask |= _enclosed(shape, mask.shape, annotation.path)
    return mask.T


def _enclosed(shape: Shape, size: tuple[int, ...], path: Path) -> Mask:
    """(rows, columns), true in the shape."""
    where = f"{path}: shape {shape.number} ('{shape.label}', {shape.kind})"
    if shape.kind not in _DRAWERS:
        kinds = ", ".join(_DRAWERS)
        raise InputError(
            f"{where} encloses no area; expected {kinds}: draw it again, or leave its label out of --names"
        )
    rows, columns = size
    return _DRAWERS[shape.kind](shape.content, (rows, columns), where)


def _points(content: Mapping[str, Any], size: tuple[int, int], where: str) -> NDArray[np.float64]:
    """(N, 2) x and y of the shape's points, which all lie in the picture or on its border."""
    try:
        points = np.array(content.get("points"), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise InputError(f"{where} has points that are not pairs of finite numbers; draw it again")
    beyond = np.maximum(-points, points - size[::-1]).max(axis=1)
    if beyond.max() > BORDER_TOLERANCE:
        x, y = points[beyond.argmax()]
        raise InputError(
            f"{where} has the point ({x:g}, {y:g}) outside the picture of {size[1]}x{size[0]}; "
            "is this another picture's file?"
        )
    return points


def _check_count(points: NDArray[np.float64], expected: int, where: str) -> None:
    if len(points) != expected:
        raise InputError(f"{where} has {len(points)} points, expected {expected}; draw it again")


def _polygon(content: Mapping[str, Any], size: tuple[int, int], where: str) -> Mask:
    points = _points(content, size, where)
    if len(points) < 3:
        raise InputError(f"{where} has {len(points)} points, expected at least 3; draw it again")
    return polygon_mask(points, size)


def polygon_mask(points: NDArray[np.float64], size: tuple[int, int]) -> Mask:
    """(rows, columns), true where a pixel's centre lies inside, by the even-odd rule, of the closed polygon (N, 2).

    A centre on an edge belongs to the side of larger x and y, so that neighbours neither overlap nor leave a gap.
    """
    rows, columns = size
    crossings = np.zeros((rows, columns + 1), np.uint8)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0), strict=True):
        first, last = np.clip(np.ceil(np.sort([y0, y1]) - 0.5), 0, rows).astype(int)
        row = np.arange(first, last)
        x = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0 or 1))  # a level edge spans no row
        crossings[row, np.clip(np.ceil(x - 0.5), 0, columns).astype(int)] ^= 1
    return np.bitwise_xor.accumulate(crossings, axis=1)[:, :columns].astype(bool)


def _circle(content: Mapping[str, Any], size: tuple[int, int], where: str) -> Mask:
    points = _points(content, size, where)
    _check_count(points, 2, where)  # its centre, and a point on its rim
    (x, y), rim = points
    radius = math.dist((x, y), rim)
    row, column = np.ogrid[: size[0], : size[1]]
    return np.asarray((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 < radius**2)


def _rectangle(content: Mapping[str, Any], size: tuple[int, int], where: str) -> Mask:
    points = _points(content, size, where)
    _check_count(points, 2, where)  # opposite corners, whichever
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return polygon_mask(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]), size)


def _oriented_rectangle(content: Mapping[str, Any], size: tuple[int, int], where: str) -> Mask:
    _check_count(_points(content, size, where), 4, where)
    return _polygon(content, size, where)


def _bitmap(content: Mapping[str, Any], size: tuple[int, int], where: str) -> Mask:
    """A `mask` shape: a PNG between two corner pixels, both inside, as LabelMe puts it.

    Some versions put the lower right corner one pixel further, so the PNG's own size counts.
    """
    points = _points(content, size, where)
    _check_count(points, 2, where)
    (left, top), (right, bottom) = np.floor(points + 0.5).astype(int).tolist()
    patch = _patch(content.get("mask"), where)
    height, width = patch.shape
    if max(abs(bottom - top + 1 - height), abs(right - left + 1 - width)) > 1:
        raise InputError(
            f"{where} has a mask of {width}x{height} pixels, but its corners ({left}, {top}) and ({right}, {bottom}) "
            f"span {right - left + 1}x{bottom - top + 1}; draw it again"
        )
    framed = np.zeros((size[0] + 2 * _FRAME, size[1] + 2 * _FRAME), bool)
    framed[top + _FRAME : top + _FRAME + height, left + _FRAME : left + _FRAME + width] = patch
    return framed[_FRAME:-_FRAME, _FRAME:-_FRAME]


def _patch(encoded: object, where: str) -> Mask:
    try:
        content = base64.b64decode(str(encoded or ""))
        return read_mask(picture_bytes(Path("mask"), lambda: content), above=0).T.astype(bool)
    except ValueError as error:
        raise InputError(f"{where} has no PNG as its mask; draw it again") from error


_DRAWERS: Mapping[str, Callable[[Mapping[str, Any], tuple[int, int], str], Mask]] = {
    "polygon": _polygon,
    "circle": _circle,
    "rectangle": _rectangle,
    "oriented_rectangle": _oriented_rectangle,
    "mask": _bitmap,
}
