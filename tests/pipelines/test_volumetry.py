from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import label
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.volumetry import measure, measure_labels, slice_areas_mm2, volume_ml

SHAPE = (90, 104, 32)
STEPS_MM = (0.9, 0.8, 2.5)
CENTRE_RAS_MM = np.array([3.0, -12.0, 40.0])
OFF_LATTICE_RAS_MM = CENTRE_RAS_MM + np.array([0.13, 0.29, 0.71])
TILT = np.radians(18.5)
TILTED_COLUMNS = np.diag(STEPS_MM)
TILTED_COLUMNS[:, 1] = STEPS_MM[1] * np.array([0, np.cos(TILT), np.sin(TILT)])
TURN = Rotation.from_euler("xyz", (14.0, -9.0, 23.0), degrees=True).as_matrix()
COLUMNS = {
    "axis-aligned": np.diag(STEPS_MM),
    "anisotropic": np.diag([0.6, 1.1, 4.0]),
    "flipped": np.diag([-0.9, -0.8, 2.5]),
    "oblique": TURN @ np.diag(STEPS_MM),
    "tilted": TILTED_COLUMNS,
    "tilted and oblique": TURN @ TILTED_COLUMNS,
    "shifted sideways": np.array([[0.9, 0, 0], [0, 0.8, 0.6], [0, 0, 2.5]]),
}
# 28 slices of a tilted head CT: its table moves of 4.22, 1.14 and 7.38 mm are gaps of 4.00, 1.08 and 7.00 mm.
TABLE_INCREMENTS_MM = [4.22] * 13 + [1.14] + [7.38] * 13


def centred(columns, shape=SHAPE):
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = CENTRE_RAS_MM - columns @ (np.array(shape) - 1) / 2
    return Geometry(affine, shape)


def uneven(columns, increments_mm, in_plane=(90, 104)):
    """Slices along the third column at the increments, centred; the affine is their least-squares uniform one."""
    along = np.append(0, np.cumsum(increments_mm))
    direction = columns[:, 2] / np.linalg.norm(columns[:, 2])
    first = CENTRE_RAS_MM - columns[:, :2] @ (np.array(in_plane) - 1) / 2
    origins = first + np.outer(along - along[-1] / 2, direction)
    affine = np.eye(4)
    affine[:3, :2] = columns[:, :2]
    affine[:3, 2:] = np.linalg.lstsq(np.vander(np.arange(len(along)), 2), origins, rcond=None)[0].T
    return Geometry(affine, (*in_plane, len(along)), origins)


def ras_mm(geometry):
    return geometry.to_ras_mm(np.stack(np.indices(geometry.shape), axis=-1))


def ellipsoid(geometry, radii_mm, centre_ras_mm=CENTRE_RAS_MM):
    return np.linalg.norm((ras_mm(geometry) - centre_ras_mm) / radii_mm, axis=-1) <= 1


def voxelisation_bound_ml(mask, geometry, radii_mm):
    """Most that an ellipsoid's volume may err by being cut into slices, and these into pixels.

    Slices: areas are S (1 - z^2 / H^2), S the largest and H the half height along the slice normal. The trapezoidal
    rule loses S / 6 H^2 * gap^3 at each gap inside and gains up to S / 4 H * gap^2 at each pole.
    Pixels: four standard errors of counting by centres, each pixel that the outline cuts being off by 0.29 (uniform).
    """
    height_mm = np.linalg.norm(geometry.slice_normal_ras * radii_mm)
    largest_mm2 = np.pi * np.prod(radii_mm) / height_mm
    gaps_mm = geometry.slice_gaps_mm[mask.any(axis=(0, 1))[1:] | mask.any(axis=(0, 1))[:-1]]
    lost_mm3 = largest_mm2 / (6 * height_mm**2) * (gaps_mm**3).sum()
    gained_mm3 = largest_mm2 / (4 * height_mm) * (gaps_mm[0] ** 2 + gaps_mm[-1] ** 2)
    shifted = [np.roll(mask, step, axis) for axis in (0, 1) for step in (1, -1)]
    cut = np.count_nonzero(np.any(shifted, axis=0) ^ np.all(shifted, axis=0))
    return max(lost_mm3, gained_mm3) / 1000 + 4 * 0.29 * np.sqrt(cut) * geometry.voxel_ml


