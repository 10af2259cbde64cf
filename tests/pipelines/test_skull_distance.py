import numpy as np
import pytest
from numpy.typing import NDArray
from tilted_grids import grid, uneven, voxels_mm

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.skull_distance import skull_distance_mm

INNER_MM, OUTER_MM = 62.0, 69.0
EXTENT = (150.0, 150.0, 110.0)
OBLIQUE = (12.0, -8.0, 20.0)
GRIDS = {
    "thin": grid((2.0, 2.0, 2.0), EXTENT),
    "thick": grid((1.0, 1.0, 5.0), EXTENT),
    "oblique": grid((1.0, 1.3, 5.0), EXTENT, OBLIQUE),
    "tilted": grid((1.0, 1.3, 5.0), EXTENT, OBLIQUE, tilt_deg=18.5),
    "uneven": uneven(grid((1.0, 1.3, 4.0), EXTENT, OBLIQUE)),
}
IN_SLICE_MM = 2.0  # the longest step of all grids within a slice


def head_hu(points: NDArray) -> NDArray[np.float32]:
    """A round skull, its inside of grey matter, in air."""
    radius_mm = np.linalg.norm(points, axis=-1)
    return np.select([radius_mm < INNER_MM, radius_mm < OUTER_MM], [35, 900], -1000).astype(np.float32)


def ball(points: NDArray, centre_mm: tuple[float, float, float], radius_mm: float) -> NDArray[np.bool_]:
    return np.linalg.norm(points - centre_mm, axis=-1) <= radius_mm


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("gap_mm", [3.0, 20.0])
def test_a_ball_beside_the_skull_is_as_far_as_it_was_put(name: str, gap_mm: float) -> None:
    geometry = GRIDS[name]
    points = voxels_mm(geometry)
    # in the plane of the slices, where the voxel's step is small
    direction = geometry.affine_ras[:3, 0] / np.linalg.norm(geometry.affine_ras[:3, 0])
    lesion = ball(points, tuple((INNER_MM - gap_mm - 14) * direction), 14)
    assert skull_distance_mm(lesion, head_hu(points), geometry) == pytest.approx(gap_mm, abs=IN_SLICE_MM)


@pytest.mark.parametrize("name", GRIDS)
def test_a_lesion_that_reaches_into_bone_has_no_distance(name: str) -> None:
    points = voxels_mm(GRIDS[name])
    assert skull_distance_mm(ball(points, (55, 0, 0), 14), head_hu(points), GRIDS[name]) == 0.0


def test_calcifications_are_no_skull() -> None:
    points = voxels_mm(GRIDS["thick"])
    voxels_hu = head_hu(points)
    voxels_hu[ball(points, (42, 0, 0), 5)] = 400
    distance_mm = skull_distance_mm(ball(points, (25, 0, 0), 10), voxels_hu, GRIDS["thick"])
    assert distance_mm == pytest.approx(INNER_MM - 35, abs=IN_SLICE_MM)


def test_blood_as_dense_as_the_windows_end_is_no_skull() -> None:
    points = voxels_mm(GRIDS["thick"])
    voxels_hu = np.clip(head_hu(points), -20, 100)
    lesion = ball(points, (20, 0, 0), 14)
    voxels_hu[ball(points, (20, 0, 0), 12)] = 99
    assert skull_distance_mm(lesion, voxels_hu, GRIDS["thick"]) == pytest.approx(INNER_MM - 34, abs=IN_SLICE_MM)


def test_a_sagittal_order_of_axes_changes_nothing() -> None:
    geometry = GRIDS["oblique"]
    points = voxels_mm(geometry)
    lesion, voxels_hu = ball(points, (30, 10, 5), 12), head_hu(points)
    before = skull_distance_mm(lesion, voxels_hu, geometry)
    turned = geometry.permuted((1, 2, 0))
    after = skull_distance_mm(lesion.transpose(1, 2, 0), voxels_hu.transpose(1, 2, 0), turned)
    assert before == pytest.approx(after, abs=1e-6)


def test_nothing_is_known_without_a_head_or_a_lesion() -> None:
    geometry = Geometry(np.diag([2.0, 2.0, 5.0, 1.0]), (40, 40, 6))
    voxels_hu, lesion = np.full(geometry.shape, 40, np.float32), np.zeros(geometry.shape, bool)
    lesion[5:9, 5:9, 2] = True
    assert skull_distance_mm(lesion, voxels_hu, geometry) is None
    points = voxels_mm(GRIDS["thick"])
    assert skull_distance_mm(np.zeros(GRIDS["thick"].shape, bool), head_hu(points), GRIDS["thick"]) is None
