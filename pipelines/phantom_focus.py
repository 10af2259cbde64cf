"""Round things of any stretch in a torso, worked out only where they can reach."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.phantom_torso import TORSO
from sliceweave.transforms.lattice import Field


@dataclass(frozen=True)
class Focus:
    """One tumour or one patch of infection: where it is, how large, of which kind."""

    kind: str
    centre_mm: NDArray[np.float64]
    radius_mm: float


def around(centre_mm: NDArray[np.float64], reach_mm: float) -> tuple[slice, ...]:
    """The block of the lattice within reach of a centre."""
    low = np.floor((centre_mm - reach_mm - TORSO.low_mm) / TORSO.step_mm).astype(int)
    high = np.ceil((centre_mm + reach_mm - TORSO.low_mm) / TORSO.step_mm).astype(int) + 1
    return tuple(slice(max(0, a), max(1, b)) for a, b in zip(low, high, strict=True))


def stretched_distance(
    rng: np.random.Generator, near: tuple[slice, ...], centre_mm: NDArray[np.float64], spread: float
) -> Field:
    """Distance (mm) to a centre in a block of the lattice, along random axes stretched by up to exp(± spread)."""
    stretch = np.exp(rng.uniform(-spread, spread, 3))
    rows = Rotation.random(random_state=rng).as_matrix() / (stretch / np.cbrt(stretch.prod()))[:, None]
    offsets = []
    for axis, (coordinate, block, centre) in enumerate(zip(TORSO.axes_mm(), near, centre_mm, strict=True)):
        cut = [slice(None)] * 3
        cut[axis] = block
        offsets.append(coordinate[tuple(cut)] - np.float32(centre))
    return np.sqrt(sum(sum(np.float32(w) * o for w, o in zip(row, offsets, strict=True)) ** 2 for row in rows))
