import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry, apart_mm, same_grid

SHAPE = (11, 13, 5)
STEPS_MM = (0.5, 0.7, 5.0)
CORNER_RAS_MM = (-40.0, 25.0, 110.0)
TILT_DEG = 18.5
# A head CT of 28 slices with its gantry tilted: 13 thin gaps, the overlap of the two blocks, 13 thick gaps.
TABLE_INCREMENTS_MM = [4.22] * 13 + [1.14] + [7.38] * 13


def affine_of(columns, corner=CORNER_RAS_MM):
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = corner
    return affine


def straight():
    return affine_of(np.diag(STEPS_MM))


def oblique(degrees=(12.0, -7.0, 20.0)):
    return affine_of(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ np.diag(STEPS_MM))


def tilted(degrees=TILT_DEG):
    """The slices lean around R, the table still moves along S."""
    columns = np.diag(STEPS_MM)
    angle = np.radians(degrees)
    columns[:, 1] = 0.7 * np.array([0, np.cos(angle), np.sin(angle)])
    return affine_of(columns)


def shifted_sideways():
    """Slices level, each moved a little to the front."""
    columns = np.diag(STEPS_MM)
    columns[1, 2] = 1.5
    return affine_of(columns)


def skewed_in_plane():
    columns = np.diag(STEPS_MM)
    columns[0, 1] = 0.1
    return affine_of(columns)


def along_table(affine, increments_mm):
    """Origins along the third column at the increments, and the affine with their least-squares uniform stack."""
    direction = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    origins = affine[:3, 3] + np.outer(np.append(0, np.cumsum(increments_mm)), direction)
    fitted = affine.copy()
    ones = np.column_stack([np.arange(len(origins)), np.ones(len(origins))])
    fitted[:3, 2:] = np.linalg.lstsq(ones, origins, rcond=None)[0].T
    return origins, fitted


def uneven(increments_mm=(4.0, 1.0, 7.0, 7.0), affine=None, in_plane=(11, 13)):
    origins, fitted = along_table(straight() if affine is None else affine, increments_mm)
    return Geometry(fitted, (*in_plane, len(origins)), origins)


def write_sidecar(path: Path, origins, thickness):
    content = {"slice_origins_ras_mm": np.asarray(origins).tolist(), "slice_thickness_mm": list(thickness)}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("affine", [straight(), oblique(), tilted(), shifted_sideways(), skewed_in_plane()])
def test_a_voxel_of_a_uniform_grid_is_its_affines_determinant(affine):
    geometry = Geometry(affine, SHAPE)
    determinant_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    assert geometry.voxel_ml == pytest.approx(determinant_ml, rel=1e-12)
    slab_ml = geometry.pixel_area_mm2 * geometry.slice_thicknesses_mm / 1000
    assert slab_ml == pytest.approx(np.full(SHAPE[2], determinant_ml), rel=1e-12)


@pytest.mark.parametrize("affine", [straight(), oblique(), tilted(), shifted_sideways()])
def test_spacing_multiplies_to_the_voxel_volume_where_pixels_are_rectangles(affine):
    geometry = Geometry(affine, SHAPE)
    assert geometry.spacing_mm.prod() / 1000 == pytest.approx(geometry.voxel_ml, rel=1e-12)


def test_slice_distance_of_a_tilted_study_is_measured_along_the_normal_and_not_along_the_table():
    geometry = Geometry(tilted(), SHAPE)
    assert geometry.spacing_mm == pytest.approx([0.5, 0.7, 5.0 * np.cos(np.radians(TILT_DEG))])


@pytest.mark.parametrize("flip", [np.diag([1.0, 1, 1]), np.diag([-1.0, 1, 1]), np.diag([1.0, 1, -1])])
def test_the_slice_normal_is_a_unit_vector_towards_the_next_slice(flip):
    affine = tilted()
    affine[:3, :3] = affine[:3, :3] @ flip
    geometry = Geometry(affine, SHAPE)
    assert np.linalg.norm(geometry.slice_normal_ras) == pytest.approx(1)
    assert geometry.slice_normal_ras @ affine[:3, :2] == pytest.approx([0, 0], abs=1e-12)
    assert geometry.slice_normal_ras @ affine[:3, 2] > 0


