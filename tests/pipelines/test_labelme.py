import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from miniature_pictures import (
    COLUMNS,
    ROWS,
    box,
    corners,
    encoded,
    labelme,
    random_grey,
    shape,
    shape_v3,
    write_json,
    write_picture,
)
from skimage.measure import points_in_poly

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.labelme import picture_of, read_annotation, structure_names
from sliceweave.pipelines.labelme_masks import polygon_mask, structure_mask
from sliceweave.pipelines.pictures import read_grey

SIZE = COLUMNS, ROWS


def drawn(tmp_path, *shapes, names=("hematoma",), **changes):
    """The mask (columns, rows) of a file with these shapes."""
    path = write_json(tmp_path / "7.json", labelme(list(shapes), "7.png", **changes))
    return structure_mask(read_annotation(path), names, SIZE)


def shoelace(points):
    x, y = np.asarray(points, float).T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def one_line(excinfo):
    return "\n" not in str(excinfo.value)


def test_polygon_on_pixel_borders_encloses_exactly_its_area(tmp_path):
    points = [[3, 2], [11, 2], [11, 6], [7, 6], [7, 12], [3, 12]]
    mask = drawn(tmp_path, shape(points))
    assert mask.sum() == shoelace(points)
    assert np.array_equal(mask, box(3, 2, 11, 6) | box(3, 6, 7, 12))


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.5), (0.25, 0.75)])
def test_area_of_a_moved_rectangle_is_unbiased(shift):
    points = np.array(corners(10, 20, 50, 45)) + shift
    assert polygon_mask(points, (80, 70)).sum() == 40 * 25


def test_mean_area_over_random_polygons_is_the_shoelace_area():
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(200):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        points = 40 + rng.uniform(10, 30, (9, 1)) * np.c_[np.cos(angles), np.sin(angles)]
        areas.append((polygon_mask(points, (80, 80)).sum(), shoelace(points)))
    pixels, exact = np.array(areas).T
    # A boundary-inclusive filling would be off by half the outline: about 5 % here.
    assert pixels.mean() / exact.mean() == pytest.approx(1, abs=1e-3)


def test_polygon_agrees_with_the_winding_of_each_pixel_centre():
    rng = np.random.default_rng(1)
    points = rng.uniform(1, 29, (7, 2))  # crosses itself
    row, column = np.mgrid[:30, :40]
    centres = np.c_[column.ravel() + 0.5, row.ravel() + 0.5]
    assert np.array_equal(polygon_mask(points, (30, 40)), points_in_poly(centres, points).reshape(30, 40))


def test_polygons_that_share_an_edge_share_no_pixel_and_leave_no_gap():
    left, right = [[2, 2], [10.5, 2], [7.5, 12.5], [2, 12]], [[10.5, 2], [18, 2], [18, 12], [7.5, 12.5]]
    together = polygon_mask(np.array(left), (20, 20)).astype(int) + polygon_mask(np.array(right), (20, 20))
    assert together.max() == 1
    assert together[2:12, 2:18].all()


def test_mean_area_of_a_circle_over_all_places_in_a_pixel_is_its_analytic_area(tmp_path):
    steps = (np.arange(8) + 0.5) / 8
    centres = [(10 + x, 8 + y) for x in steps for y in steps]
    areas = [drawn(tmp_path, shape([[x, y], [x + 3, y + 4]], "circle")).sum() for x, y in centres]
    # Filling the outline too, as drawing libraries do, would give 20 % more.
    assert np.mean(areas) == pytest.approx(np.pi * 5**2, rel=2e-3)


def test_circle_beyond_the_border_is_cut_at_the_border(tmp_path):
    mask = drawn(tmp_path, shape([[0, 9], [5, 9]], "circle"))
    column, row = np.ogrid[:COLUMNS, :ROWS]
    assert np.array_equal(mask, (column + 0.5) ** 2 + (row + 0.5 - 9) ** 2 < 25)


@pytest.mark.parametrize("points", [[[3, 4], [9, 11]], [[9, 11], [3, 4]], [[3, 11], [9, 4]], [[9, 4], [3, 11]]])
def test_rectangle_is_the_same_from_any_two_opposite_corners(tmp_path, points):
    assert np.array_equal(drawn(tmp_path, shape(points, "rectangle")), box(3, 4, 9, 11))


def test_oriented_rectangle_has_its_area(tmp_path):
    points = [[4, 8], [10, 2], [14, 6], [8, 12]]
    mask = drawn(tmp_path, shape(points, "oriented_rectangle"))
    assert mask.sum() == pytest.approx(shoelace(points), abs=1)


def test_mask_shape_lies_between_its_corner_pixels_both_inside(tmp_path):
    patch = (np.random.default_rng(2).random((5, 3)) < 0.5).astype(np.uint8)
    expected = np.zeros(SIZE, np.uint8)
    expected[19:24, 15:18] = patch  # up to the lower right corner of the picture
    assert np.array_equal(drawn(tmp_path, shape([[19, 15], [23, 17]], "mask", mask=encoded(255 * patch))), expected)


