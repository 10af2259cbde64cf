"""Arteries, veins and bronchi of generated lungs, down to a millimetre, and small nodules."""

import numpy as np

from sliceweave.pipelines.phantom_torso import TORSO, scattered
from sliceweave.pipelines.phantom_vessels import Branches, axis_fields, grow_tree, tubes
from sliceweave.transforms.lattice import Field, Fields, tube, union

_TARGETS = 620
# Wider vessels are no finer than the lattice.
_WIDE_MM = 1.8
_FINEST_AIRWAY_MM, _WIDEST_AIRWAY_MM, _GAP_MM = 1.5, 5.0, 0.8
_BESIDE = np.array([0.35, -0.8, 0.5])
_HILA_MM = {1: np.array([36.0, -20.0, 8.0]), -1: np.array([-38.0, -22.0, 10.0])}


def grow_lung_vessels(rng: np.random.Generator, traits: dict[str, float], lung: Field) -> Fields:
    """What branches in the lungs: `vessel_…` (see `axis_fields`), and distances `trunk` (wide vessels), `airway`."""
    vessels, bronchi = [_nodules(rng, lung)], []
    x, _, _ = TORSO.axes_mm()
    for side, hilum in _HILA_MM.items():
        room = (lung > 5) & (side * x > 0)
        arteries = grow_tree(rng, hilum, scattered(rng, room, _TARGETS), traits["tip"])
        below = hilum + np.array([-4 * side, 10, -14])
        veins = grow_tree(rng, below, scattered(rng, room, _TARGETS), 0.95 * traits["tip"])
        vessels += [arteries, veins]
        bronchi.append(_bronchi(arteries))
    blood, near = Branches.joined(*vessels), lung > -8
    wide = blood.start_radii_mm > _WIDE_MM
    fields = axis_fields(TORSO, blood.only(~wide), near, "vessel")
    fields["trunk"] = tubes(TORSO, blood.only(wide), near)
    # Outside the lungs there is no airway but the central ones.
    airway = np.minimum(tubes(TORSO, Branches.joined(*bronchi), near), lung + 2)
    return fields | {"airway": np.maximum(airway, _central_airways(traits))}


def _central_airways(traits: dict[str, float]) -> Field:
    """Windpipe and main bronchi."""
    wide = traits["windpipe"]
    pipe = ((0.0, -4.0, 175.0, wide), (1.0, -14.0, 90.0, wide), (2.0, -25.0, 36.0, wide))
    right = ((2.0, -25.0, 36.0, 0.85 * wide), (22.0, -28.0, 20.0, 0.72 * wide), (36.0, -26.0, 8.0, 0.6 * wide))
    left = ((2.0, -25.0, 36.0, 0.8 * wide), (-22.0, -30.0, 18.0, 0.65 * wide), (-40.0, -28.0, 6.0, 0.55 * wide))
    return union(*(tube(TORSO.axes_mm(), knots) for knots in (pipe, right, left)))


def _bronchi(arteries: Branches) -> Branches:
    """Airways beside the larger arteries, as wide as these, on the side away from the body's middle."""
    large = np.flatnonzero(arteries.start_radii_mm > _FINEST_AIRWAY_MM)
    steps = arteries.stops_mm[large] - arteries.starts_mm[large]
    steps = steps / np.maximum(np.linalg.norm(steps, axis=1, keepdims=True), 1e-6)
    beside = _BESIDE - steps * (steps @ _BESIDE)[:, None]
    beside = beside / np.maximum(np.linalg.norm(beside, axis=1, keepdims=True), 0.2)
    ends = []
    for points, artery_radii in (
        (arteries.starts_mm[large], arteries.start_radii_mm[large]),
        (arteries.stops_mm[large], arteries.stop_radii_mm[large]),
    ):
        radii = np.minimum(artery_radii, _WIDEST_AIRWAY_MM)
        ends.append((points + beside * (artery_radii + radii + _GAP_MM)[:, None], radii))
    (starts, start_radii), (stops, stop_radii) = ends
    return Branches(starts, stops, start_radii, stop_radii)


def _nodules(rng: np.random.Generator, lung: Field) -> Branches:
    """A few small round nodules, scarred or calcified, that are no infection."""
    count = int(rng.integers(0, 4))
    centres = scattered(rng, lung > 4, _TARGETS)[:count]
    radii = rng.uniform(1.5, 3.5, count)
    return Branches(centres, centres + np.array([0, 0, 0.5]), radii, radii)
