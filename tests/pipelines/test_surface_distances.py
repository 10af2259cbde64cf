from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import (
    HausdorffDistanceMetric,
    SurfaceDistanceMetric,
    compute_average_surface_distance,
    compute_hausdorff_distance,
)
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.surface_distances import diagonal_mm, surface_distances

SHAPE = (7, 6, 5)
SPACING_MM = (2.0, 0.5, 3.0)
PLAIN = Geometry(np.diag([*SPACING_MM, 1.0]), SHAPE)
TILTED = Geometry(np.array([[2.0, 0, 0, 5], [0, 0.5, 1.5, -7], [0, 0, 3.0, 2], [0, 0, 0, 1]]), SHAPE)
UNEVEN = Geometry(
    np.array([[2.0, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 3.2, -0.6], [0, 0, 0, 1]]),
    SHAPE,
    np.array([[0.0, 0, z] for z in (0.0, 2.0, 5.0, 10.0, 12.0)]),
)
GRIDS = {"plain": PLAIN, "tilted": TILTED, "uneven": UNEVEN}


def mask_of(*voxels: tuple[int, int, int], shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for voxel in voxels:
        mask[voxel] = True
    return mask


def brute_force(prediction: np.ndarray, truth: np.ndarray, geometry: Geometry) -> tuple[float, float, float]:
    """The same numbers from all pairs of surface voxels."""

    def places_mm(mask: np.ndarray) -> np.ndarray:
        inside = np.pad(mask, 1)
        for axis, step in product(range(3), (-1, 1)):
            inside = inside & np.roll(np.pad(mask, 1), step, axis)
        surface = np.argwhere(mask & ~inside[1:-1, 1:-1, 1:-1])
        origins = geometry.slice_origins_ras_mm
        stack = geometry.affine_ras[:3, 3] + np.outer(range(geometry.shape[2]), geometry.affine_ras[:3, 2])
        return surface[:, :2] @ geometry.affine_ras[:3, :2].T + (stack if origins is None else origins)[surface[:, 2]]

    pairs = np.linalg.norm(places_mm(prediction)[:, None] - places_mm(truth)[None], axis=-1)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    both = np.append(there, back)
    return both.max(), max(np.quantile(there, 0.95), np.quantile(back, 0.95)), both.mean()


@pytest.mark.parametrize(("axis", "expected_mm"), [(0, 4.0), (1, 1.0), (2, 6.0)])
def test_voxels_two_steps_apart_are_two_spacings_apart(axis: int, expected_mm: float) -> None:
    other = [1, 1, 1]
    other[axis] = 3
    assert surface_distances(mask_of((1, 1, 1)), mask_of(tuple(other)), PLAIN) == pytest.approx((expected_mm,) * 3)


@pytest.mark.parametrize(("axis", "steps"), [(0, 3), (1, 2), (2, 1)])
def test_the_hausdorff_distance_of_a_shifted_box_is_the_shift(axis: int, steps: int) -> None:
    box = np.zeros(SHAPE, bool)
    box[1:4, 1:4, 1:4] = True
    moved = np.roll(box, steps, axis)
    assert surface_distances(box, moved, PLAIN).hd_mm == pytest.approx(steps * SPACING_MM[axis])


def test_on_a_tilted_grid_the_distance_is_that_in_the_patient() -> None:
    found = surface_distances(mask_of((2, 1, 0)), mask_of((2, 1, 4)), TILTED)
    assert found.hd_mm == pytest.approx(np.hypot(4 * 3.0, 4 * 1.5))
    straight = surface_distances(
        mask_of((2, 4, 0)), mask_of((2, 1, 1)), TILTED
    )  # three pixels back is one slice's lean
    assert straight.hd_mm == pytest.approx(3.0)


def test_uneven_slices_lie_where_they_were_taken() -> None:
    assert surface_distances(mask_of((2, 1, 1)), mask_of((2, 1, 2)), UNEVEN).hd_mm == pytest.approx(3.0)
    assert surface_distances(mask_of((2, 1, 2)), mask_of((2, 1, 3)), UNEVEN).hd_mm == pytest.approx(5.0)


@settings(deadline=None, max_examples=60)
@given(arrays(bool, (2, *SHAPE)), st.sampled_from(sorted(GRIDS)))
def test_any_masks_have_the_distances_of_all_pairs(masks: np.ndarray, grid: str) -> None:
    masks[:, 3, 3, 3] |= ~masks.any(axis=(1, 2, 3))
    assert surface_distances(*masks, GRIDS[grid]) == pytest.approx(brute_force(*masks, GRIDS[grid]), abs=1e-9)


def test_on_a_straight_grid_the_distances_are_those_of_monai() -> None:
    random = np.random.default_rng(3)
    prediction, truth = random.random((2, 16, 13, 9)) > 0.7
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, truth)]
    expected = [
        float(metric(*tensors, spacing=SPACING_MM))
        for metric in (
            HausdorffDistanceMetric(include_background=True),
            HausdorffDistanceMetric(include_background=True, percentile=95),
            SurfaceDistanceMetric(include_background=True, symmetric=True),
        )
    ]
    geometry = Geometry(np.diag([*SPACING_MM, 1.0]), prediction.shape)
    assert surface_distances(prediction, truth, geometry) == pytest.approx(expected, rel=1e-5)


