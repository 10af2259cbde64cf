"""Places on the inner surface of the skull, and where the blood under it must stop."""

import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.lattice import Field, ramp

LEAK_MM = 1.5
"""How far beyond the inner table as found blood may lie: the bone itself ends it, and leaves no gap."""


def surface_patch(head: Head, rng: np.random.Generator, shape: tuple[float, float]) -> tuple[int, Field]:
    """A place on the vault: its side (-1 or 1), and the distance from it along the skull in units of the radius.

    Args:
        shape: radius in mm, and how many times as long from front to back as from top to bottom.
    """
    radius_mm, length = shape
    near = (head.depth_mm > 0) & (head.depth_mm < 4) & (np.abs(head.side_mm) > 0.3 * head.half_width_mm)
    near &= (head.up_mm > -25) & (head.inward[2] < 0.25)
    # by direction, so that two scans of one head give the same place
    directions = _directions(head)
    azimuth = rng.choice([0, np.pi]) + rng.uniform(-1.2, 1.2)
    rise = np.arcsin(rng.uniform(-0.3, 0.95))
    wanted = np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)
    towards = sum(part * np.float32(w) for part, w in zip(directions, wanted, strict=True))
    start = np.unravel_index(np.where(near, towards, -9).argmax(), near.shape)
    centre = [float(part[start]) for part in directions]
    size_mm = 0.5 * (head.half_width_mm + head.half_length_mm)
    apart = [size_mm * (part - c) for part, c in zip(directions, centre, strict=True)]
    squares = (apart[0] ** 2 + apart[1] ** 2) / length + length * apart[2] ** 2
    return int(np.sign(head.side_mm[start])) or 1, np.sqrt(squares) / np.float32(radius_mm)


def _directions(head: Head) -> tuple[Field, Field, Field]:
    """Unit vectors from the middle of the brain, in a head made as long and as high as it is wide."""
    parts = (
        head.side_mm / head.half_width_mm,
        head.front_mm / head.half_length_mm,
        (head.up_mm - 5) / (1.1 * head.half_width_mm),
    )
    length = np.maximum(np.sqrt(sum(part**2 for part in parts)), 0.3)
    return parts[0] / length, parts[1] / length, parts[2] / length


def own_hemisphere(head: Head, side: int) -> Field:
    """Share (0…1) that keeps blood on its side of the falx and off the skull base."""
    on_the_vault = ramp(0.45 - head.inward[2], 0.4)  # away from the base is upward
    field: Field = ramp(side * head.side_mm - 3, 5) * ramp(head.up_mm + 34, 12) * on_the_vault
    return field


def behind_table(head: Head, extent_mm: Field) -> Field:
    """The blood less what would lie in the bone or beyond it."""
    field: Field = np.minimum(extent_mm, head.depth_mm + LEAK_MM).astype(np.float32)
    return field


def tentorium_mm(head: Head, pitch: float) -> Field:
    """Height above the tentorium, a saddle between the middle of the head and the back of the skull."""
    side = np.abs(head.side_mm) * 68 / head.half_width_mm
    front = head.front_mm * 82 / head.half_length_mm
    field: Field = head.up_mm - (8 - 0.42 * side - 0.010 * (front + 38) ** 2 + pitch * front)
    return field


def falx_mask(head: Head) -> NDArray[np.bool_]:
    """Around the falx: near the plane of symmetry, above the corpus callosum and as deep as it reaches."""
    near = (np.abs(head.side_mm) < 14) & (head.depth_mm < 40) & (head.depth_mm > -4)
    return np.asarray(near & (head.up_mm > 8 - 0.25 * head.front_mm.clip(None, 0)), np.bool_)
