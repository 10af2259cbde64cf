"""What every kind of painted bleeding is made of: its blood as drawn, and its body as grown in a head."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.bone import DENSEST_BLOOD_HU
from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.lattice import Field

_BRAIN_HU = 33.0


@dataclass(frozen=True)
class Blood:
    """How blood looks, as drawn.

    Attributes:
        contrast_hu: above the brain's median.
        swirl_hu: deviation of its mottle.
        swirl_mm: wavelength of the mottle.
        edge_mm: width of its edge.
        dilution: 1 is blood, 0 is CSF; only where it lies in CSF.
        seed: of the mottle and the noise.
    """

    contrast_hu: float
    swirl_hu: float
    swirl_mm: float
    edge_mm: float
    dilution: float
    seed: int


@dataclass(frozen=True, eq=False)
class Growth:
    """A bleeding's body in one head, in fields on its lattice.

    Attributes:
        extent_mm: signed distance to its surface, positive in the blood.
        csf_gain: above 0, blood takes this many times the share that CSF has in a voxel, at most all of it; else all.
        shift_mm: how far tissue was pushed to the right and to the front, what it displaces.
        oedema_mm: signed distance to the rim of oedema around it.
        oedema_hu: by how much that is darker.
        density: 0…1, how much of the blood's contrast is left; all of it where None.
    """

    extent_mm: Field
    csf_gain: float = 0.0
    shift_mm: tuple[Field, Field] | None = None
    oedema_mm: Field | None = None
    oedema_hu: float = 0.0
    density: Field | None = None


class Bleeding(Protocol):
    """One bleeding as drawn: what it is called, its blood, and how it grows in a head."""

    @property
    def kind(self) -> str: ...

    @property
    def blood(self) -> Blood: ...

    def grow(self, head: Head) -> Growth | None:
        """Its body, the same every time; None where the head has no room for it."""
        ...


def draw_blood(rng: np.random.RandomState, faint_share: float, subacute_share: float) -> Blood:
    """Blood of an age: mostly acute, 48 to 85 HU; some subacute; some faint, 8 to 15 HU above the brain and blurred."""
    age = rng.choice(["faint", "subacute", "acute"], p=[faint_share, subacute_share, 1 - faint_share - subacute_share])
    ranges = {"faint": (8, 10, 15), "subacute": (12, 16, 22), "acute": (15, 26, DENSEST_BLOOD_HU - _BRAIN_HU)}
    contrast_hu = float(rng.triangular(*ranges[age]))
    return Blood(
        contrast_hu=contrast_hu,
        swirl_hu=float(rng.uniform(0.3, 0.13 * contrast_hu)),
        swirl_mm=float(rng.uniform(6, 40)),
        edge_mm=float(rng.uniform(1.2, 3.5) if age == "faint" else rng.uniform(0.5, 2)),
        dilution=float(rng.uniform(0.45, 1)),
        seed=draw_seed(rng),
    )


def draw_seed(rng: np.random.RandomState) -> int:
    """Seed of what is drawn later, in a head that is not known yet."""
    return int(rng.randint(2**31 - 1))


def draw_log(rng: np.random.RandomState, low: float, high: float) -> float:
    """A size between the two, all orders of magnitude equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def best_part(score: Field, room_mm: Field, volume_ml: float, point_ml: float | Field) -> Field:
    """Signed field whose positive part holds the volume: where the room is positive, the best scores first.

    Args:
        score: higher is taken earlier, in mm so that the edge comes out even.
        room_mm: signed distance to the border of what may bleed.
        point_ml: volume of a lattice point, or of the part of each that may bleed.
    """
    inside = room_mm > 0
    volumes = np.broadcast_to(np.asarray(point_ml, np.float32), score.shape)[inside]
    scores = score[inside]
    if scores.size == 0:
        return np.full_like(score, -99)
    order = np.argsort(-scores)
    last = int(np.searchsorted(np.cumsum(volumes[order]), volume_ml))
    level = scores[order[min(last, scores.size - 1)]]
    field: Field = np.minimum(score - level, room_mm)
    return field


def nearest_point(where: NDArray[np.bool_], share: float) -> NDArray[np.intp] | None:
    """One of the lattice points that are true, the same for the same share (0…1) of the way through; None of none."""
    points = np.flatnonzero(where)
    if points.size == 0:
        return None
    return np.array(np.unravel_index(points[int(share * (points.size - 1))], where.shape))