def ball(shape: tuple[int, int, int], centre: tuple[float, ...], radius_mm: float) -> np.ndarray:
    places = np.ogrid[tuple(slice(size) for size in shape)]
    steps = zip(places, centre, SPACING_MM, strict=True)
    return sum(((at - middle) * step) ** 2 for at, middle, step in steps) < radius_mm**2


@pytest.mark.parametrize("radius_mm", [5.0, 9.0])  # close together, and too far apart for a look around
@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_inside_a_large_scan_have_the_distances_of_monai(radius_mm: float, order: str) -> None:
    shape = (40, 120, 30)
    prediction, truth = ball(shape, (16, 50, 12), 15.0), ball(shape, (17, 52, 12), 15.0 - radius_mm)
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, truth)]
    hd95_mm = compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=SPACING_MM)
    assd_mm = compute_average_surface_distance(*tensors, include_background=True, symmetric=True, spacing=SPACING_MM)
    masks = [np.asarray(mask, order=order) for mask in (prediction, truth)]
    found = surface_distances(*masks, Geometry(np.diag([*SPACING_MM, 1.0]), shape))
    assert found.hd95_mm == pytest.approx(hd95_mm.item(), abs=1e-5)
    assert found.assd_mm == pytest.approx(assd_mm.item(), abs=1e-5)


def test_a_turned_grid_in_single_precision_has_the_distances_of_a_straight_one() -> None:
    turned = Rotation.from_euler("xyz", (10, -7, 4), degrees=True).as_matrix() * SPACING_MM
    affine = np.eye(4)
    affine[:3, :3] = turned.astype(np.float32)
    masks = np.random.default_rng(2).random((2, *SHAPE)) > 0.6
    assert surface_distances(*masks, Geometry(affine, SHAPE)) == pytest.approx(
        surface_distances(*masks, PLAIN), abs=1e-5
    )


def test_two_voxels_at_the_ends_of_a_large_scan_are_as_far_apart_as_they_are() -> None:
    masks = np.zeros((2, 200, 150, 100), bool)
    masks[0, 0, 0, 0] = masks[1, 199, 149, 99] = True
    found = surface_distances(*masks, Geometry(np.diag([*SPACING_MM, 1.0]), masks.shape[1:]))
    assert found == pytest.approx((np.linalg.norm(np.array([199, 149, 99]) * SPACING_MM),) * 3)