@pytest.mark.parametrize(
    ("affine", "flags"),
    [
        (straight(), ()),
        (oblique(), ("oblique",)),
        (oblique((0, 0, 0.8)), ()),
        (tilted(), ("sheared", "oblique")),
        (tilted(0.4), ()),
        (shifted_sideways(), ("sheared",)),
        (skewed_in_plane(), ("sheared",)),
        (straight()[[1, 2, 0, 3]], ()),
        (straight() * [[-1], [-1], [1], [1]], ()),
    ],
)
def test_flags_name_shear_and_obliquity(affine, flags):
    assert Geometry(affine, SHAPE).flags == flags


def test_an_uneven_slice_takes_half_of_each_gap_and_an_end_slice_its_one_gap_in_full():
    geometry = uneven([4, 1, 7])
    assert geometry.slice_gaps_mm == pytest.approx([4, 1, 7])
    assert geometry.slice_thicknesses_mm == pytest.approx([4, 2.5, 4, 7])
    assert geometry.spacing_mm == pytest.approx([0.5, 0.7, 4])
    assert geometry.voxel_ml == pytest.approx(0.5 * 0.7 * 4.375 / 1000)
    assert geometry.flags == ("uneven_slices",)


def test_two_slices_each_take_their_one_gap():
    assert uneven([3.0]).slice_thicknesses_mm == pytest.approx([3, 3])


def test_a_single_slice_has_the_headers_thickness():
    with_header = Geometry(straight(), (11, 13, 1), np.array([CORNER_RAS_MM]), np.array([4.5]))
    assert with_header.slice_thicknesses_mm == pytest.approx([4.5])
    assert with_header.spacing_mm == pytest.approx([0.5, 0.7, 4.5])
    assert with_header.voxel_ml == pytest.approx(0.5 * 0.7 * 4.5 / 1000)
    assert Geometry(straight(), (11, 13, 1)).slice_thicknesses_mm == pytest.approx([5.0])


def test_between_slices_the_header_thickness_counts_for_nothing():
    origins, affine = along_table(straight(), [4, 1, 7])
    geometry = Geometry(affine, (11, 13, 4), origins, np.array([4.0, 4, 7, 7]))
    assert geometry.slice_thicknesses_mm == pytest.approx([4, 2.5, 4, 7])


def test_table_increments_of_a_tilted_head_ct_become_its_perpendicular_gaps():
    geometry = uneven(TABLE_INCREMENTS_MM, tilted())
    assert geometry.slice_gaps_mm == pytest.approx([4.0] * 13 + [1.08] + [7.0] * 13, abs=0.005)
    ends_in_full = 13 * 4.22 + 1.14 + 13 * 7.38 + (4.22 + 7.38) / 2
    assert geometry.slice_thicknesses_mm.sum() == pytest.approx(ends_in_full * np.cos(np.radians(TILT_DEG)))
    assert geometry.flags == ("uneven_slices", "sheared", "oblique")


def test_a_sidecar_with_even_slices_changes_nothing():
    with_origins, without = uneven([5.0] * 4), Geometry(straight(), SHAPE)
    assert with_origins.flags == ()
    assert with_origins.slice_thicknesses_mm == pytest.approx(without.slice_thicknesses_mm, rel=1e-12)


def test_gaps_that_differ_by_rounding_are_even():
    assert uneven([5.0, 5.01, 5.0, 4.99]).flags == ()
    assert uneven([0.62, 0.63, 0.62, 0.63]).flags == ()
    assert uneven([5.0, 5.1, 5.0]).flags == ("uneven_slices",)


@pytest.mark.parametrize("gaps_mm", [[5.0, 5, 10, 5, 5], [10.0, 5, 5, 5], [5.0, 15, 12, 5]])
def test_a_gap_far_wider_than_those_beside_it_is_flagged(gaps_mm: list[float]) -> None:
    assert uneven(gaps_mm).flags == ("uneven_slices", "missing_slices")


def test_a_protocol_that_changes_its_distance_misses_no_slice() -> None:
    assert uneven([4.0, 4, 4, 1, 7, 7, 7]).flags == uneven([5.0, 5, 3, 5]).flags == ("uneven_slices",)


def test_voxels_of_a_uniform_grid_lie_where_the_affine_says():
    indices = np.array([[0, 0, 0], [3, 4, 2], [10, 12, 4], [1.5, -0.5, 2.25]])
    homogeneous = np.column_stack([indices, np.ones(4)])
    assert Geometry(tilted(), SHAPE).to_ras_mm(indices) == pytest.approx((homogeneous @ tilted().T)[:, :3])


