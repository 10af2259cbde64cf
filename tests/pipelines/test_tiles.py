import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from sliceweave.pipelines.tiles import (
    TILE_HEIGHT_PX,
    TILE_WIDTH_PX,
    body_box,
    draw_tile,
    label_colour,
    outlines_px,
    tile_size_px,
    windowed,
)

SHAPES = {
    "voxel": np.pad(np.ones((1, 1), bool), ((5, 14), (7, 10))),
    "box": np.pad(np.ones((6, 3), bool), ((5, 9), (7, 8))),
    "border": np.pad(np.ones((6, 3), bool), ((0, 14), (15, 0))),
    "ring": np.pad(np.pad(np.zeros((3, 2), bool), 2, constant_values=True), ((6, 7), (3, 9))),
}


def test_the_head_window_runs_from_0_to_100_hu() -> None:
    grey = windowed(np.array([-1024, 0, 20, 50, 100, 3000], np.int16))
    assert grey.tolist() == [0, 0, 51, 128, 255, 255]


@pytest.mark.parametrize("zoom", [(0.6, 0.6), (1.0, 1.0), (2.5, 7.0)])
@pytest.mark.parametrize("name", list(SHAPES))
def test_outlines_enclose_the_mask_and_nothing_else(name: str, zoom: tuple[float, float]) -> None:
    mask = SHAPES[name]
    rings = [line.astype(np.float32).reshape(-1, 1, 2) for line in outlines_px(mask, zoom)]
    for row, column in np.ndindex(mask.shape):
        centre_px = ((column + 0.5) * zoom[0] - 0.5, (row + 0.5) * zoom[1] - 0.5)
        enclosing = sum(cv2.pointPolygonTest(ring, centre_px, False) > 0 for ring in rings)
        assert enclosing % 2 == mask[row, column]


def test_an_outline_leaves_the_lesion_itself_visible() -> None:
    grey = np.full((20, 18), 120, np.uint8)
    labels = np.zeros((20, 18), np.uint8)
    labels[6:14, 4:12] = 1
    tile = draw_tile(grey, labels, (180, 200))
    plain = draw_tile(grey, labels * 0, (180, 200))
    inside = np.s_[64:136, 44:116]
    np.testing.assert_array_equal(tile[inside], plain[inside])
    assert (tile != plain).any(axis=2).sum() < 4 * 80 * 4


def test_every_label_has_its_colour() -> None:
    labels = np.zeros((40, 30), np.uint8)
    labels[4:12, 4:12], labels[20:32, 10:25] = 1, 3
    tile = draw_tile(np.zeros((40, 30), np.uint8), labels, (240, 320))
    shown = {tuple(colour) for colour in tile.reshape(-1, 3).tolist()}
    assert {label_colour(1), label_colour(3)} <= shown
    assert label_colour(2) not in shown
    assert len({label_colour(label) for label in range(1, 8)}) == 7
    assert label_colour(8) == label_colour(1)


@pytest.mark.parametrize(
    ("shape", "pixel_mm", "size_px"),
    [
        ((512, 512), (0.45, 0.45), (256, 256)),
        ((100, 50), (1.0, 1.0), (160, 320)),
        ((32, 400), (0.5, 5.0), (256, 205)),
        ((1, 400), (0.5, 0.5), (256, 1)),
        ((3, 5), (0.45, 0.9), (256, 307)),
    ],
)
def test_tiles_keep_the_true_proportions(
    shape: tuple[int, int], pixel_mm: tuple[float, float], size_px: tuple[int, int]
) -> None:
    assert tile_size_px(shape, pixel_mm) == size_px
    assert size_px[0] <= TILE_WIDTH_PX
    assert size_px[1] <= TILE_HEIGHT_PX


def bright(*boxes: tuple[slice, slice]) -> NDArray[np.uint8]:
    greys = np.zeros((2, 60, 50), np.uint8)
    for number, box in enumerate(boxes):
        greys[number % 2][box] = 200
    return greys


def test_the_box_holds_the_head_and_not_the_table() -> None:
    greys = bright(np.s_[10:40, 8:20], np.s_[20:44, 15:35], np.s_[55:57, 0:50])
    assert body_box(greys, np.zeros_like(greys)) == (slice(6, 48), slice(4, 39))


def test_the_box_holds_a_label_outside_the_head() -> None:
    greys = bright(np.s_[10:40, 8:20])
    labels = np.zeros_like(greys)
    labels[1, 50, 45] = 1
    assert body_box(greys, labels) == (slice(6, 55), slice(4, 50))


def test_the_box_of_a_dark_scan_is_all_of_it() -> None:
    dark = bright()
    rows, columns = body_box(dark, dark)
    assert dark[0, rows, columns].shape == (60, 50)