@settings(deadline=None, max_examples=40)
@given(arrays(bool, (2, *SHAPE)), st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_distances_are_unchanged_by_turning_flipping_and_swapping(
    masks: np.ndarray, axes: list[int], flips: tuple[bool, ...]
) -> None:
    flipped = np.flip(masks, [axis + 1 for axis in range(3) if flips[axis]])
    turned = flipped.transpose(0, *(axis + 1 for axis in axes))
    found = surface_distances(turned[1], turned[0], PLAIN.permuted(tuple(axes)))
    assert found == pytest.approx(surface_distances(*masks, PLAIN), abs=1e-9)


def test_two_empty_masks_are_no_distance_apart() -> None:
    assert surface_distances(mask_of(), mask_of(), PLAIN) == (0, 0, 0)


@pytest.mark.parametrize("voxels", [[(0, 0, 0)], [(3, 3, 3), (6, 5, 4)]])
def test_one_empty_mask_is_the_scans_diagonal_away(voxels: list[tuple[int, int, int]]) -> None:
    expected_mm = np.linalg.norm(np.array(SHAPE) * SPACING_MM)
    assert surface_distances(mask_of(*voxels), mask_of(), PLAIN) == pytest.approx((expected_mm,) * 3)
    assert surface_distances(mask_of(), mask_of(*voxels), PLAIN) == pytest.approx((expected_mm,) * 3)


@pytest.mark.parametrize("grid", GRIDS)
def test_no_distance_exceeds_the_diagonal(grid: str) -> None:
    corners = [mask_of(voxel) for voxel in product((0, 6), (0, 5), (0, 4))]
    farthest = max(surface_distances(first, second, GRIDS[grid]).hd_mm for first, second in product(corners, corners))
    assert farthest < diagonal_mm(GRIDS[grid])


def test_the_diagonal_of_a_tilted_grid_is_its_longer_one() -> None:
    assert diagonal_mm(TILTED) == pytest.approx(np.linalg.norm([7 * 2.0, 6 * 0.5 + 5 * 1.5, 5 * 3.0]))
    assert diagonal_mm(TILTED, in_plane=True) == pytest.approx(np.hypot(7 * 2.0, 6 * 0.5))


def squares() -> tuple[np.ndarray, np.ndarray, float]:
    """A square of 7 and one of 3 pixels about one centre, and the mean distance of their outlines in pixels.

    All 8 outline pixels of the small one are 2 away. Of the 24 of the large one 12 are 2 away, 8 lie one further along
    their side, and 4 are corners.
    """
    large, small = np.zeros((2, 11, 9), bool)
    large[2:9, 1:8] = small[4:7, 3:6] = True
    return large, small, (8 * 2 + 12 * 2 + 8 * np.sqrt(5) + 4 * np.sqrt(8)) / 32


@pytest.mark.parametrize("axis", range(3))
def test_masks_in_a_single_slice_have_outlines(axis: int) -> None:
    large, small, assd_mm = squares()
    scans = [np.expand_dims(mask, axis) for mask in (large, small)]
    found = surface_distances(*scans, Geometry(np.eye(4), scans[0].shape))
    assert found == pytest.approx((np.sqrt(8), np.sqrt(8), assd_mm))


def test_frames_of_a_video_are_compared_each_for_itself() -> None:
    large, small, assd_mm = squares()
    prediction, truth = np.stack([large, small], axis=2), np.stack([small, small], axis=2)
    geometry = Geometry(np.diag([1.0, 1.0, 0.1, 1.0]), (11, 9, 2))
    found = surface_distances(prediction, truth, geometry, in_plane=True)
    assert found.hd_mm == pytest.approx(np.sqrt(8))
    assert found.assd_mm == pytest.approx(assd_mm * 32 / (32 + 16))


def test_a_contour_missing_from_a_frame_is_the_frames_diagonal_away_however_near_the_next_frame() -> None:
    geometry = Geometry(np.diag([2.0, 0.5, 0.1, 1.0]), SHAPE)
    found = surface_distances(mask_of((2, 2, 1)), mask_of((2, 2, 1), (2, 2, 2)), geometry, in_plane=True)
    diagonal = np.hypot(7 * 2.0, 6 * 0.5)
    assert found.hd_mm == pytest.approx(diagonal)
    assert found.assd_mm == pytest.approx(diagonal / 3)
    assert surface_distances(mask_of((2, 2, 1)), mask_of(), geometry, in_plane=True).assd_mm == pytest.approx(diagonal)
