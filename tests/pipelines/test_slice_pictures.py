from dataclasses import replace

import numpy as np
import pytest
from miniature_pictures import COLUMNS, ROWS, box, random_grey, smooth_grey, write_picture
from PIL import Image

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.pictures import number_in, picture_file, read_grey, read_luminance, size_of
from sliceweave.pipelines.slice_pictures import PictureSeries, PictureSlice, ct_grid, echo_grid, to_hu
from sliceweave.pipelines.tiles import HEAD_WINDOW_HU
from sliceweave.transforms.intensity import WINDOWS_HU

PIXEL_MM, THICKNESS_MM = 0.45, 5.0
SIZE = (COLUMNS, ROWS)


def voxels(stack):
    return np.concatenate(list(stack.blocks()), axis=2)


def series(folder, numbers, grid=None, mask=None):
    grey = random_grey(len(numbers))
    slices = []
    for k, number in enumerate(numbers):
        picture = picture_file(write_picture(folder / f"{number}.png", grey[..., k]))
        slices.append(PictureSlice(number, picture, lambda picture=picture: read_grey(picture), mask))
    return PictureSeries(slices, grid or ct_grid(lambda: (PIXEL_MM, THICKNESS_MM)), np.uint8), grey


def test_slices_are_stacked_by_number_with_columns_first(tmp_path):
    pictures, grey = series(tmp_path, [10, 9, 8])
    stack = pictures.image()
    assert stack.geometry.shape == (COLUMNS, ROWS, 3)
    assert np.array_equal(voxels(stack), grey[..., ::-1])
    assert np.array_equal(voxels(stack), voxels(stack))  # as often as wanted
    assert [block.shape for block in stack.blocks()] == [(COLUMNS, ROWS, 1)] * 3


def test_grid_is_radiological_and_says_that_this_is_assumed(tmp_path):
    stack = series(tmp_path, [3, 4, 5])[0].image()
    assert np.array_equal(stack.geometry.affine_ras, np.diag([-PIXEL_MM, -PIXEL_MM, THICKNESS_MM, 1]))
    assert stack.geometry.slice_origins_ras_mm is None
    assert (stack.flags, stack.warnings) == (("assumed_orientation",), ())


def test_gaps_in_the_numbers_stay_gaps(tmp_path):
    stack = series(tmp_path, [8, 9, 10, 14])[0].image()
    assert stack.geometry.slice_origins_ras_mm[:, 2] == pytest.approx([0, 5, 10, 30])
    assert stack.geometry.slice_thicknesses_mm == pytest.approx([5, 5, 12.5, 20])
    assert stack.flags == ("assumed_orientation", "missing_slices")
    assert stack.warnings == ("3 slices are missing between 8 and 14: 11, 12, 13; the gaps are kept",)


def test_every_second_slice_is_an_even_grid_of_twice_the_step(tmp_path):
    stack = series(tmp_path, [1, 3, 5])[0].image()
    assert stack.geometry.spacing_mm == pytest.approx([PIXEL_MM, PIXEL_MM, 2 * THICKNESS_MM])
    assert stack.geometry.slice_origins_ras_mm is None
    assert stack.warnings == ("2 slices are missing between 1 and 5: 2, 4; the gaps are kept",)


def test_one_slice_has_the_thickness(tmp_path):
    assert series(tmp_path, [7])[0].image().geometry.slice_thicknesses_mm == pytest.approx([THICKNESS_MM])


def test_numbers_of_another_kind_cost_one_line_and_no_memory(tmp_path):
    with pytest.raises(InputError, match="the spacing is"):
        series(tmp_path, [1, 999_999_999])[0].image()


def test_echo_counts_frames_whatever_their_numbers(tmp_path):
    known = series(tmp_path, [3, 9, 40], echo_grid(0.3))[0].image()
    assert np.array_equal(known.geometry.affine_ras, np.diag([-0.3, -0.3, 1, 1]))
    assert (known.flags, known.warnings) == ((), ())
    unknown = series(tmp_path, [3, 9, 40], echo_grid(None))[0].image()
    assert np.array_equal(unknown.geometry.affine_ras, np.diag([-1, -1, 1, 1]))
    assert unknown.flags == ("unknown_pixel_size",)


def test_label_is_on_the_grid_of_the_image_and_empty_without_a_mask(tmp_path):
    pictures, _ = series(tmp_path, [8, 9, 14])
    image, label = pictures.image(), pictures.label()
    assert np.array_equal(label.geometry.affine_ras, image.geometry.affine_ras)
    assert np.array_equal(label.geometry.slice_origins_ras_mm, image.geometry.slice_origins_ras_mm)
    assert voxels(label).shape == (COLUMNS, ROWS, 3)
    assert not voxels(label).any()


