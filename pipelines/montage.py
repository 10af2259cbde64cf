"""The picture of one study: its lesion slices with contours, as a radiologist views them."""

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.lettering import Picture, drawn_text, text_width_px, write
from sliceweave.pipelines.screen import Screen
from sliceweave.pipelines.tiles import (
    HEAD_WINDOW_HU,
    TILE_WIDTH_PX,
    body_box,
    draw_tile,
    label_colour,
    tile_size_px,
    windowed,
)
from sliceweave.pipelines.volumetry import slice_areas_mm2

MAX_LESION_SLICES = 24
MAX_HEALTHY_SLICES = 12
MAX_COLUMNS = 6

_GAP_PX = 8
_TITLE_PX, _TITLE_LINE_PX = 20, 28
_CAPTION_PX, _CAPTION_LINE_PX = 14, 22
_WHITE, _GREY = (255, 255, 255), (190, 190, 190)


def montage(
    image_hu: NDArray[Any],
    mask: NDArray[Any],
    screen: Screen,
    title: str,
    window_hu: tuple[float, float] = HEAD_WINDOW_HU,
) -> Picture:
    """Picture (H, W, 3) of the slices that hold lesion, each with its contour, area and position.

    At most 24 slices, evenly chosen, the one of largest area among them; a healthy study shows up to 12 of all its
    slices. Axial slices have the patient's right on the viewer's left. Labels of a mask have one colour each. Where
    nobody knows how long a pixel is, no areas are written.

    Args:
        image_hu: scan (I, J, K).
        mask: labels (I, J, K) on the scan's grid, 0 is background.
        screen: how the scan lies on it.
        title: text above the slices, in any script.
        window_hu: what is shown as black and as white; the image's own units where it is no CT.
    """
    areas_mm2 = slice_areas_mm2(mask, screen.geometry)
    indices = shown_slices(areas_mm2)
    labels = np.ascontiguousarray(screen.turn(mask)[..., indices].transpose(2, 0, 1)).astype(np.uint8, copy=False)
    tiles = _tiles(screen, windowed(image_hu[..., indices], window_hu), labels)
    captions = [(_caption(screen, index, areas_mm2[index]), screen.position(index)) for index in indices]
    present = [int(label) for label in np.unique(labels) if label]
    return _sheet(_header(title, present, _sheet_width_px(len(tiles))), tiles, captions)


def write_png(picture: Picture, path: Path) -> None:
    """Writes the picture in one step. Raises InputError if it cannot, and the old file stays."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=4)
    write_atomically(path, buffer.getvalue())


def shown_slices(areas_mm2: NDArray[np.float64]) -> list[int]:
    """Indices of the slices in the picture, rising."""
    lesion = np.flatnonzero(areas_mm2)
    if not lesion.size:
        return _spread(np.arange(len(areas_mm2)), MAX_HEALTHY_SLICES)
    chosen = _spread(lesion, MAX_LESION_SLICES)
    largest = int(np.argmax(areas_mm2))
    chosen[int(np.argmin(np.abs(np.subtract(chosen, largest))))] = largest
    return chosen


def _spread(indices: NDArray[np.integer], most: int) -> list[int]:
    places = np.linspace(0, len(indices) - 1, min(len(indices), most))
    return [int(indices[round(place)]) for place in places]


def _tiles(screen: Screen, greys: NDArray[np.uint8], labels: NDArray[Any]) -> list[Picture]:
    greys = np.ascontiguousarray(screen.turn(greys).transpose(2, 0, 1))
    box = (slice(None), *body_box(greys, labels))
    greys, labels = greys[box], labels[box]
    size_px = tile_size_px(greys.shape[1:], screen.pixel_mm)
    tiles = [draw_tile(grey, label, size_px) for grey, label in zip(greys, labels, strict=True)]
    for tile in tiles:
        _mark_sides(tile, screen.side_letters)
    return tiles


def _mark_sides(tile: Picture, letters: tuple[str, str]) -> None:
    right_px = tile.shape[1] - text_width_px(letters[1], _CAPTION_PX) - _GAP_PX
    for letter, left_px in zip(letters, (_GAP_PX, right_px), strict=True):
        write(tile, letter, (left_px, _CAPTION_PX + 2), _CAPTION_PX, _GREY)


def _caption(screen: Screen, index: int, area_mm2: float) -> str:
    name = screen.name(index)
    if not (area_mm2 and screen.has_lengths):
        return name
    if area_mm2 < 100:
        return f"{name} · {area_mm2:.1f} mm²"
    return f"{name} · {area_mm2 / 100:.2f} cm²"


def _columns(tiles: int) -> int:
    return math.ceil(tiles / math.ceil(tiles / MAX_COLUMNS))


def _sheet_width_px(tiles: int) -> int:
    return _columns(tiles) * (TILE_WIDTH_PX + _GAP_PX) + _GAP_PX


def _header(title: str, labels: Sequence[int], width_px: int) -> Picture:
    lines = _title_lines(title, width_px - 2 * _GAP_PX)
    key = labels if len(labels) > 1 else []
    header = np.zeros((len(lines) * _TITLE_LINE_PX + (_CAPTION_LINE_PX if key else 0), width_px, 3), np.uint8)
    for number, line in enumerate(lines, start=1):
        write(header, line, (_GAP_PX, number * _TITLE_LINE_PX - 8), _TITLE_PX, _WHITE)
    for place, label in enumerate(key):
        write(header, f"label {label}", (_GAP_PX + 70 * place, len(header) - 6), _CAPTION_PX, label_colour(label))
    return header


def _title_lines(title: str, width_px: int) -> list[str]:
    text = drawn_text(" ".join(title.split()))
    share = width_px / max(text_width_px(text, _TITLE_PX), 1)
    # Letters differ in width: a tenth is kept in hand where the text must be broken.
    return [text] if share >= 1 else textwrap.wrap(text, max(int(0.9 * share * len(text)), 1))


def _sheet(header: Picture, tiles: Sequence[Picture], captions: Sequence[tuple[str, str]]) -> Picture:
    columns = _columns(len(tiles))
    cell_height_px, cell_width_px = tiles[0].shape[0] + _CAPTION_LINE_PX + _GAP_PX, TILE_WIDTH_PX + _GAP_PX
    height_px = len(header) + math.ceil(len(tiles) / columns) * cell_height_px
    sheet = np.zeros((height_px, header.shape[1], 3), np.uint8)
    sheet[: len(header)] = header
    for place, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        row, column = divmod(place, columns)
        top_px, left_px = len(header) + row * cell_height_px, _GAP_PX + column * cell_width_px
        _put_tile(sheet[top_px : top_px + cell_height_px, left_px : left_px + TILE_WIDTH_PX], tile, caption)
    return sheet


def _put_tile(cell: Picture, tile: Picture, caption: tuple[str, str]) -> None:
    height_px, width_px = tile.shape[:2]
    margin_px = (TILE_WIDTH_PX - width_px) // 2
    cell[:height_px, margin_px : margin_px + width_px] = tile
    what, where = caption
    baseline_px = height_px + _CAPTION_PX + 2
    write(cell, what, (0, baseline_px), _CAPTION_PX, _WHITE)
    write(cell, where, (TILE_WIDTH_PX - text_width_px(where, _CAPTION_PX), baseline_px), _CAPTION_PX, _GREY)
