"""A generated liver: its shape under the diaphragm, its veins, and what lies in its beds."""

from dataclasses import dataclass

import numpy as np

from sliceweave.pipelines.phantom_torso import TORSO, scattered
from sliceweave.pipelines.phantom_vessels import Branches, chain, grow_tree
from sliceweave.transforms.lattice import Field, bump, ellipsoid, intersection, ramp

_PORTAL_TARGETS, _HEPATIC_TARGETS = 150, 110


@dataclass(frozen=True)
class Liver:
    """Signed distances to liver, gallbladder and fluid around the liver; `shade` is unevenness of its tissue, HU."""

    liver: Field
    gallbladder: Field
    fluid: Field
    shade: Field


def rounded(round_mm: float, *fields: Field) -> Field:
    """What several structures share, with its edges rounded off."""
    total = sum(np.exp(-np.clip(field, -90, 90) / np.float32(round_mm)) for field in fields)
    return np.float32(-round_mm) * np.log(total)


def grow_liver(rng: np.random.Generator, traits: dict[str, float], cage: Field, dome: Field, kept: Field) -> Liver:
    """A liver inside the cage, below the dome of the diaphragm, outside of what is kept free for other organs."""
    x, y, z = TORSO.axes_mm()
    bend = TORSO.noise(rng, 80)
    bladder = _gallbladder(rng)
    fluid_mm = rng.uniform(3, 14) if rng.uniform() < 0.12 else 0.0
    wall = cage - 4 - fluid_mm * ramp(20 - z, 60)
    liver = rounded(5.0, wall, -dome - 3.5, _visceral(rng) + 3 * bend, _bottom(rng, traits) + 3 * bend)
    cleft_x = rng.uniform(-12, 2)
    ligament = np.maximum(1.2 + 0.05 * np.maximum(20 - z, 0) - np.abs(x - cleft_x - 0.1 * (y - 40)), -60)
    ligament = intersection(ligament, 24 - z, y - 14 - 0.2 * z)
    liver = intersection(liver, -ligament, -bladder - 1.5, -kept - 2) + 0.5 * TORSO.noise(rng, 30)
    fatty = -rng.uniform(8, 30) * (rng.uniform() < 0.35) * bump((x - cleft_x - 9) / 7, (y - 60) / 16, (z - 5) / 22)
    fluid = intersection(cage - 3, -dome - 3, -liver, liver + 1.8 * fluid_mm + 0.1) if fluid_mm else liver * 0 - 60
    return Liver(liver, bladder, fluid, fatty + 2.0 * bend)


def _visceral(rng: np.random.Generator) -> Field:
    """Distance from the surface towards stomach, spine and bowel: the left lobe reaches far only in front and above."""
    x, y, z = TORSO.axes_mm()
    reach = -rng.uniform(35, 85) + rng.uniform(1.2, 2.0) * np.maximum(12 - z, 0)
    front = np.minimum(reach, 30)
    behind = 16 + 0.45 * np.maximum(-z, 0) - 0.15 * np.maximum(z - 30, 0)
    share = 1 / (1 + np.exp(-(y - rng.uniform(12, 26) - 0.12 * (x + 60)) / 6))
    return 0.8 * (x - behind - (front - behind) * share)


def _bottom(rng: np.random.Generator, traits: dict[str, float]) -> Field:
    """Distance above the lower edge, which descends to the right."""
    x, y, z = TORSO.axes_mm()
    low = rng.uniform(-92, -62)
    return 0.75 * (z - low - 0.45 * (traits["width"] - x) + 0.12 * (y + 20))


def _gallbladder(rng: np.random.Generator) -> Field:
    x, y, z = TORSO.axes_mm()
    size = rng.uniform(0.6, 1.25) if rng.uniform() < 0.85 else -1.0
    if size < 0:
        return np.full(TORSO.shape, -60, np.float32)
    offsets = (x - 42 - 0.25 * (y - 30), y - 32 + 0.3 * z + 12, z + 34 + 0.35 * (y - 30))
    return ellipsoid(offsets, (13 * size, 25 * size, 17 * size)) + 0.7 * TORSO.noise(rng, 40)


def liver_vessels(rng: np.random.Generator, liver: Field) -> Branches:
    """Portal tree from the hilum, three hepatic veins from the inferior vena cava."""
    x, y, _ = TORSO.axes_mm()
    room, parts = liver > 3, [chain((4.0, 6.0, -24.0, 6.5), (20.0, 4.0, 0.0, 6.5), (32.0, 2.0, 12.0, 6.0))]
    right = room & (x > 25)
    parts.append(grow_tree(rng, np.array([32.0, 2.0, 12.0]), scattered(rng, right, _PORTAL_TARGETS), 0.85))
    if np.any(left := room & (x <= 25)):
        parts.append(chain((32.0, 2.0, 12.0, 5.5), (12.0, 22.0, 20.0, 4.5)))
        parts.append(grow_tree(rng, np.array([12.0, 22.0, 20.0]), scattered(rng, left, 50), 0.85))
    mouth = np.array([16.0, -22.0, 52.0])
    for sector in (room & (x > 25) & (y < 0.35 * (x - 25)), room & (x > 20) & (y >= 0.35 * (x - 25)), room & (x <= 20)):
        if sector.sum() > 50:
            parts.append(grow_tree(rng, mouth, scattered(rng, sector, _HEPATIC_TARGETS // 3), 0.95))
    return Branches.joined(*parts)
