"""The slices of one study for the report page: small grey pictures, and their contours as SVG paths beside them."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import approximate_polygon

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.lettering import Picture
from sliceweave.pipelines.measuring import Mask, turned
from sliceweave.pipelines.reading import Scan
from sliceweave.pipelines.screen import Screen
from sliceweave.pipelines.study_kind import StudyKind
from sliceweave.pipelines.tiles import body_box, draw_tile, label_colour, outlines_px, windowed
from sliceweave.pipelines.volumetry import slice_areas_mm2

MAX_SLICES = 160
MAX_SIDE_PX = 384
THUMB_PX = 144

_CONTEXT_SLICES = 2
_JPEG_QUALITY = 85
_CONTOUR_TOLERANCE_PX = 0.25


@dataclass(frozen=True)
class SlicePictures:
    """What the page shows of a study's slices.

    Attributes:
        files: content by file name.
        described: what the page's script reads: size, sides, labels, and for each slice its file, name and contours.
    """

    files: Mapping[str, bytes]
    described: Mapping[str, Any]


def page_pictures(scan: Scan, mask: Mask, kind: StudyKind, labels: Mapping[int, str]) -> SlicePictures:
    """Pictures of up to 160 slices, at most 384 pixels a side, cut to the body, as a radiologist views them.

    Of more slices those that hold lesion are kept with their neighbours, and others evenly between them. A mask
    without lesion has no contours, and its middle slice is the one to begin with.
    """
    view, shown = turned(scan, mask, kind.slice_axis)
    screen = kind.screen(view)
    areas_mm2 = slice_areas_mm2(shown > 0, view.geometry)
    indices = kept_slices(areas_mm2)
    voxels = kind.shown(view)
    greys = _stack(screen, windowed(voxels[..., indices], kind.shown_range(voxels)))
    masks = _stack(screen, shown[..., indices])
    box = (slice(None), *body_box(greys, masks))
    return _pictures(
        greys[box], masks[box], _Place(screen, indices, int(np.argmax(areas_mm2)), bool(areas_mm2.any())), labels
    )


def kept_slices(areas_mm2: NDArray[np.float64]) -> list[int]:
    """Indices of the slices that are shown, rising; the one of largest area is always among them."""
    count = len(areas_mm2)
    if count <= MAX_SLICES:
        return list(range(count))
    lesion = np.flatnonzero(areas_mm2)
    near = (lesion[:, None] + np.arange(-_CONTEXT_SLICES, _CONTEXT_SLICES + 1)).ravel()
    first = _spread(np.unique(np.append(near.clip(0, count - 1), np.argmax(areas_mm2))), MAX_SLICES)
    rest = np.setdiff1d(np.arange(count), first)
    kept = np.union1d(first, _spread(rest, MAX_SLICES - len(first)))
    largest = int(np.argmax(areas_mm2))
    if largest not in kept:
        kept[np.argmin(np.abs(kept - largest))] = largest
    return [int(index) for index in kept]


def _spread(indices: NDArray[np.integer], most: int) -> NDArray[np.integer]:
    places = np.linspace(0, len(indices) - 1, min(len(indices), most)).round().astype(int)
    return indices[places]


@dataclass(frozen=True)
class _Place:
    """Which slices of which scan, and the one to begin with."""

    screen: Screen
    indices: list[int]
    largest: int
    has_lesion: bool

    @property
    def start(self) -> int:
        """Place among the slices shown."""
        return self.indices.index(self.largest) if self.has_lesion else len(self.indices) // 2


def _stack(screen: Screen, volume: NDArray[Any]) -> Picture:
    """Slices (N, H, W), contiguous, as they lie on the screen."""
    return np.ascontiguousarray(screen.turn(volume).transpose(2, 0, 1)).astype(np.uint8, copy=False)


def _pictures(greys: Picture, masks: Picture, place: _Place, labels: Mapping[int, str]) -> SlicePictures:
    size_px = _size_px(greys.shape[1:], place.screen.pixel_mm)
    names = [f"{index:03d}.jpg" for index in place.indices]
    files = {name: _jpeg(_resized(grey, size_px)) for name, grey in zip(names, greys, strict=True)}
    files["thumb.jpg"] = _thumb(greys[place.start], masks[place.start], place.screen.pixel_mm)
    slices = [
        {
            "file": name,
            "index": index,
            "name": place.screen.name(index),
            "position": place.screen.position(index),
            "paths": dict(_paths(mask, size_px)),
        }
        for name, index, mask in zip(names, place.indices, masks, strict=True)
    ]
    present = [int(value) for value in np.unique(masks) if value]
    described = {
        "size": size_px,
        "sides": place.screen.side_letters,
        "labels": {str(v): {"name": labels.get(v, f"label {v}"), "colour": _css_colour(v)} for v in present},
        "of": place.screen.geometry.shape[2],
        "start": place.start,
        "slices": slices,
    }
    return SlicePictures(files, described)


def _size_px(shape: tuple[int, ...], pixel_mm: tuple[float, float], most: int = MAX_SIDE_PX) -> tuple[int, int]:
    """Width and height in true proportion, no finer than the finer side of a pixel."""
    width_mm, height_mm = shape[1] * pixel_mm[0], shape[0] * pixel_mm[1]
    px_per_mm = min(most / max(width_mm, height_mm), 1 / min(pixel_mm))
    return max(round(width_mm * px_per_mm), 1), max(round(height_mm * px_per_mm), 1)


def _resized(grey: Picture, size_px: tuple[int, int]) -> Picture:
    shrinks = size_px[0] <= grey.shape[1] and size_px[1] <= grey.shape[0]
    return np.asarray(cv2.resize(grey, size_px, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def _thumb(grey: Picture, mask: Picture, pixel_mm: tuple[float, float]) -> bytes:
    return _jpeg(draw_tile(grey, mask, _size_px(grey.shape, pixel_mm, THUMB_PX)))


def _jpeg(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def sheet_thumb(sheet: Path) -> bytes:
    """Small picture of a study's PNG, for a study whose image is not at hand.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Image.open(sheet) as picture:
            picture.thumbnail((2 * THUMB_PX, THUMB_PX))
            return _jpeg(np.asarray(picture.convert("RGB")))
    except OSError as error:
        raise InputError(f"{sheet.name}: expected a picture: {error}") from error


def _paths(mask: Picture, size_px: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """(label, SVG path) of each label of a slice (H, W), on its picture."""
    zoom = size_px[0] / mask.shape[1], size_px[1] / mask.shape[0]
    for label in np.unique(mask[mask > 0]):
        lines = (approximate_polygon(line, _CONTOUR_TOLERANCE_PX) for line in outlines_px(mask == label, zoom))
        yield str(label), "".join(_path(line + 0.5) for line in lines)  # SVG counts from a pixel's corner


def _path(line_px: NDArray[np.float64]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line_px[:-1]) + "Z"


def _css_colour(label: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*label_colour(label))
