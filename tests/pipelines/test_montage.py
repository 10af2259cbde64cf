from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.montage import montage, shown_slices, write_png
from sliceweave.pipelines.screen import Screen
from sliceweave.pipelines.tiles import label_colour

PIXEL_MM = (0.9, 1.1)


def head(slices: int) -> tuple[NDArray[np.float32], Screen]:
    """A bright ellipse stored so that the array's axes run to the left, back and top."""
    i, j = np.ogrid[:100, :120]
    ellipse = ((i - 50) / 40) ** 2 + ((j - 60) / 50) ** 2 < 1
    volume = np.repeat(np.where(ellipse, 35, -1000).astype(np.float32)[..., None], slices, axis=2)
    return volume, Screen(Geometry(np.diag([-PIXEL_MM[0], -PIXEL_MM[1], 5.0, 1.0]), volume.shape))


def lesion_mask(slices: int, first: int, last: int) -> NDArray[np.uint8]:
    mask = np.zeros((100, 120, slices), np.uint8)
    mask[30:40, 50:70, first:last] = 1
    return mask


def outline_boxes(picture: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """(left, top, width, height, area) of every connected piece of colour: the greys of a scan have none."""
    coloured = (np.ptp(picture, axis=2) > 40).astype(np.uint8)
    return [tuple(int(value) for value in box) for box in cv2.connectedComponentsWithStats(coloured)[2][1:]]


@pytest.mark.parametrize(("lesion_slices", "tiles"), [(1, 1), (5, 5), (7, 7), (24, 24), (30, 24)])
def test_every_lesion_slice_has_a_tile_up_to_24(lesion_slices: int, tiles: int) -> None:
    volume, screen = head(32)
    picture = montage(volume, lesion_mask(32, 1, 1 + lesion_slices), screen, "pt1")
    assert len(outline_boxes(picture)) == tiles
    assert picture.dtype == np.uint8
    assert picture.shape[1] <= 1600


def test_a_lesion_on_the_patients_right_is_shown_on_the_viewers_left() -> None:
    volume, screen = head(3)
    mask = lesion_mask(3, 1, 2)
    flipped = Screen(Geometry(np.diag([PIXEL_MM[0], -PIXEL_MM[1], 5.0, 1.0]), volume.shape))
    right, left = (outline_boxes(montage(volume, mask, shown, "pt1"))[0] for shown in (screen, flipped))
    middle_px = montage(volume, mask, screen, "pt1").shape[1] / 2
    assert right[0] + right[2] < middle_px < left[0]


def test_pixels_that_are_not_square_are_shown_in_proportion() -> None:
    volume, screen = head(3)
    _, _, width_px, height_px, _ = outline_boxes(montage(volume, lesion_mask(3, 1, 2), screen, "pt1"))[0]
    stroke_px = 2
    proportion = (height_px - stroke_px) / (width_px - stroke_px)
    assert proportion == pytest.approx(20 * PIXEL_MM[1] / (10 * PIXEL_MM[0]), rel=0.04)


@pytest.mark.parametrize(("slices", "columns", "rows"), [(1, 1, 1), (5, 5, 1), (12, 6, 2), (32, 6, 2)])
def test_a_healthy_study_shows_up_to_12_slices_without_outlines(slices: int, columns: int, rows: int) -> None:
    volume, screen = head(slices)
    picture = montage(volume, np.zeros(volume.shape, np.uint8), screen, "pt1 · 0.0 ml")
    assert outline_boxes(picture) == []
    assert picture.shape[1] == columns * 264 + 8
    assert picture.shape[0] // 300 == rows


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32])
def test_the_mask_may_have_any_type_and_nothing_is_changed(dtype: type) -> None:
    volume, screen = head(4)
    mask: NDArray[Any] = lesion_mask(4, 1, 3).astype(dtype)
    before = volume.copy(), mask.copy()
    picture = montage(volume, mask, screen, "pt1")
    np.testing.assert_array_equal(picture, montage(volume, lesion_mask(4, 1, 3), screen, "pt1"))
    np.testing.assert_array_equal(volume, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_two_labels_get_two_colours_and_a_key() -> None:
    volume, screen = head(4)
    mask = lesion_mask(4, 1, 3)
    one = montage(volume, mask, screen, "pt1")
    mask[60:70, 50:60, 2] = 2
    two = montage(volume, mask, screen, "pt1")
    assert two.shape[0] > one.shape[0]
    assert (two == label_colour(2)).all(axis=2).any()
    assert not (one == label_colour(2)).all(axis=2).any()


@pytest.mark.parametrize(
    "title", ["", "x" * 300, "张伟 Łódź · hematoma 19.1 ml", "two\nlines\tof text", "a word " * 40]
)
def test_any_title_fits_the_picture(title: str) -> None:
    volume, screen = head(2)
    picture = montage(volume, lesion_mask(2, 0, 2), screen, title)
    short = montage(volume, lesion_mask(2, 0, 2), screen, "pt1")
    extra_px = picture.shape[0] - short.shape[0]
    assert extra_px % 28 == 0
    np.testing.assert_array_equal(picture[28 + extra_px :], short[28:])
    assert not picture[: 28 + extra_px, -8:].any()


def test_a_scan_without_a_bright_voxel_is_shown_whole() -> None:
    volume, screen = head(3)
    assert montage(volume * 0 - 1000, np.zeros(volume.shape), screen, "air").shape[0] > 300


def test_the_largest_slice_is_always_among_the_chosen() -> None:
    areas_mm2 = np.zeros(200)
    for largest in range(30, 170):
        areas_mm2[30:170] = 5.0
        areas_mm2[largest] = 9.0
        chosen = shown_slices(areas_mm2)
        assert largest in chosen
        assert len(set(chosen)) == 24
        assert chosen == sorted(chosen)
        assert np.diff(chosen).max() <= 10


def test_chosen_slices_reach_both_ends() -> None:
    assert shown_slices(np.ones(4)) == [0, 1, 2, 3]
    assert shown_slices(np.zeros(4)) == [0, 1, 2, 3]
    assert [shown_slices(np.zeros(50))[end] for end in (0, -1)] == [0, 49]


def test_a_picture_is_written_as_it_is(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    write_png(picture, tmp_path / "张 pt1.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "张 pt1.png")), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["张 pt1.png"]


def test_a_picture_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*pt1.png: Not a directory"):
        write_png(np.zeros((2, 3, 3), np.uint8), tmp_path / "file" / "pt1.png")


def test_frames_of_a_video_have_no_sides_and_no_position() -> None:
    geometry = Geometry(np.diag([-0.7, -0.7, 1, 1]), (40, 30, 5))
    frames, slices = Screen(geometry, is_video=True), Screen(geometry)
    assert (frames.name(3), frames.position(3), frames.side_letters) == ("frame 3", "", ("", ""))
    assert (slices.name(3), slices.side_letters) == ("slice 3", ("R", "L"))
    image, mask = np.zeros((40, 30, 5), np.float32), np.zeros((40, 30, 5), np.uint8)
    mask[10:20, 10:20, 2] = 1
    video, volume = (montage(image, mask, screen, "a") for screen in (frames, slices))
    assert video.shape == volume.shape
    assert not np.array_equal(video, volume)


def test_no_area_is_written_where_nobody_knows_how_long_a_pixel_is(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr("sliceweave.pipelines.montage.write", lambda _picture, text, *_: texts.append(text))
    geometry = Geometry(np.diag([-0.7, -0.7, 1, 1]), (40, 30, 5))
    image, mask = np.zeros((40, 30, 5), np.float32), np.zeros((40, 30, 5), np.uint8)
    mask[10:20, 10:20, 2] = 1
    for has_lengths in (True, False):
        montage(image, mask, Screen(geometry, True, has_lengths), "title")
    assert [text for text in texts if text.startswith("frame")] == ["frame 2 · 49.0 mm²", "frame 2"]
