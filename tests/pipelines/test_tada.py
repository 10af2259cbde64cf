import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import pdist

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.tada import tada

PIXEL_MM = (0.5, 0.8)
THICKNESS_MM = 4.0
SHEARED = np.array([[0.5, 0.3, 0], [0.1, 0.7, 0], [0, 0.2, 5]])


def geometry_of(shape, columns=None):
    affine = np.eye(4)
    affine[:3, :3] = np.diag([*PIXEL_MM, THICKNESS_MM]) if columns is None else columns
    return Geometry(affine, shape)


def blob(seed=0, size=40, level=0.02):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size + 7)), 3)
    noise[[0, -1]] = noise[:, [0, -1]] = -1
    return (noise > level)[:, :, None]


def in_plane_mm(shape, geometry):
    """Pixel centres (I, J, 2) relative to the middle of the slice, in a frame of the slice plane."""
    pixels = np.stack(np.meshgrid(*(np.arange(size) - (size - 1) / 2 for size in shape[:2]), indexing="ij"), axis=-1)
    return pixels @ geometry.in_plane_mm.T


def ellipse(shape, geometry, diameters_mm, degrees=0.0):
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    along = in_plane_mm(shape, geometry) @ turn.T / (np.array(diameters_mm) / 2)
    return np.repeat((np.linalg.norm(along, axis=-1) <= 1)[:, :, None], shape[2], axis=2)


def slow_diameters(mask, geometry):
    """A and B of a one-slice mask without clever steps: all pairs of outline points, all edges for each line."""
    inside = np.pad(mask[:, :, 0], 1).astype(int)
    edges = []
    # One square of four pixel centres at a time; crossings lie halfway between a pixel inside and one outside.
    for i, j in np.ndindex(inside.shape[0] - 1, inside.shape[1] - 1):
        corners = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]
        ring = [(corners[n], corners[(n + 1) % 4]) for n in range(4)]
        crossings = [np.add(p, q) / 2 for p, q in ring if inside[p] != inside[q]]
        edges += [crossings] if len(crossings) == 2 else [crossings[:2], crossings[2:]] if crossings else []
    points = np.array(edges).reshape(-1, 2) @ geometry.in_plane_mm.T
    a_mm = pdist(points).max()
    chords = []
    for p in points:
        for step in points[np.isclose(np.linalg.norm(points - p, axis=1), a_mm, rtol=1e-9)] - p:
            chords.append(longest_chord(points.reshape(-1, 2, 2), step / a_mm))
    return a_mm, max(chords)


def longest_chord(edges, direction):
    across = np.array([-direction[1], direction[0]])
    longest = 0.0
    for place in (edges @ direction).ravel():
        places = edges @ direction - place
        cut = edges[places.min(axis=1) * places.max(axis=1) <= 0]
        at = np.abs(cut @ direction - place)
        total = at.sum(axis=1, keepdims=True)
        share = np.where(total > 0, at[:, ::-1] / np.where(total > 0, total, 1), 0.5)
        heights = np.concatenate([(cut @ across * share).sum(axis=1), (cut @ across)[at < 1e-12]])
        longest = max(longest, np.ptp(heights))
    return longest


def test_an_empty_mask_has_no_estimate():
    assert tada(np.zeros((5, 6, 7), bool), geometry_of((5, 6, 7))) is None


def test_one_voxel_measures_its_own_sides():
    mask = np.zeros((5, 6, 7), bool)
    mask[2, 3, 4] = True
    estimate = tada(mask, geometry_of(mask.shape))
    assert (estimate.a_mm, estimate.b_mm, estimate.c_mm) == pytest.approx((0.8, 0.5, 4.0))
    assert estimate.volume_ml == pytest.approx(0.8 * 0.5 * 4 / 2000)


@pytest.mark.parametrize(("length", "a_mm", "b_mm"), [(2, 1.0, 0.8), (5, 2.5, 0.8), (8, 4.0, 0.8)])
def test_a_run_of_pixels_measures_as_many_pixels_from_edge_to_edge(length, a_mm, b_mm):
    mask = np.zeros((12, 7, 3), bool)
    mask[2 : 2 + length, 3, 1] = True
    estimate = tada(mask, geometry_of(mask.shape))
    assert (estimate.a_mm, estimate.b_mm) == pytest.approx((a_mm, b_mm))


