"""Bleeding under the dura: a crescent along the vault, a band along falx or tentorium."""

from dataclasses import dataclass, replace

import numpy as np

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.hematoma_displacement import pushed_in
from sliceweave.transforms.hematoma_extraaxial import (
    behind_table,
    falx_mask,
    own_hemisphere,
    surface_patch,
    tentorium_mm,
)
from sliceweave.transforms.hematoma_growth import Blood, Growth, draw_blood, draw_log, draw_seed
from sliceweave.transforms.lattice import Field, ramp

PLACES = ("convexity", "falx", "tentorium")
AGES = ("acute", "subacute", "mixed")


@dataclass(frozen=True)
class Subdural:
    """One subdural bleeding, as drawn.

    Attributes:
        place: one of `PLACES`.
        age: one of `AGES`; mixed blood has layers, the fresh at the back.
        height_mm: where it is thickest.
        radius_mm: half of how far it reaches.
        reach_mm: how deep the brain gives way.
        seed: of its place and outline.
    """

    blood: Blood
    place: str
    age: str
    height_mm: float
    radius_mm: float
    reach_mm: float
    seed: int
    kind: str = "subdural"

    def grow(self, head: Head) -> Growth | None:
        """The bleeding in this head, or None where its place is not in the scan."""
        rng = np.random.default_rng(self.seed)
        if self.place == "convexity":
            return self._crescent(head, rng)
        extent = self._along_falx(head, rng) if self.place == "falx" else self._along_tentorium(head, rng)
        return Growth(behind_table(head, extent)) if (extent > 0).any() else None

    def _crescent(self, head: Head, rng: np.random.Generator) -> Growth | None:
        side, apart = surface_patch(head, rng, (self.radius_mm, 1.5))
        profile = np.clip(1 - apart**3 + 0.12 * head.lattice.noise(rng, 40), 0, 1.1) * own_hemisphere(head, side)
        height_mm = self.height_mm * profile
        extent = np.where(profile > 0.05, height_mm - head.depth_mm, -9)
        if not (extent > 0).any():
            return None
        shift = pushed_in(head, height_mm, self.reach_mm)
        return Growth(behind_table(head, extent), 0.0, shift, density=self._layers(head, extent, rng))

    def _along_falx(self, head: Head, rng: np.random.Generator) -> Field:
        """A band beside the plane of symmetry, on one side of it."""
        points = np.argwhere(falx_mask(head) & (np.abs(head.side_mm) < 3))
        if len(points) == 0:
            return np.full(head.side_mm.shape, -9, np.float32)
        start = tuple(points[rng.integers(len(points))])
        squares = (head.front_mm - head.front_mm[start]) ** 2 + 1.5 * (head.up_mm - head.up_mm[start]) ** 2
        half = 0.5 * self.height_mm * np.clip(1 - squares / self.radius_mm**2, 0, 1) ** 0.5
        middle = rng.choice([-1, 1]) * (half + 0.5) + 0.7 * head.lattice.noise(rng, 60)
        return np.where(falx_mask(head) & (half > 0.3), half - np.abs(head.side_mm - middle), -9)

    def _along_tentorium(self, head: Head, rng: np.random.Generator) -> Field:
        """A sheet on one leaf of the tentorium."""
        side = rng.choice([-1, 1]) * head.side_mm
        along = (head.front_mm + 0.5 * head.half_length_mm) / (0.45 * head.half_length_mm)
        wide = ramp(side - 5, 6) * np.clip(1 - along**2, 0, 1) ** 0.5 * (head.depth_mm < 45)
        half = 0.6 * self.height_mm * wide * np.clip(1 + 0.3 * head.lattice.noise(rng, 30), 0, 1.5)
        height = tentorium_mm(head, float(rng.normal(0, 0.08))) + 1.5 * head.lattice.noise(rng, 60)
        return np.where(half > 0.4, half - 0.85 * np.abs(height), -9)

    def _layers(self, head: Head, extent: Field, rng: np.random.Generator) -> Field | None:
        """Mixed blood: darker in front and in streaks."""
        blood = extent > 0
        if self.age != "mixed":
            return None
        back, front = np.quantile(head.front_mm[blood], [0.02, 0.98])
        level_mm = back + rng.uniform(0.25, 0.8) * (front - back) + 8 * head.lattice.noise(rng, 30)
        return 1 - rng.uniform(0.4, 0.75) * ramp(head.front_mm - level_mm, rng.uniform(2, 25))


def draw_subdural(rng: np.random.RandomState) -> Subdural:
    """A crescent of 2 to 18 mm, a sixth of them thin rims of 2 to 4 mm; or a band along falx or tentorium."""
    place = str(rng.choice(PLACES, p=[0.68, 0.17, 0.15]))
    age = str(rng.choice(AGES, p=[0.62, 0.16, 0.22])) if place == "convexity" else "acute"
    blood = draw_blood(rng, *{"acute": (0.15, 0.0), "subacute": (0.3, 0.7), "mixed": (0.0, 0.1)}[age])
    is_thin = place != "convexity" or rng.uniform() < 0.17
    height_mm = float(rng.uniform(2, 4) if is_thin else draw_log(rng, 4, 18))
    if place != "convexity":
        height_mm = draw_log(rng, 2, 5)
    return Subdural(
        blood=replace(blood, edge_mm=min(blood.edge_mm, 0.6 * height_mm)),
        place=place,
        age=age,
        height_mm=height_mm,
        radius_mm=float(rng.uniform(25, 75) if place == "convexity" else rng.uniform(15, 55)),
        reach_mm=float(rng.uniform(25, 80)),
        seed=draw_seed(rng),
    )
