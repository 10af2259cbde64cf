"""Vessels finer than the lattice: trees that reach their targets, tubes that keep their width."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.phantom_subject import Subject
from sliceweave.pipelines.phantom_vessels import Branches, axis_distance, axis_fields, chain, grow_tree, tubes
from sliceweave.transforms.lattice import Lattice

LATTICE = Lattice((-30.0, -33.0, -36.0), 3.0, (21, 23, 25))
EVERYWHERE = np.ones(LATTICE.shape, bool)


def distances(branches: Branches, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fields = axis_fields(LATTICE, branches, EVERYWHERE, "vessel")
    body = Subject(LATTICE, fields, lambda f: f["vessel_far"], {}, np.eye(3), np.zeros(3))
    samples = body.sampler()(points_mm.astype(np.float32))
    return axis_distance(samples, "vessel", LATTICE.step_mm), samples["vessel_radius"]


@pytest.mark.parametrize("seed", range(3))
def test_a_vessel_thinner_than_a_step_keeps_its_radius_in_any_direction(seed: int) -> None:
    turn = Rotation.random(random_state=seed).as_matrix()
    ends = turn @ np.array([[-40.0, 40.0], [0, 0], [0, 0]])
    vessel = chain(*((*end, 0.6) for end in ends.T))
    along = np.linspace(-20, 20, 41)
    for apart in (0.0, 0.6, 1.5):
        points = (turn @ np.array([along, 0 * along + apart, 0 * along])).T
        distance, radius = distances(vessel, points)
        assert distance == pytest.approx(np.full(41, apart), abs=0.35)
        assert radius == pytest.approx(np.full(41, 0.6))


def test_two_vessels_leave_the_space_between_them_free() -> None:
    both = Branches.joined(chain((-30, -5, 0, 0.8), (30, -5, 0, 0.8)), chain((-30, 5.5, 1, 0.8), (30, 5.5, 1, 0.8)))
    points = np.stack(np.meshgrid(np.linspace(-15, 15, 31), np.linspace(-2, 2, 9), [0.0, 0.7]), -1).reshape(-1, 3)
    distance, radius = distances(both, points)
    assert (distance > radius).all()


def test_a_tree_ends_at_every_target() -> None:
    rng = np.random.default_rng(0)
    targets = rng.uniform(-25, 25, (60, 3))
    tree = grow_tree(rng, np.array([-30.0, 0, 0]), targets, 0.5)
    ends = tree.stops_mm[tree.stop_radii_mm == tree.stop_radii_mm.min()]
    nearest = np.linalg.norm(targets[:, None] - ends, axis=-1).min(1)
    assert np.median(nearest) < 2.0
    assert len(tree.starts_mm) == 2 * len(targets) - 1


def test_a_tree_narrows_from_its_root_to_its_tips() -> None:
    rng = np.random.default_rng(1)
    tree = grow_tree(rng, np.zeros(3), rng.uniform(-25, 25, (40, 3)), 0.5)
    assert tree.start_radii_mm[0] == tree.start_radii_mm.max()
    assert tree.start_radii_mm[0] == pytest.approx(0.5 * 40 ** (1 / 2.8))
    assert (tree.stop_radii_mm <= tree.start_radii_mm).all()


def test_wide_tubes_are_signed_distances() -> None:
    field = tubes(LATTICE, chain((-60, 1, 2, 7.0), (60, 1, 2, 7.0)), EVERYWHERE)
    x, y, z = LATTICE.axes_mm()
    exact = 7 - np.hypot(y - 1, z - 2) + 0 * x
    near = exact > -8
    assert field[near] == pytest.approx(exact[near], abs=1e-4)
