"""Distances to a surface known as a zero level: exact near it, and never too small far from it."""

import numpy as np
import pytest

from sliceweave.pipelines.phantom_distance import distance_to_surface
from sliceweave.transforms.lattice import Field, Lattice

LATTICE = Lattice(low_mm=(-30.0, -28.0, -33.0), step_mm=1.25, shape=(49, 46, 54))


def from_centre_mm() -> Field:
    return np.sqrt(sum(axis**2 for axis in LATTICE.axes_mm()))


def test_distance_to_a_ball_is_exact_although_the_field_is_not() -> None:
    away_mm = from_centre_mm()
    squared = (20**2 - away_mm**2) / 60  # slope 2/3 at the surface
    distance_mm = distance_to_surface(squared, LATTICE, 6.0)
    near = np.abs(20 - away_mm) < 5.9
    assert distance_mm[near] == pytest.approx((20 - away_mm)[near], abs=0.04)


def test_distance_beyond_the_reach_is_at_least_the_reach() -> None:
    away_mm = from_centre_mm()
    distance_mm = distance_to_surface(20 - away_mm, LATTICE, 6.0)
    assert (distance_mm[away_mm < 13.9] >= 6).all()
    assert (distance_mm[away_mm > 26.1] <= -6).all()


def test_distance_beside_an_edge_is_that_to_the_edge() -> None:
    x, y, z = LATTICE.axes_mm()
    wedge = np.minimum(-x, -y) + 0 * z
    distance_mm = distance_to_surface(wedge, LATTICE, 6.0)
    beside = (x > 1) & (y > 1) & (np.hypot(x, y) < 5.5) & (np.abs(z) < 20)
    expected_mm = np.broadcast_to(-np.hypot(x, y), LATTICE.shape)
    # The surface is sampled once per step, so the edge itself is found to within about half a step.
    assert distance_mm[beside] == pytest.approx(expected_mm[beside], abs=0.6)