def reoriented(mask, geometry, orientation):
    image = nib.Nifti1Image(mask.astype(np.uint8), geometry.affine_ras).as_reoriented(np.array(orientation))
    return np.asanyarray(image.dataobj), Geometry(image.affine, image.shape)


def sitk_image(mask, affine_ras):
    affine_lps = np.diag([-1, -1, 1, 1]) @ affine_ras
    image = sitk.GetImageFromArray(mask.transpose(2, 1, 0).astype(np.uint8))
    spacing = np.linalg.norm(affine_lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine_lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine_lps[:3, 3].tolist())
    return image


def two_lesions(geometry):
    """A ball and a small ellipsoid: unequal in size, form and place."""
    mask = ellipsoid(geometry, (11, 9, 13), CENTRE_RAS_MM + np.array([12, 8, -6]))
    return mask | ellipsoid(geometry, (4, 6, 5), CENTRE_RAS_MM + np.array([-18, -14, 9]))


def test_two_voxels_two_millimetres_apart_can_be_checked_by_hand():
    mask = np.zeros((5, 6, 7), np.uint8)
    mask[1, 2, 3] = mask[3, 2, 3] = 1
    geometry = Geometry(np.diag([1.0, 3.0, 5.0, 1.0]), mask.shape)
    found = measure(mask, geometry)
    assert found.volume_ml == pytest.approx(2 * 1 * 3 * 5 / 1000)
    assert found.areas_mm2 == pytest.approx([0, 0, 0, 6, 0, 0, 0])
    assert (found.slices, found.max_area_mm2) == (1, pytest.approx(6))
    assert found.centroid_ras_mm == pytest.approx((2, 6, 15))
    assert [lesion.volume_ml for lesion in found.lesions] == pytest.approx([0.015, 0.015])
    assert [lesion.centroid_ras_mm for lesion in found.lesions] == [
        pytest.approx((1, 6, 15)),
        pytest.approx((3, 6, 15)),
    ]
    assert found.side == "both"
    assert found.flags == ("tiny_lesion",)


def test_an_empty_mask_measures_nothing():
    geometry = centred(np.diag(STEPS_MM))
    found = measure(np.zeros(SHAPE, bool), geometry)
    assert (found.volume_ml, found.lesions, found.slices, found.max_area_mm2) == (0.0, (), 0, 0.0)
    assert (found.centroid_ras_mm, found.side, found.flags) == (None, "", ())
    assert found.areas_mm2.tolist() == [0.0] * SHAPE[2]
    assert volume_ml(np.zeros(SHAPE, bool), geometry) == 0.0


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("radii_mm", [(20, 20, 20), (13, 24, 18)], ids=["ball", "ellipsoid"])
def test_a_solid_on_any_uniform_grid_errs_only_by_voxelisation(name, radii_mm):
    geometry = centred(COLUMNS[name])
    mask = ellipsoid(geometry, radii_mm, OFF_LATTICE_RAS_MM)
    true_ml = 4 / 3 * np.pi * np.prod(radii_mm) / 1000
    bound_ml = voxelisation_bound_ml(mask, geometry, radii_mm)
    found = measure(mask, geometry)
    assert found.volume_ml == pytest.approx(true_ml, abs=bound_ml)
    assert bound_ml < 0.03 * true_ml
    assert found.centroid_ras_mm == pytest.approx(OFF_LATTICE_RAS_MM, abs=0.2)


@pytest.mark.parametrize("name", ["axis-aligned", "oblique", "tilted", "tilted and oblique"])
@pytest.mark.parametrize("radii_mm", [(30, 30, 30), (25, 34, 40)], ids=["ball", "ellipsoid"])
def test_a_solid_on_uneven_slices_errs_only_by_voxelisation(name, radii_mm):
    geometry = uneven(COLUMNS[name], TABLE_INCREMENTS_MM)
    mask = ellipsoid(geometry, radii_mm, OFF_LATTICE_RAS_MM)
    true_ml = 4 / 3 * np.pi * np.prod(radii_mm) / 1000
    bound_ml = voxelisation_bound_ml(mask, geometry, radii_mm)
    assert volume_ml(mask, geometry) == pytest.approx(true_ml, abs=bound_ml)
    assert bound_ml < 0.03 * true_ml
    assert geometry.flags[0] == "uneven_slices"