def test_mask_shape_whose_corner_lies_one_pixel_further_keeps_its_own_size(tmp_path):
    patch = np.ones((5, 3), np.uint8)
    mask = drawn(tmp_path, shape([[19, 15], [24, 18]], "mask", mask=encoded(255 * patch)))
    assert np.array_equal(mask, box(19, 15, 24, 18))


@pytest.mark.parametrize("kind", ["missing", None])
def test_shape_without_a_type_is_a_polygon(tmp_path, kind):
    drawn_shape = shape_v3(corners(2, 3, 8, 5)) if kind == "missing" else shape(corners(2, 3, 8, 5), None)
    assert np.array_equal(drawn(tmp_path, drawn_shape, version="3.16.7"), box(2, 3, 8, 5))


def test_group_is_the_union_of_its_parts(tmp_path):
    parts = [shape(corners(1, 1, 5, 5), group_id=3), shape(corners(3, 3, 9, 8), group_id=3)]
    assert np.array_equal(drawn(tmp_path, *parts), box(1, 1, 5, 5) | box(3, 3, 9, 8))


def test_background_cuts_what_lies_below_and_not_what_is_drawn_later(tmp_path):
    large, hole, island = corners(2, 2, 14, 14), corners(4, 4, 10, 10), corners(6, 6, 8, 8)
    background = shape(hole, label="_background_")
    assert np.array_equal(drawn(tmp_path, background, shape(large)), box(2, 2, 14, 14))
    assert np.array_equal(drawn(tmp_path, shape(large), background), box(2, 2, 14, 14) - box(4, 4, 10, 10))
    mask = drawn(tmp_path, shape(large), background, shape(island))
    assert np.array_equal(mask, box(2, 2, 14, 14) - box(4, 4, 10, 10) + box(6, 6, 8, 8))


def test_other_names_are_passed_over_even_where_they_enclose_nothing(tmp_path):
    line = shape([[0, 0], [5, 5]], "line", "midline")
    mask = drawn(tmp_path, line, shape(corners(1, 1, 3, 3), label="HEMATOMA "), shape(corners(5, 5, 9, 9), label="x"))
    assert np.array_equal(mask, box(1, 1, 3, 3))


def test_no_shapes_give_an_empty_mask(tmp_path):
    assert drawn(tmp_path).sum() == 0


def test_points_up_to_a_pixel_past_the_border_are_cut_silently(tmp_path):
    assert np.array_equal(drawn(tmp_path, shape(corners(-1, -1, 3, ROWS + 1))), box(0, 0, 3, ROWS))


BAD_SHAPES = {
    "a point outside": (shape([[1, 1], [30.5, 2], [5, 9]]), r"shape 1 .*\(30.5, 2\) outside the picture of 24x18"),
    "two points": (shape([[1, 1], [3, 2]]), "2 points, expected at least 3"),
    "no points": (shape([]), "not pairs of finite numbers"),
    "not a number": (shape([[1, 1], [float("nan"), 2], [5, 9]]), "not pairs of finite numbers"),
    "infinity": (shape([[1, 1], [float("inf"), 2], [5, 9]]), "not pairs of finite numbers"),
    "text": (shape([[1, 1], ["a", 2], [5, 9]]), "not pairs of finite numbers"),
    "ragged": (shape([[1, 1], [2], [5, 9]]), "not pairs of finite numbers"),
    "three coordinates": (shape([[1, 1, 1], [2, 2, 2], [5, 9, 9]]), "not pairs of finite numbers"),
    "points missing": ({"label": "hematoma", "shape_type": "polygon"}, "not pairs of finite numbers"),
    "line": (shape([[1, 1], [5, 2]], "line"), r"shape 1 \('hematoma', line\) encloses no area"),
    "linestrip": (shape([[1, 1], [5, 2], [6, 6]], "linestrip"), "linestrip.* encloses no area"),
    "point": (shape([[1, 1]], "point"), "point.* encloses no area"),
    "points": (shape([[1, 1], [2, 2], [3, 1]], "points"), "points.* encloses no area"),
    "circle of three points": (shape([[1, 1], [2, 2], [3, 1]], "circle"), "3 points, expected 2"),
    "rectangle of one point": (shape([[1, 1]], "rectangle"), "1 points, expected 2"),
    "oriented rectangle of three": (shape([[1, 1], [3, 1], [3, 3]], "oriented_rectangle"), "3 points, expected 4"),
    "mask without PNG": (shape([[1, 1], [2, 2]], "mask"), "no PNG as its mask"),
    "mask of text": (shape([[1, 1], [2, 2]], "mask", mask="AAAA"), "no PNG as its mask"),
    "mask of another size": (
        shape([[1, 1], [9, 9]], "mask", mask=encoded(np.ones((3, 2), np.uint8))),
        r"mask of 3x2 pixels, but its corners \(1, 1\) and \(9, 9\) span 9x9",
    ),
}