@pytest.mark.parametrize("diameter_mm", [6.0, 11.3, 20.0, 31.7])
@pytest.mark.parametrize(
    "columns",
    [
        np.diag([0.45, 0.45, 5]),
        np.diag([0.45, 0.6, 5]),
        np.diag([-0.45, 0.45, 5]),
        np.array([[0.5, 0.2, 0], [0, 0.4, 0], [0, 0, 5]]),
    ],
)
def test_a_digital_disc_measures_its_diameter_within_one_pixel(diameter_mm, columns):
    shape = (121, 131, 1)
    geometry = geometry_of(shape, columns)
    estimate = tada(ellipse(shape, geometry, (diameter_mm, diameter_mm)), geometry)
    pixel_mm = max(geometry.spacing_mm[:2])
    assert estimate.a_mm == pytest.approx(diameter_mm, abs=pixel_mm * (1 + 1e-9))
    assert estimate.b_mm == pytest.approx(diameter_mm, abs=pixel_mm * (1 + 1e-9))


@pytest.mark.parametrize("degrees", [0, 27, 45, 90, 163])
def test_an_ellipse_measures_its_two_axes_in_every_direction(degrees):
    shape = (161, 123, 1)
    geometry = geometry_of(shape, np.diag([0.45, 0.6, 5]))
    estimate = tada(ellipse(shape, geometry, (40.0, 24.0), degrees), geometry)
    assert (estimate.a_mm, estimate.b_mm) == pytest.approx((40, 24), abs=0.6)


def test_a_box_measures_its_diagonal_within_one_pixel():
    mask = np.zeros((50, 60, 1), bool)
    mask[5:45, 10:30] = True
    diagonal_mm = np.hypot(40 * PIXEL_MM[0], 20 * PIXEL_MM[1])
    assert tada(mask, geometry_of(mask.shape)).a_mm == pytest.approx(diagonal_mm, abs=0.8)


def test_a_crescent_measures_its_thickness_and_not_that_of_its_hull():
    i, j = np.ogrid[-60:61, -60:61]
    radius_mm = 0.5 * np.hypot(i, j)
    crescent = ((radius_mm <= 28) & (radius_mm >= 20) & (i > 25) & np.ones_like(j, bool))[:, :, None]
    estimate = tada(crescent, geometry_of(crescent.shape, np.diag([0.5, 0.5, 5])))
    assert estimate.a_mm == pytest.approx(2 * np.sqrt(28**2 - 12.75**2), abs=1)
    # Straight through the inner arc's end, where the crescent is thickest at right angles to its length.
    assert estimate.b_mm == pytest.approx(np.sqrt(28**2 - 20**2 + 12.75**2) - 12.75, abs=1)


def test_holes_and_notches_are_spanned():
    geometry = geometry_of((101, 101, 1), np.diag([0.5, 0.5, 5]))
    disc = ellipse((101, 101, 1), geometry, (30.0, 20.0))
    holed = disc.copy()
    holed[48:53, 45:56] = False
    whole, pierced = tada(disc, geometry), tada(holed, geometry)
    assert (pierced.a_mm, pierced.b_mm) == pytest.approx((whole.a_mm, whole.b_mm))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("columns", [np.diag([0.5, 0.8, 4]), SHEARED])
def test_diameters_equal_those_of_a_plain_rewrite(seed, columns):
    mask = blob(seed, size=24)
    geometry = geometry_of(mask.shape, columns)
    estimate = tada(mask, geometry)
    assert (estimate.a_mm, estimate.b_mm) == pytest.approx(slow_diameters(mask, geometry), rel=1e-9)


@pytest.mark.parametrize("columns", [np.diag([0.5, 0.8, 4]), np.diag([-0.5, 0.5, 4]), SHEARED, -SHEARED])
def test_a_single_pixel_measures_as_its_outline_does(columns):
    mask = np.zeros((3, 4, 3), bool)
    mask[0, 1, 0] = mask[1, 2, 1] = True
    geometry = geometry_of(mask.shape, columns)
    estimate = tada(mask, geometry)
    assert (estimate.a_mm, estimate.b_mm) == pytest.approx(slow_diameters(mask[:, :, 1:2], geometry), rel=1e-9)
    assert estimate.c_mm == pytest.approx(2 * geometry.slice_thicknesses_mm[0])