@pytest.mark.parametrize("name", ["axis-aligned", "oblique", "tilted"])
def test_a_box_of_whole_voxels_is_exact(name):
    geometry = centred(COLUMNS[name])
    mask = np.zeros(SHAPE, bool)
    mask[10:35, 20:61, 5:18] = True
    edges_mm = np.array([[25, 0, 0], [0, 41, 0], [0, 0, 13]]) @ COLUMNS[name].T
    true_ml = abs(np.dot(np.cross(edges_mm[0], edges_mm[1]), edges_mm[2])) / 1000
    assert volume_ml(mask, geometry) == pytest.approx(true_ml, rel=1e-12)


@pytest.mark.parametrize("name", ["axis-aligned", "oblique", "tilted"])
def test_a_prism_on_uneven_slices_is_exact(name):
    geometry = uneven(COLUMNS[name], TABLE_INCREMENTS_MM)
    mask = np.zeros(geometry.shape, bool)
    mask[30:50, 40:55, 10:18] = True
    # Slices 10 to 17: three full thin gaps, half of thin and overlap twice, three full thick gaps.
    along_table_mm = 3 * 4.22 + 2 * (4.22 + 1.14) / 2 - (4.22 + 1.14) / 2 + (1.14 + 7.38) / 2 + 3 * 7.38
    normal = geometry.slice_normal_ras
    cosine = abs(normal @ COLUMNS[name][:, 2]) / np.linalg.norm(COLUMNS[name][:, 2])
    assert volume_ml(mask, geometry) == pytest.approx(300 * 0.9 * 0.8 * along_table_mm * cosine / 1000, rel=1e-9)


def test_the_centroid_on_uneven_slices_weighs_each_slice_by_its_thickness():
    geometry = uneven(np.diag(STEPS_MM), [4, 1, 7])
    mask = np.zeros(geometry.shape, bool)
    mask[10, 20, 1] = mask[14, 20, 2] = True
    low, high = geometry.to_ras_mm([[10, 20, 1], [14, 20, 2]])
    assert measure(mask, geometry).centroid_ras_mm == pytest.approx((2.5 * low + 4 * high) / 6.5)


@pytest.mark.parametrize("name", ["oblique", "tilted", "tilted and oblique", "shifted sideways"])
def test_volume_and_place_are_unchanged_by_every_permutation_and_flip_of_the_axes(name):
    geometry = centred(COLUMNS[name])
    mask = two_lesions(geometry)
    expected = measure(mask, geometry)
    for axes, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        found = measure(*reoriented(mask, geometry, list(zip(axes, flips, strict=True))))
        assert found.volume_ml == pytest.approx(expected.volume_ml, rel=1e-6)
        assert found.centroid_ras_mm == pytest.approx(expected.centroid_ras_mm, abs=1e-6)
        assert found.side == expected.side
        lesions_ml = [lesion.volume_ml for lesion in expected.lesions]
        assert [lesion.volume_ml for lesion in found.lesions] == pytest.approx(lesions_ml, rel=1e-6)


@pytest.mark.parametrize("name", COLUMNS)
def test_the_closest_canonical_study_measures_the_same(name):
    geometry = centred(COLUMNS[name])
    mask = two_lesions(geometry)
    canonical = nib.as_closest_canonical(nib.Nifti1Image(mask.astype(np.uint8), geometry.affine_ras))
    found = measure(np.asanyarray(canonical.dataobj), Geometry(canonical.affine, canonical.shape))
    expected = measure(mask, geometry)
    assert found.volume_ml == pytest.approx(expected.volume_ml, rel=1e-6)
    assert found.max_area_mm2 == pytest.approx(expected.max_area_mm2, rel=1e-6)
    assert found.lesions[0].tada.volume_ml == pytest.approx(expected.lesions[0].tada.volume_ml, rel=1e-6)


@pytest.mark.parametrize("flips", list(product((1, -1), repeat=3)))
def test_flipping_an_uneven_study_with_its_origins_changes_nothing(flips):
    geometry = uneven(TILTED_COLUMNS, TABLE_INCREMENTS_MM)
    mask = two_lesions(geometry)
    turned, affine_only = reoriented(mask, geometry, [(axis, flip) for axis, flip in enumerate(flips)])
    corner = [0 if flip == 1 else size - 1 for flip, size in zip(flips, SHAPE, strict=False)]
    origins = geometry.to_ras_mm([[corner[0], corner[1], k] for k in range(28)])[:: flips[2]]
    found = measure(turned, Geometry(affine_only.affine_ras, geometry.shape, origins))
    expected = measure(mask, geometry)
    assert found.volume_ml == pytest.approx(expected.volume_ml, rel=1e-6)
    assert found.centroid_ras_mm == pytest.approx(expected.centroid_ras_mm, abs=1e-6)
    assert found.areas_mm2[:: flips[2]] == pytest.approx(expected.areas_mm2)


