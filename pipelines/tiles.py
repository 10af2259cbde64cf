"""One slice as a small colour picture: brain window, true aspect, thin contours around each label."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from sliceweave.pipelines.lettering import Colour, Picture

HEAD_WINDOW_HU = (0.0, 100.0)
TILE_WIDTH_PX = 256
TILE_HEIGHT_PX = 320

# Okabe and Ito (2008), Color Universal Design: told apart with any colour vision, and none is a grey.
_LABEL_COLOURS: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
)
# 64 greys are steps of 1.6 HU, less than a scan's noise, and halve the size of the PNG.
_GREYS = np.rint(np.rint(np.arange(256) / 255 * 63) / 63 * 255).astype(np.uint8)
_SUBPIXEL_BITS = 4
_MARGIN_PX = 4


def label_colour(label: int) -> Colour:
    """RGB of a label, the same in every study; the seven colours start again after label 7."""
    return _LABEL_COLOURS[(label - 1) % len(_LABEL_COLOURS)]


def windowed(image_hu: NDArray[Any], window_hu: tuple[float, float] = HEAD_WINDOW_HU) -> Picture:
    """Grey 0 to 255 from the lowest to the highest HU of the window; the head's is W100 L50."""
    lowest_hu, highest_hu = window_hu
    grey = (image_hu.astype(np.float32) - lowest_hu) * (255 / (highest_hu - lowest_hu))
    return np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)


def body_box(greys: Picture, labels: NDArray[Any]) -> tuple[slice, slice]:
    """Rows and columns of the largest bright object and of every label in slices (N, H, W); all if nothing is bright.

    The body is the largest, so that the air and the table around it are left out.
    """
    lit = (greys.max(axis=0) > 0).astype(np.uint8)
    _, objects, stats, _ = cv2.connectedComponentsWithStats(lit)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])) if len(stats) > 1 else 0
    used = (objects == largest) | labels.any(axis=0)
    return _extent(used.any(axis=1)), _extent(used.any(axis=0))


def tile_size_px(shape: tuple[int, int], pixel_mm: tuple[float, float]) -> tuple[int, int]:
    """Width and height of the tile for a slice of (rows, columns), in true proportion."""
    width_mm, height_mm = shape[1] * pixel_mm[0], shape[0] * pixel_mm[1]
    px_per_mm = min(TILE_WIDTH_PX / width_mm, TILE_HEIGHT_PX / height_mm)
    return max(round(width_mm * px_per_mm), 1), max(round(height_mm * px_per_mm), 1)


def draw_tile(grey: Picture, labels: NDArray[Any], size_px: tuple[int, int]) -> Picture:
    """Tile (height, width, 3) of a slice (H, W) with a contour around each label that is not 0."""
    zoom = size_px[0] / grey.shape[1], size_px[1] / grey.shape[0]
    quality = cv2.INTER_AREA if max(zoom) <= 1 else cv2.INTER_LINEAR
    tile = cv2.cvtColor(_GREYS[cv2.resize(grey, size_px, interpolation=quality)], cv2.COLOR_GRAY2RGB)
    for label in np.unique(labels[labels > 0]):
        for line_px in outlines_px(labels == label, zoom):
            points = np.rint(line_px * 2**_SUBPIXEL_BITS).astype(np.int32)
            cv2.polylines(tile, [points], True, label_colour(int(label)), 1, cv2.LINE_AA, _SUBPIXEL_BITS)
    return np.asarray(tile, np.uint8)


def outlines_px(mask: NDArray[np.bool_], zoom: tuple[float, float]) -> Iterator[NDArray[np.float64]]:
    """Closed lines (N, 2) of (x, y) on the zoomed picture, half a pixel outside the centres of the mask's pixels."""
    for line in find_contours(np.pad(mask, 1).astype(np.uint8), 0.5):
        centres_px = line[:, ::-1] - 1
        yield (centres_px + 0.5) * zoom - 0.5


def _extent(used: NDArray[np.bool_]) -> slice:
    where = np.flatnonzero(used)
    return slice(max(int(where[0]) - _MARGIN_PX, 0), int(where[-1]) + 1 + _MARGIN_PX)