def test_voxels_between_uneven_slices_are_interpolated_and_beyond_them_continued():
    geometry = uneven([4, 1, 7])
    heights = geometry.to_ras_mm([[0, 0, k] for k in (0, 0.5, 1, 2, 2.25, 3, 3.5, -0.5)])[:, 2] - CORNER_RAS_MM[2]
    assert heights == pytest.approx([0, 2, 4, 5, 6.75, 12, 15.5, -2])
    assert geometry.to_ras_mm([2, 3, 1]) == pytest.approx([-39.0, 27.1, 114.0])


def test_the_in_plane_frame_keeps_lengths_and_angles():
    affine = skewed_in_plane()
    pixels = np.array([[3.0, 2.0], [-1.0, 4.0]])
    in_patient, in_frame = pixels @ affine[:3, :2].T, pixels @ Geometry(affine, SHAPE).in_plane_mm.T
    assert in_frame @ in_frame.T == pytest.approx(in_patient @ in_patient.T)


def in_half_a_thousand_pixels(affine):
    return Geometry(affine, (512, 512, 30))


def turned_about_its_corner(degrees):
    return affine_of(Rotation.from_euler("z", degrees, degrees=True).as_matrix() @ np.diag(STEPS_MM))


def test_grids_whose_headers_round_differently_are_one():
    rounded = straight() + np.diag([3e-4, -4e-4, 0, 0]) * 0.8  # three decimals
    assert same_grid(in_half_a_thousand_pixels(straight()), in_half_a_thousand_pixels(rounded))
    assert apart_mm(straight(), rounded, (512, 512, 30)) == pytest.approx(511 * 4e-4)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(straight() - np.diag([0.009, 0.009, 0, 0]), id="pixels that are two per cent smaller"),
        pytest.param(turned_about_its_corner(0.5), id="half a degree"),
        pytest.param(straight() + np.outer([0, 1, 0, 0], [0, 0, 0, 0.26]), id="half a pixel to the front"),
    ],
)
def test_grids_that_lie_apart_anywhere_are_two(other):
    assert not same_grid(in_half_a_thousand_pixels(straight()), in_half_a_thousand_pixels(other))


def test_a_geometry_is_independent_of_the_array_it_was_made_from_and_survives_pickling():
    affine = straight()
    geometry = Geometry(affine, SHAPE)
    affine[:] = 0
    assert pickle.loads(pickle.dumps(geometry)).voxel_ml == pytest.approx(0.5 * 0.7 * 5 / 1000)
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine_ras[0, 0] = 2


def broken_affine(row, column, value):
    affine = straight()
    affine[row, column] = value
    return affine


@pytest.mark.parametrize(
    ("affine", "shape", "reason"),
    [
        (broken_affine(0, 0, np.nan), SHAPE, "finite"),
        (broken_affine(1, 3, np.inf), SHAPE, "finite"),
        (broken_affine(2, 2, 0.0), SHAPE, "singular"),
        (np.zeros((4, 4)) + np.diag([0, 0, 0, 1]), SHAPE, "singular"),
        (affine_of([[1, 2, 0], [1, 2, 0], [0, 0, 5.0]]), SHAPE, "singular"),
        (broken_affine(0, 0, 0.01), SHAPE, "0.01 x 0.7 x 5 mm, expected 0.05 to 30"),
        (broken_affine(2, 2, 500), SHAPE, "0.5 x 0.7 x 500 mm"),
        (np.eye(3), SHAPE, "4 x 4"),
        (broken_affine(3, 0, 1), SHAPE, "0 0 0 1"),
        ([["a"] * 4] * 4, SHAPE, "numbers"),
        (straight(), (11, 13), "three axes"),
        (straight(), (11, 13, 5, 1), "three axes"),
        (straight(), (11, 0, 5), "none empty"),
    ],
)
def test_a_grid_that_cannot_be_measured_is_refused_with_its_reason(affine, shape, reason):
    with pytest.raises(InputError, match=reason) as refusal:
        Geometry(affine, shape)
    assert "\n" not in str(refusal.value)


def test_a_sidecar_is_read_with_its_image(tmp_path):
    origins, affine = along_table(tilted(), [4, 1, 7])
    path = write_sidecar(tmp_path / "case.geometry.json", origins, [4, 4, 7, 7])
    geometry = Geometry.with_sidecar(affine.astype(np.float32), (11, 13, 4), path)
    expected = np.array([4, 2.5, 4, 7]) * np.cos(np.radians(TILT_DEG))
    assert geometry.slice_thicknesses_mm == pytest.approx(expected, rel=1e-6)
    assert Geometry.with_sidecar(affine, (11, 13, 4), None).flags == ("sheared", "oblique")


