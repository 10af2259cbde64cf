"""Cartilage of a generated knee: how thick it is where, where it is worn, and how the tibia comes to meet it."""

import numpy as np

from sliceweave.pipelines.phantom_knee_bones import Axes, notch
from sliceweave.transforms.lattice import Field, bump, intersection, ramp

PLATEAUS = {"medial": (-20.5, -1.0, 14.5, 20.5), "lateral": (18.5, -6.5, 14.5, 17.0)}  # x, y and radii in mm
_EDGE_MM = 2.8
_NO_CARTILAGE_MM = -2.0


def femoral_mm(axes: Axes, traits: dict[str, float]) -> Field:
    """Thickness of the femur's cartilage by place, negative beyond its edge; `axes` are the femur's."""
    x, y, z = axes
    around = np.degrees(np.arctan2(24 - z, y - 4)) + 90  # from straight up over the front to straight up again
    around = np.mod(around, 360) - 90  # 0 in front, 90 below, 180 behind
    trochlea = bump((x - 9) / 15, (around - 12) / 32)
    bearing = bump((around - 85) / 28)
    behind = bump((around - 155) / 28)
    thick = 1.85 + 1.05 * trochlea + 0.25 * bearing + 0.65 * behind
    first = -20 + 30 * ramp(-13 - x, 14)
    last = 214 - 6 * ramp(x, 10)
    side = np.minimum(x + 35 - 0.12 * y, 32 + 0.05 * y - x)
    edge = intersection(0.4 * (around - first), 0.4 * (last - around), side, -notch(axes, traits["notch_mm"]) - 0.8)
    return traits["femoral_scale"] * thick * _tapered(edge)


def tibial_mm(x: Field, y: Field, traits: dict[str, float]) -> Field:
    """Thickness of the tibia's cartilage over (x, y), negative beyond its edge."""
    parts = []
    for name, thickest in (("medial", 2.8), ("lateral", 4.0)):
        radius = plateau_radius(name, x, y)
        edge = (1 - radius) * 14
        parts.append((1.4 + (thickest - 1.4) * np.clip(1 - radius**2, 0, 1)) * _tapered(edge))
    return traits["tibial_scale"] * np.maximum(*parts)


def plateau_radius(name: str, x: Field, y: Field) -> Field:
    """Distance from a plateau's centre as a share of its radius."""
    centre_x, centre_y, across, deep = PLATEAUS[name]
    return np.hypot((x - centre_x) / across, (y - centre_y) / deep)


def worn(thick_mm: Field, axes: Axes, wear: tuple[tuple[float, ...], ...]) -> Field:
    """Thickness with what is lost at places (x, y, z, width, lost share); more than a whole share bares the bone."""
    x, y, z = axes
    for centre_x, centre_y, centre_z, width, lost in wear:
        crater = bump((x - centre_x) / width, (y - centre_y) / width, (z - centre_z) / width)
        thick_mm = thick_mm - np.maximum(thick_mm, 0.5) * np.float32(lost) * crater
    return thick_mm


def tibia_lift_mm(cartilage_low_mm: Field, top_mm: Field, x: Field, y: Field, slack_mm: tuple[float, float]) -> Field:
    """How far each plateau has to rise so that its cartilage (whose top is given) is that far from the femur's."""
    lifts = []
    for name, slack in zip(PLATEAUS, slack_mm, strict=True):
        gap_mm = np.where(plateau_radius(name, x, y) < 0.75, cartilage_low_mm - top_mm, np.inf)
        lifts.append(float(gap_mm.min()) - slack)
    lift: Field = lifts[0] + (lifts[1] - lifts[0]) * ramp(x, 24)
    return lift


def lowest_mm(inside: Field, z: Field) -> Field:
    """Height (x, y) at which a shape begins above each place of the ground; infinite where there is none."""
    column = inside[:, :, :-1], inside[:, :, 1:]
    entered = (column[0] <= 0) & (column[1] > 0)
    k = np.argmax(entered, axis=2)[:, :, None]
    below, above = (np.take_along_axis(part, k, 2)[:, :, 0] for part in column)
    heights = z.ravel()
    height = heights[k[:, :, 0]] + (heights[1] - heights[0]) * below / np.minimum(below - above, -1e-6)
    return np.where(entered.any(axis=2), height, np.inf)[:, :, None]


def _tapered(edge_mm: Field) -> Field:
    """Factor that falls to zero at the cartilage's edge like the rim of a lens, and below zero beyond."""
    rim: Field = np.sqrt(np.clip(edge_mm / _EDGE_MM, 0, 1)) + _NO_CARTILAGE_MM * np.clip(-edge_mm / _EDGE_MM, 0, 1)
    return rim