@pytest.mark.parametrize("name", ["axis-aligned", "flipped", "oblique"])
def test_size_place_and_number_of_lesions_agree_with_simpleitk(name):
    geometry = centred(COLUMNS[name])
    mask = two_lesions(geometry) | (np.random.default_rng(0).random(SHAPE) < 2e-4)
    components = sitk.ConnectedComponentImageFilter()
    components.FullyConnectedOn()
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(components.Execute(sitk_image(mask, geometry.affine_ras)))
    oracle = [
        (statistics.GetPhysicalSize(n) / 1000, np.array(statistics.GetCentroid(n)) * [-1, -1, 1])
        for n in statistics.GetLabels()
    ]
    oracle.sort(key=lambda lesion: -lesion[0])
    lesions = measure(mask, geometry).lesions
    assert len(lesions) == len(oracle) > 20
    assert [lesion.volume_ml for lesion in lesions] == pytest.approx([volume for volume, _ in oracle], rel=1e-9)
    for lesion, (_, centroid_ras_mm) in zip(lesions[:2], oracle[:2], strict=True):
        assert lesion.centroid_ras_mm == pytest.approx(centroid_ras_mm, abs=1e-6)


def test_lesions_share_the_volume_and_come_largest_first():
    geometry = uneven(TILTED_COLUMNS, TABLE_INCREMENTS_MM)
    found = measure(two_lesions(geometry), geometry)
    volumes_ml = [lesion.volume_ml for lesion in found.lesions]
    assert len(volumes_ml) == 2
    assert volumes_ml == sorted(volumes_ml, reverse=True)
    assert sum(volumes_ml) == pytest.approx(found.volume_ml)
    assert found.max_area_mm2 >= found.lesions[0].max_area_mm2
    assert found.slices <= sum(lesion.slices for lesion in found.lesions)


def test_voxels_that_share_only_a_corner_are_one_lesion():
    mask = np.zeros((6, 7, 8), bool)
    mask[2, 3, 4] = mask[3, 4, 5] = mask[1, 2, 3] = True
    lesions = measure(mask, Geometry(np.diag([1.0, 2, 3, 1]), mask.shape)).lesions
    assert [(lesion.slices, lesion.volume_ml) for lesion in lesions] == [(3, pytest.approx(0.018))]


@pytest.mark.parametrize("density", [0.02, 0.1, 0.4])
def test_components_equal_scipys_on_boxes_of_any_size(density):
    random = np.random.default_rng(0)
    for shape in product((1, 3, 5, 6), repeat=3):
        mask = random.random(shape) < density
        lesions = measure(mask, Geometry(np.diag([1.0, 2, 3, 1]), shape)).lesions
        assert len(lesions) == label(mask, np.ones((3, 3, 3)))[1]


def test_neighbouring_lesions_whose_boxes_overlap_keep_apart():
    mask = np.zeros((12, 13, 7), bool)
    mask[2:10, 2, 3] = mask[2, 2:10, 3] = True
    mask[6:9, 6:9, 3] = True
    lesions = measure(mask, Geometry(np.diag([1.0, 2, 3, 1]), mask.shape)).lesions
    assert [lesion.volume_ml for lesion in lesions] == pytest.approx([15 * 0.006, 9 * 0.006])
    assert lesions[1].tada.c_mm == pytest.approx(3)


def test_areas_times_thicknesses_are_the_volume():
    geometry = uneven(TILTED_COLUMNS, TABLE_INCREMENTS_MM)
    mask = two_lesions(geometry)
    areas_mm2 = slice_areas_mm2(mask, geometry)
    assert areas_mm2 == pytest.approx(mask.sum(axis=(0, 1)) * 0.9 * 0.8)
    assert volume_ml(mask, geometry) == pytest.approx((areas_mm2 * geometry.slice_thicknesses_mm).sum() / 1000)
    assert measure(mask, geometry).areas_mm2 == pytest.approx(areas_mm2)


