"""Trees of vessels finer than the lattice: each lattice point knows the way to its nearest axis, which interpolates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from sliceweave.transforms.lattice import Field, Fields, Lattice

Points = NDArray[np.float64]

_MURRAY = 2.8
_SITE_MM = 1.5
_FAR_MM = 40.0
_NEAR_MM = 14.0
# Lengths that grow from an axis on interpolate to about this many steps too much on it.
_REACH_STEPS = 0.7


@dataclass(frozen=True)
class Branches:
    """Straight pieces of vessels: ends (N, 3) and their radii (N,), mm."""

    starts_mm: Points
    stops_mm: Points
    start_radii_mm: Points
    stop_radii_mm: Points

    def only(self, chosen: NDArray[np.bool_]) -> "Branches":
        """The chosen (N,) branches."""
        return Branches(
            self.starts_mm[chosen], self.stops_mm[chosen], self.start_radii_mm[chosen], self.stop_radii_mm[chosen]
        )

    @staticmethod
    def joined(*parts: "Branches") -> "Branches":
        """All branches of several trees."""
        names = ("starts_mm", "stops_mm", "start_radii_mm", "stop_radii_mm")
        return Branches(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def chain(*knots: tuple[float, ...]) -> Branches:
    """One unbranched vessel through knots of x, y, z and the radius there, mm."""
    table = np.array(knots, float)
    return Branches(table[:-1, :3], table[1:, :3], table[:-1, 3], table[1:, 3])


def grow_tree(rng: np.random.Generator, root_mm: Points, targets_mm: Points, tip_mm: float) -> Branches:
    """A tree that reaches all targets (N, 3): clouds of targets are halved, and a branch grows towards each half.

    After Tawhai et al. 2000 (Annals of Biomedical Engineering 28:793), radii after Murray's law from the tips' on.
    """
    rows: list[tuple[float, ...]] = []
    open_ends = [(np.asarray(root_mm, float), np.asarray(targets_mm, float))]
    while open_ends:
        start, cloud = open_ends.pop()
        away = cloud.mean(0) - start
        length = float(np.linalg.norm(away))
        share = 1.0 if len(cloud) == 1 else rng.uniform(0.3, 0.5)
        stop = start + share * away + rng.normal(0, 0.06 * share * length, 3)
        rows.append((*start, *stop, len(cloud)))
        if len(cloud) > 1:
            open_ends += [(stop, half) for half in _halves(cloud, away / max(length, 1e-6))]
    table = np.array(rows)
    radii = tip_mm * table[:, 6] ** (1 / _MURRAY)
    return Branches(table[:, :3], table[:, 3:6], radii, np.maximum(0.92 * radii, tip_mm))


def _halves(cloud: Points, heading: Points) -> tuple[Points, Points]:
    """The cloud cut in the middle across its longest extent beside the heading."""
    offsets = cloud - cloud.mean(0)
    offsets = offsets - np.outer(offsets @ heading, heading)
    _, directions = np.linalg.eigh(offsets.T @ offsets)
    order = np.argsort(offsets @ directions[:, -1], kind="stable")
    middle = len(cloud) // 2
    return cloud[order[:middle]], cloud[order[middle:]]


def axis_fields(lattice: Lattice, branches: Branches, where: Field, prefix: str) -> Fields:
    """Offset to the nearest axis (`_x`, `_y`, `_z`), its length (`_far`) and the axis' radius (`_radius`), mm.

    Offsets to one straight axis are linear, so they interpolate to tubes of any radius; elsewhere than at `where`
    everything is far.
    """
    offsets, radii = _offsets(branches, _points_at(lattice, where))
    far = np.minimum(np.linalg.norm(offsets, axis=1), _FAR_MM)
    values = {"x": offsets[:, 0], "y": offsets[:, 1], "z": offsets[:, 2], "far": far}
    fields = {}
    for name, value in (values | {"radius": radii}).items():
        field = np.full(lattice.shape, 1.0 if name == "radius" else _FAR_MM, np.float32)
        field[where] = value
        fields[f"{prefix}_{name}"] = field
    return fields


def tubes(lattice: Lattice, branches: Branches, where: Field) -> Field:
    """Signed distance to the branches at `where`, for those no finer than the lattice; far outside elsewhere."""
    field = np.full(lattice.shape, -_FAR_MM, np.float32)
    offsets, radii = _offsets(branches, _points_at(lattice, where))
    field[where] = radii - np.linalg.norm(offsets, axis=1)
    return field


def axis_distance(samples: Fields, prefix: str, step_mm: float) -> Field:
    """Distance (mm) to the nearest axis at samples of `axis_fields` of a lattice with that step."""
    squares = sum(samples[f"{prefix}_{name}"] ** 2 for name in "xyz")
    # Between two axes their offsets cancel; the lengths do not. Wide vessels need less of the allowance to be whole.
    allowance = np.clip(_REACH_STEPS * step_mm - 0.5 * samples[f"{prefix}_radius"], 0.15 * step_mm, None)
    return np.maximum(np.sqrt(squares), samples[f"{prefix}_far"] - allowance)


def _points_at(lattice: Lattice, where: Field) -> Points:
    points: Points = np.array(lattice.low_mm) + lattice.step_mm * np.argwhere(where)
    return points


def _offsets(branches: Branches, points: Points) -> tuple[Points, Points]:
    """From the nearest axis to each point, and the radius there; an offset is huge where no axis is near."""
    hits, near = _nearest(branches, points)
    starts, steps = branches.starts_mm[hits], (branches.stops_mm - branches.starts_mm)[hits]
    along = np.einsum("ij,ij->i", points - starts, steps) / np.maximum(np.einsum("ij,ij->i", steps, steps), 1e-6)
    along = np.clip(along, 0, 1)
    radii = branches.start_radii_mm[hits] * (1 - along) + branches.stop_radii_mm[hits] * along
    return np.where(near[:, None], points - starts - along[:, None] * steps, _FAR_MM), radii


def _nearest(branches: Branches, points: Points) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The branch nearest to each point by power distance, in which thick vessels claim more, and if it is near."""
    lengths = np.linalg.norm(branches.stops_mm - branches.starts_mm, axis=1)
    counts = np.maximum(2, np.ceil(lengths / _SITE_MM).astype(int) + 1)
    owners = np.repeat(np.arange(len(counts)), counts)
    ranks = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    shares = ranks / (counts[owners] - 1)
    sites = branches.starts_mm[owners] + shares[:, None] * (branches.stops_mm - branches.starts_mm)[owners]
    radii = branches.start_radii_mm[owners] * (1 - shares) + branches.stop_radii_mm[owners] * shares
    widest = radii.max()
    lifts = np.sqrt(widest**2 - radii**2)
    tree = KDTree(np.column_stack([sites, lifts]), balanced_tree=False, compact_nodes=False)
    bound = float(np.hypot(_NEAR_MM, widest))
    lifted = np.column_stack([points, np.zeros(len(points))])
    _, hits = tree.query(lifted, eps=0.05, distance_upper_bound=bound)
    near = hits < len(owners)
    return owners[np.where(near, hits, 0)], near