def test_a_sidecar_without_thicknesses_is_enough_for_several_slices(tmp_path):
    origins, affine = along_table(straight(), [4, 1, 7])
    path = tmp_path / "case.geometry.json"
    path.write_text(json.dumps({"slice_origins_ras_mm": origins.tolist()}))
    assert Geometry.with_sidecar(affine, (11, 13, 4), path).slice_thicknesses_mm == pytest.approx([4, 2.5, 4, 7])


def test_a_sidecar_that_contradicts_the_affine_is_refused_with_both_distances(tmp_path):
    origins, _ = along_table(straight(), [4.0] * 4)
    path = write_sidecar(tmp_path / "case.geometry.json", origins, [4] * 5)
    with pytest.raises(InputError, match=r"case\.geometry\.json: .* 4 mm apart .* 5 mm"):
        Geometry.with_sidecar(straight(), SHAPE, path)


ORIGINS, FITTED = along_table(straight(), [4, 1, 7, 7])


@pytest.mark.parametrize(
    ("origins", "thickness", "reason"),
    [
        (ORIGINS[:-1], [4] * 5, r"shape \(4, 3\), expected \(5, 3\)"),
        (ORIGINS[:, :2], [4] * 5, r"expected \(5, 3\)"),
        (ORIGINS, [4] * 4, r"slice thicknesses have shape \(4,\)"),
        (ORIGINS, [4, 4, 0, 4, 4], "above 0 mm"),
        (ORIGINS, [4, 4, -3, 4, 4], "above 0 mm"),
        (ORIGINS, [4, 4, float("nan"), 4, 4], "finite"),
        (ORIGINS * [1, 1, np.inf], [4] * 5, "finite"),
        (ORIGINS[[0, 2, 1, 3, 4]], [4] * 5, "from slice 1 to slice 2 they go -1 mm"),
        (ORIGINS[[0, 1, 1, 3, 4]], [4] * 5, "from slice 1 to slice 2 they go 0 mm"),
        (ORIGINS[::-1], [4] * 5, "advance in the order"),
        (ORIGINS + np.array([0, 0, 3]), [4] * 5, "disagree by 3 mm"),
        (ORIGINS * [-1, -1, 1], [4] * 5, "another study"),
        (ORIGINS + np.outer(range(5), [0.5, 0, 0]), [4] * 5, "disagree by 2 mm"),
    ],
)
def test_a_sidecar_that_cannot_be_right_is_refused_by_its_name_and_reason(tmp_path, origins, thickness, reason):
    path = write_sidecar(tmp_path / "case.geometry.json", origins, thickness)
    with pytest.raises(InputError, match=reason) as refusal:
        Geometry.with_sidecar(FITTED, SHAPE, path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON"),
        (b'{"slice_origins_ras_mm": [[', "is not JSON"),
        (b"\xff\xfe\x00\x81", "is not JSON"),
        (b"[1, 2]", "JSON object"),
        (b"{}", "expected slice_origins_ras_mm"),
        (b'{"slice_origins_ras_mm": "here"}', "numbers"),
        (b'{"slice_origins_ras_mm": [[0, 0, 1], [0, 0]]}', "numbers"),
        (b'{"slice_origins_ras_mm": {"r": 1}}', "numbers"),
        (b'{"slice_origins_ras_mm": null}', "found none"),
    ],
)
def test_an_unreadable_sidecar_is_refused_by_its_name(tmp_path, content, reason):
    path = tmp_path / "case.geometry.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as refusal:
        Geometry.with_sidecar(FITTED, SHAPE, path)
    assert str(refusal.value).startswith(f"{path}: ")


def test_a_missing_sidecar_is_refused_by_its_name(tmp_path):
    with pytest.raises(InputError, match=r"gone\.geometry\.json: cannot be read"):
        Geometry.with_sidecar(straight(), SHAPE, tmp_path / "gone.geometry.json")


def test_a_bad_affine_is_not_blamed_on_the_sidecar(tmp_path):
    path = write_sidecar(tmp_path / "case.geometry.json", ORIGINS, [4] * 5)
    with pytest.raises(InputError, match=r"^the affine is singular"):
        Geometry.with_sidecar(broken_affine(0, 0, 0), SHAPE, path)