@pytest.mark.parametrize("seed", range(3))
def test_random_holes_change_nothing(seed):
    holed = np.random.default_rng(seed).random((13, 11, 1)) < 0.6
    holed[[0, -1]] = holed[:, [0, -1]] = True
    geometry = geometry_of(holed.shape, SHEARED)
    estimate = tada(holed, geometry)
    assert (estimate.a_mm, estimate.b_mm) == pytest.approx(slow_diameters(holed, geometry), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_lies_between_the_feret_diameter_of_pixel_centres_and_one_pixel_more(seed):
    mask = blob(seed)
    image = sitk.GetImageFromArray(mask[:, :, 0].T.astype(np.uint8))
    image.SetSpacing(PIXEL_MM)
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.ComputeFeretDiameterOn()
    statistics.Execute(image)
    feret_mm = statistics.GetFeretDiameter(1)
    assert feret_mm < tada(mask, geometry_of(mask.shape)).a_mm <= feret_mm + max(PIXEL_MM)


def test_the_slice_of_largest_area_gives_the_diameters_and_all_slices_the_extent():
    mask = np.zeros((20, 20, 6), bool)
    mask[4:8, 4:8, 1] = mask[4:9, 4:9, 2] = mask[3, 2:18, 3] = True
    estimate = tada(mask, geometry_of(mask.shape, np.diag([1.0, 1.0, 4.0])))
    largest = tada(mask[:, :, 2:3], geometry_of((20, 20, 1), np.diag([1.0, 1.0, 4.0])))
    assert (estimate.a_mm, estimate.b_mm) == (largest.a_mm, largest.b_mm)
    assert estimate.c_mm == pytest.approx(12)


def test_slices_count_fully_however_little_of_the_lesion_they_hold():
    mask = np.zeros((10, 10, 8), bool)
    for k, pixels in enumerate([1, 24, 25, 74, 75, 100, 0, 0]):
        mask[:, :, k].flat[:pixels] = True
    assert tada(mask, geometry_of(mask.shape)).c_mm == pytest.approx(6 * THICKNESS_MM)


def test_the_extent_sums_the_true_thicknesses_of_uneven_slices():
    heights = np.array([0.0, 4, 5, 12])
    origins = np.column_stack([np.zeros(4), np.zeros(4), heights])
    affine = np.diag([0.5, 0.8, 0, 1])
    affine[2, 2], affine[2, 3] = np.polyfit(np.arange(4), heights, 1)
    mask = np.zeros((6, 7, 4), bool)
    mask[2:4, 2:4, 1:3] = True
    assert tada(mask, Geometry(affine, mask.shape, origins)).c_mm == pytest.approx(2.5 + 4)


@pytest.mark.parametrize("turn", [np.flip, lambda m: m[::-1], lambda m: m[:, ::-1], lambda m: m[:, :, ::-1]])
def test_flips_change_nothing(turn):
    mask = np.concatenate([blob(1), blob(2), blob(3)], axis=2)
    geometry = geometry_of(mask.shape)
    estimate, turned = tada(mask, geometry), tada(turn(mask), geometry)
    assert (turned.a_mm, turned.b_mm, turned.c_mm) == pytest.approx((estimate.a_mm, estimate.b_mm, estimate.c_mm))


def test_a_symmetric_shape_gives_one_answer_however_its_slice_is_turned():
    shape = (41, 41, 1)
    geometry = geometry_of(shape, np.diag([0.5, 0.5, 5]))
    disc = ellipse(shape, geometry, (15.0, 15.0))
    bitten = disc & ~np.roll(disc, 25, axis=0)
    answers = [tada(np.rot90(bitten, n), geometry) for n in range(4)]
    assert [a.b_mm for a in answers] == pytest.approx([answers[0].b_mm] * 4)


def test_exchanging_rows_with_columns_changes_nothing():
    mask = blob(4)
    turned = tada(mask.transpose(1, 0, 2), geometry_of((47, 40, 1), np.diag([*PIXEL_MM[::-1], THICKNESS_MM])))
    estimate = tada(mask, geometry_of(mask.shape))
    assert (turned.a_mm, turned.b_mm) == pytest.approx((estimate.a_mm, estimate.b_mm))


def test_half_of_the_product_is_near_the_volume_of_a_ball():
    shape, radius_mm = (101, 103, 41), 20.0
    geometry = geometry_of(shape, np.diag([0.45, 0.45, 1.0]))
    i, j, k = (np.arange(size) - (size - 1) / 2 for size in shape)
    ball = np.add.outer(np.add.outer((0.45 * i) ** 2, (0.45 * j) ** 2), k**2) <= radius_mm**2
    estimate = tada(ball, geometry)
    assert estimate.c_mm == pytest.approx(2 * radius_mm, abs=1)
    assert estimate.volume_ml == pytest.approx((2 * radius_mm) ** 3 / 2000, rel=0.06)
