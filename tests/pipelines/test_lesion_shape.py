import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from tilted_grids import grid, uneven, voxels_mm

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.lesion_shape import lesion_shape

OBLIQUE = (14.0, -9.0, 23.0)
EXTENT = (64.0, 60.0, 70.0)
GRIDS = {
    "even": grid((1.2, 1.2, 1.2), EXTENT),
    "thick": grid((0.9, 0.8, 5.0), EXTENT),
    "oblique": grid((0.9, 0.8, 5.0), EXTENT, OBLIQUE),
    "tilted": grid((0.9, 0.8, 5.0), EXTENT, OBLIQUE, tilt_deg=18.5),
    "uneven": uneven(grid((0.9, 0.8, 4.0), EXTENT, OBLIQUE)),
}


def ellipsoid(points: NDArray, *half_mm: float) -> NDArray[np.bool_]:
    return ((points / half_mm) ** 2).sum(axis=-1) <= 1


def star(points: NDArray, depth: float) -> NDArray[np.bool_]:
    """A prism with six rounded points, as deep as the share of its radius."""
    angle, radius_mm = np.arctan2(points[..., 1], points[..., 0]), np.hypot(points[..., 0], points[..., 1])
    outline_mm = 24 * (1 + depth * np.cos(6 * angle)) / (1 + depth)
    return (radius_mm <= outline_mm) & (np.abs(points[..., 2]) < 15)


def star_solidity(depth: float) -> float:
    """Area of its section over that of the hull, whose corners are found by rolling a tangent round a fine outline."""
    from scipy.spatial import ConvexHull

    angle = np.linspace(0, 2 * np.pi, 20001)
    outline = (1 + depth * np.cos(6 * angle))[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    area = quad(lambda a: (1 + depth * np.cos(6 * a)) ** 2 / 2, 0, 2 * np.pi)[0]
    return float(area / ConvexHull(outline).volume)


@pytest.mark.parametrize("name", GRIDS)
def test_a_ball_is_round_and_solid_on_any_grid(name: str) -> None:
    shape = lesion_shape(ellipsoid(voxels_mm(GRIDS[name]), 21, 21, 21), GRIDS[name])
    assert shape is not None
    assert shape.roundness > 0.97
    assert shape.solidity > 0.98


@pytest.mark.parametrize("name", GRIDS)
def test_an_ellipsoid_has_its_analytic_roundness(name: str) -> None:
    a, c = 13.0, 26.0
    eccentricity = np.sqrt(1 - (a / c) ** 2)
    surface = 2 * np.pi * a**2 * (1 + c / (a * eccentricity) * np.arcsin(eccentricity))
    expected = 4 * np.pi * (a * a * c) ** (2 / 3) / surface
    shape = lesion_shape(ellipsoid(voxels_mm(GRIDS[name]), c, a, a), GRIDS[name])
    assert shape is not None
    assert shape.roundness == pytest.approx(expected, abs=0.05)  # what the strata's cut-offs allow for
    assert shape.solidity > 0.95


@pytest.mark.parametrize("name", GRIDS)
def test_a_star_has_the_solidity_of_its_outline(name: str) -> None:
    shape = lesion_shape(star(voxels_mm(GRIDS[name]), 0.3), GRIDS[name])
    assert shape is not None
    assert shape.solidity == pytest.approx(star_solidity(0.3), abs=0.05)
    assert shape.roundness < 0.72


@pytest.mark.parametrize("name", GRIDS)
def test_a_crescent_is_neither_round_nor_solid(name: str) -> None:
    points = voxels_mm(GRIDS[name])
    crescent = ellipsoid(points, 26, 26, 26) & ~ellipsoid(points - (14, 0, 0), 25, 25, 25)
    shape = lesion_shape(crescent, GRIDS[name])
    assert shape is not None
    assert shape.roundness < 0.65
    assert shape.solidity < 0.65


def test_only_the_largest_lesion_counts() -> None:
    points = voxels_mm(GRIDS["thick"])
    ball = ellipsoid(points - (8, 0, 0), 18, 18, 18)
    crumb = ellipsoid(points - (-24, -20, 0), 4, 4, 6)
    assert lesion_shape(ball | crumb, GRIDS["thick"]) == lesion_shape(ball, GRIDS["thick"])


def test_an_empty_mask_and_a_few_voxels_have_no_shape() -> None:
    geometry = Geometry(np.diag([0.5, 0.5, 5, 1]), (9, 8, 7))
    mask = np.zeros(geometry.shape, np.uint8)
    assert lesion_shape(mask, geometry) is None
    mask[6:, 5:, 4:] = 1
    mask[6, 5, 4] = 0
    assert lesion_shape(mask, geometry) is None
    mask[6, 5, 4] = 1
    assert lesion_shape(mask, geometry) is not None


@pytest.mark.parametrize("name", GRIDS)
def test_voxel_indices_come_back_from_the_patient(name: str) -> None:
    geometry = GRIDS[name]
    indices = np.random.default_rng(0).uniform(-2, np.array(geometry.shape) + 1, (200, 3))
    np.testing.assert_allclose(geometry.to_voxel_indices(geometry.to_ras_mm(indices)), indices, atol=1e-9)


def test_a_scan_of_one_slice_has_voxel_indices_too() -> None:
    geometry = Geometry(np.diag([0.5, 0.5, 5, 1]), (9, 8, 1))
    np.testing.assert_allclose(geometry.to_voxel_indices([[1.0, 2.0, 2.5]]), [[2, 4, 0.5]])