@pytest.mark.parametrize("case", BAD_SHAPES)
def test_bad_shape_is_named_in_one_line(tmp_path, case):
    bad, message = BAD_SHAPES[case]
    with pytest.raises(InputError, match=message) as excinfo:
        drawn(tmp_path, bad)
    assert "7.json: shape 1" in str(excinfo.value)
    assert one_line(excinfo)


def test_size_of_another_picture_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"7.json: expected the size of its picture, 24x18, got 512x18"):
        drawn(tmp_path, shape(corners(1, 1, 3, 3)), imageWidth=512)


BAD_FILES = {
    "broken": (b'{"shapes": [', "is not JSON"),
    "binary": (b"\xff\xfe\x00", "is not JSON"),
    "a list": (b"[]", "list of shapes"),
    "no shapes": (b'{"imagePath": "1.png"}', "list of shapes"),
    "shapes of text": (b'{"shapes": "none"}', "list of shapes"),
    "shape of text": (b'{"shapes": ["none"]}', "shape 1 has no label"),
    "label missing": (b'{"shapes": [{"points": []}]}', "shape 1 has no label"),
    "deep": (b'{"shapes": ' + b"[" * 100_000, "is not JSON"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_named_in_one_line(tmp_path, case):
    content, message = BAD_FILES[case]
    (tmp_path / "7.json").write_bytes(content)
    with pytest.raises(InputError, match=re.escape("7.json: ") + f".*{message}|7.json: {message}") as excinfo:
        read_annotation(tmp_path / "7.json")
    assert one_line(excinfo)


def test_names_leave_out_background_and_what_is_to_be_ignored(tmp_path):
    labels = ["Hematoma", "_background_", "__ignore__", "hematoma "]
    path = write_json(tmp_path / "1.json", labelme([shape([], label=label) for label in labels], "1.png"))
    assert structure_names(read_annotation(path)) == ["hematoma", "hematoma"]


def annotated(root: Path, image_path: str, **changes):
    return read_annotation(write_json(root / "json" / "7.json", labelme([], image_path, **changes)))


@pytest.mark.parametrize("image_path", ["../png/7.png", "..\\png\\7.png", "../json/../png/7.png"])
def test_picture_is_found_where_the_path_leads(tmp_path, image_path):
    path = write_picture(tmp_path / "png" / "7.png", random_grey(1)[..., 0])
    assert picture_of(annotated(tmp_path, image_path), tmp_path).path == path.resolve()


def test_picture_of_the_same_stem_stands_in_for_a_missing_one(tmp_path):
    path = write_picture(tmp_path / "json" / "7.png", random_grey(1)[..., 0])
    assert (
        picture_of(annotated(tmp_path, "renamed.png", imageData=encoded(random_grey(1)[..., 0])), tmp_path).path == path
    )


def test_embedded_picture_stands_in_last(tmp_path):
    grey = random_grey(1, 9)[..., 0]
    assert np.array_equal(
        read_grey(picture_of(annotated(tmp_path, "gone.png", imageData=encoded(grey)), tmp_path)), grey
    )


OUTSIDE = ["../../secret.png", "..\\..\\secret.png", "/secret.png", "C:\\secret.png", "\\\\server\\share\\secret.png"]


@pytest.mark.parametrize("image_path", OUTSIDE)
def test_path_that_leaves_the_root_is_refused_even_with_a_picture_embedded(tmp_path, image_path):
    grey = random_grey(1)[..., 0]
    write_picture(tmp_path / "secret.png", grey)
    with pytest.raises(InputError, match=r"7.json: imagePath .* leaves the data set's folder") as excinfo:
        picture_of(annotated(tmp_path / "root", image_path, imageData=encoded(grey)), tmp_path / "root")
    assert one_line(excinfo)


def test_link_that_leaves_the_root_is_refused(tmp_path):
    secret = write_picture(tmp_path / "secret.png", random_grey(1)[..., 0])
    annotation = annotated(tmp_path / "root", "link.png")
    (tmp_path / "root" / "json" / "link.png").symlink_to(secret)
    with pytest.raises(InputError, match="leaves the data set's folder"):
        picture_of(annotation, tmp_path / "root")


@pytest.mark.parametrize("image_path", ["a\0b.png", "x" * 5000 + ".png", ""])
def test_path_that_is_none_costs_one_line(tmp_path, image_path):
    with pytest.raises(InputError, match=r"7.json: ") as excinfo:
        picture_of(annotated(tmp_path, image_path), tmp_path)
    assert one_line(excinfo)


@pytest.mark.parametrize("data", ["no base64!", base64.b64encode(b"no picture").decode(), 7])
def test_broken_embedded_picture_costs_one_line(tmp_path, data):
    with pytest.raises(InputError, match=r"7.json: ") as excinfo:
        read_grey(picture_of(annotated(tmp_path, "gone.png", imageData=data), tmp_path))
    assert one_line(excinfo)


def test_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "1.json").write_text(json.dumps(labelme([], "1.png")), "utf-8-sig")
    assert read_annotation(tmp_path / "1.json").stated_size == SIZE
