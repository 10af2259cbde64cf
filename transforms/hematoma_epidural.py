"""Bleeding between skull and dura: a lens."""

from dataclasses import dataclass, replace

import numpy as np

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.hematoma_displacement import pushed_in
from sliceweave.transforms.hematoma_extraaxial import behind_table, own_hemisphere, surface_patch
from sliceweave.transforms.hematoma_growth import Blood, Growth, draw_blood, draw_log, draw_seed


@dataclass(frozen=True)
class Epidural:
    """One epidural bleeding, as drawn.

    Attributes:
        height_mm: where it is thickest.
        radius_mm: of its base.
        length: how many times as long from front to back as from top to bottom.
        reach_mm: how deep the brain gives way.
        seed: of its place and outline.
    """

    blood: Blood
    height_mm: float
    radius_mm: float
    length: float
    reach_mm: float
    seed: int
    kind: str = "epidural"

    def grow(self, head: Head) -> Growth | None:
        """The lens in this head, or None where there is no vault to hold it."""
        rng = np.random.default_rng(self.seed)
        side, apart = surface_patch(head, rng, (self.radius_mm, self.length))
        lens = np.clip(1 - apart**2 + 0.04 * head.lattice.noise(rng, 40), 0, 1)
        height_mm = self.height_mm * lens * own_hemisphere(head, side)
        extent = np.where(height_mm > 0.3, height_mm - head.depth_mm, -9)
        if not (extent > 0).any():
            return None
        return Growth(behind_table(head, extent), 0.0, pushed_in(head, height_mm, self.reach_mm))


def draw_epidural(rng: np.random.RandomState) -> Epidural:
    """A lens of 2.5 to 30 mm, half of them thinner than 8 mm; the base three to eight times as wide."""
    height_mm = draw_log(rng, 2.5, 8) if rng.uniform() < 0.5 else draw_log(rng, 8, 30)
    blood = draw_blood(rng, 0.12, 0.08)
    return Epidural(
        blood=replace(blood, edge_mm=min(blood.edge_mm, 0.5 * height_mm)),
        height_mm=height_mm,
        radius_mm=float(np.clip(height_mm * rng.uniform(1.5, 4), 10, 45)),
        length=float(rng.uniform(0.8, 1.5)),
        reach_mm=float(rng.uniform(25, 70)),
        seed=draw_seed(rng),
    )