@pytest.mark.parametrize("voxel", [(0, 5, 3), (8, 5, 3), (4, 0, 3), (4, 10, 3), (4, 5, 0), (4, 5, 6)])
def test_a_lesion_in_the_first_or_last_row_column_or_slice_touches_the_border(voxel):
    mask = np.zeros((9, 11, 7), bool)
    mask[4, 5, 3] = mask[voxel] = True
    found = measure(mask, Geometry(np.diag([4.0, 6, 5, 1]), mask.shape))
    assert found.flags == ("touches_border",)
    assert sorted(lesion.touches_border for lesion in found.lesions) == [False, True]


@pytest.mark.parametrize(("voxels", "flags"), [(9, ("tiny_lesion",)), (11, ())])
def test_only_a_largest_lesion_below_a_tenth_of_a_millilitre_is_tiny(voxels, flags):
    mask = np.zeros((20, 11, 7), bool)
    mask[2 : 2 + voxels, 5, 3] = mask[2, 2, 1] = True
    assert measure(mask, Geometry(np.diag([1.0, 2, 5, 1]), mask.shape)).flags == flags


@pytest.mark.parametrize(("first", "count", "side"), [(1, 4, "left"), (6, 4, "right"), (3, 5, "both"), (5, 1, "both")])
def test_the_side_is_right_where_r_is_beyond_the_midline(first, count, side):
    mask = np.zeros((11, 9, 5), bool)
    mask[first : first + count, 4, 2] = True
    assert measure(mask, Geometry(np.diag([2.0, 3, 5, 1]), mask.shape)).side == side


def test_the_midline_can_be_given():
    mask = np.zeros((11, 9, 5), bool)
    mask[1:5, 4, 2] = True
    geometry = Geometry(np.diag([2.0, 3, 5, 1]), mask.shape)
    assert [measure(mask, geometry, r_mm).side for r_mm in (-1.0, 5.0, 20.0)] == ["right", "both", "left"]


@pytest.mark.parametrize(("on_right", "side"), [(8, "right"), (7, "both"), (3, "both"), (2, "left")])
def test_four_fifths_of_the_volume_decide_the_side(on_right, side):
    mask = np.zeros((20, 11, 3), bool)
    mask[15, :on_right, 1] = mask[3, on_right:10, 1] = True
    assert measure(mask, Geometry(np.diag([2.0, 3, 5, 1]), mask.shape)).side == side


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32])
def test_the_callers_mask_is_left_alone_whatever_its_type(order, dtype):
    geometry = centred(np.diag(STEPS_MM))
    mask = np.array(two_lesions(geometry) * 3, dtype=dtype, order=order)
    mask.setflags(write=False)
    assert measure(mask, geometry).volume_ml == pytest.approx(volume_ml(two_lesions(geometry), geometry))


def test_a_mask_of_another_grid_is_refused():
    with pytest.raises(InputError, match=r"\(90, 104, 31\), expected its scan's \(90, 104, 32\)"):
        measure(np.ones((90, 104, 31), bool), centred(np.diag(STEPS_MM)))


def test_a_study_of_one_slice_is_measured_with_its_headers_thickness():
    affine = np.diag([0.5, 0.8, 5.0, 1.0])
    mask = np.zeros((30, 40, 1), bool)
    mask[5:25, 10:30] = True
    found = measure(mask, Geometry(affine, mask.shape, np.zeros((1, 3)), np.array([4.5])))
    assert found.volume_ml == pytest.approx(400 * 0.5 * 0.8 * 4.5 / 1000)
    assert found.lesions[0].tada.c_mm == pytest.approx(4.5)
    assert found.flags == ("touches_border",)


def test_all_labels_together_measure_as_each_alone() -> None:
    geometry = Geometry(np.diag([0.5, 0.7, 3.0, 1.0]), (14, 12, 9))
    labels = np.random.default_rng(0).integers(0, 5, geometry.shape).astype(np.uint16)
    labels[labels == 2] = 300
    together = measure_labels(labels, geometry, [1, 2, 300])
    assert together[2].volume_ml == 0.0
    for value, measurement in together.items():
        alone = measure(labels == value, geometry)
        assert measurement.lesions == alone.lesions
        assert (measurement.volume_ml, measurement.side, measurement.centroid_ras_mm, measurement.flags) == (
            alone.volume_ml,
            alone.side,
            alone.centroid_ras_mm,
            alone.flags,
        )
        np.testing.assert_array_equal(measurement.areas_mm2, alone.areas_mm2)


def test_labels_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        measure_labels(np.zeros((2, 3, 4), np.uint8), Geometry(np.eye(4), (2, 3, 5)), [1])