def test_mask_is_asked_for_the_size_of_the_pictures(tmp_path):
    sizes = []
    pictures, _ = series(tmp_path, [1, 2], mask=lambda size: sizes.append(size) or box(1, 2, 3, 4))
    assert voxels(pictures.label()).sum() == 2 * 4
    assert sizes == [SIZE, SIZE]


def test_two_pictures_of_one_slice_are_both_named(tmp_path):
    pictures, _ = series(tmp_path, [1, 2])
    twice = PictureSeries([pictures.slices[0], replace(pictures.slices[1], number=1)], pictures.grid_of, np.uint8)
    with pytest.raises(InputError, match=r"expected one picture of slice 1, got .*1.png and .*2.png"):
        twice.image()


def test_pictures_of_two_sizes_are_refused_before_anything_is_read(tmp_path):
    pictures, grey = series(tmp_path, [1, 2, 3])
    write_picture(tmp_path / "2.png", grey[:-1, :, 0])
    with pytest.raises(InputError, match=r"2.png: expected 24x18 pixels as 1.png, got 23x18"):
        pictures.image()


def test_picture_cut_short_costs_one_line(tmp_path):
    pictures, _ = series(tmp_path, [1, 2])
    path = tmp_path / "2.png"
    path.write_bytes(path.read_bytes()[:120])
    with pytest.raises(InputError, match=r"2.png: expected a whole PNG or JPG picture") as excinfo:
        voxels(pictures.image())
    assert "\n" not in str(excinfo.value)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_file_that_is_no_picture_costs_one_line(tmp_path, content):
    (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(InputError, match=r"1.png: expected a whole PNG or JPG picture, got no picture; copy it again"):
        size_of(picture_file(tmp_path / "1.png"))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_is_read_exactly_from_any_8_bit_png(tmp_path, mode):
    grey = random_grey(1)[..., 0]
    Image.fromarray(np.ascontiguousarray(grey.T)).convert(mode).save(tmp_path / "1.png")
    assert np.array_equal(read_grey(picture_file(tmp_path / "1.png")), grey)


@pytest.mark.parametrize("subsampling", [0, 2])
def test_grey_jpg_in_three_channels_is_grey(tmp_path, subsampling):
    grey = smooth_grey(1)[..., 0]
    path = write_picture(tmp_path / "1.jpg", grey, rgb=True, quality=100, subsampling=subsampling)
    assert np.abs(read_grey(picture_file(path)).astype(int) - grey).max() <= 2


def test_16_bit_png_is_refused(tmp_path):
    Image.fromarray(np.full((4, 5), 1000, np.uint16)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1.png: expected 8-bit grey, got more bits"):
        size_of(picture_file(tmp_path / "1.png"))


def test_16_bit_png_in_colour_is_not_mistaken_for_grey(tmp_path):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "1.png"), np.full((4, 5, 3), 1000, np.uint16))
    with pytest.raises(InputError, match=r"1.png: expected 8-bit grey"):
        size_of(picture_file(tmp_path / "1.png"))


def test_colour_is_refused_as_ct_and_read_as_brightness_of_echo(tmp_path):
    colours = np.zeros((4, 5, 3), np.uint8)
    colours[..., 0] = 200
    Image.fromarray(colours).save(tmp_path / "1.png")
    picture = picture_file(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"1.png: expected a grey picture, got colours \(channels differ by 200"):
        read_grey(picture)
    assert np.array_equal(read_luminance(picture), np.full((5, 4), round(0.299 * 200)))


def test_picture_that_is_to_be_turned_is_turned(tmp_path):
    grey = random_grey(1)[..., 0]
    turned = Image.Exif()
    turned[0x0112] = 6  # shown a quarter turn clockwise
    write_picture(tmp_path / "1.png", grey, exif=turned)
    picture = picture_file(tmp_path / "1.png")
    assert size_of(picture) == (ROWS, COLUMNS)
    assert np.array_equal(read_grey(picture), grey[:, ::-1].T)


def test_grey_spans_the_window_in_even_steps():
    grey = np.arange(256, dtype=np.uint8)
    hu = to_hu(grey, (-20.0, 100.0))
    assert hu.dtype == np.float32
    assert hu == pytest.approx(np.linspace(-20, 100, 256), abs=1e-5)
    assert (hu[0], hu[255]) == (-20, 100)


def test_default_window_is_the_one_the_hematoma_bundle_looks_at():
    level, width = WINDOWS_HU["head"]
    assert (level - width / 2, level + width / 2) == HEAD_WINDOW_HU


@pytest.mark.parametrize(("name", "number"), [("12", 12), ("slice_007", 7), ("P3-s12b", 12), ("IM 0010 (copy)", 10)])
def test_number_is_the_last_in_the_name(name, number):
    assert number_in(name) == number


def test_name_without_a_number_costs_one_line():
    with pytest.raises(InputError, match="'preview' has no number"):
        number_in("preview")
