"""Cupping: brain that looks brighter the nearer it lies to the skull, as beam hardening leaves it."""

from dataclasses import dataclass

import numpy as np

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.head_scan import HeadScan
from sliceweave.transforms.hematoma_growth import draw_seed
from sliceweave.transforms.hematoma_tissue import Canvas
from sliceweave.transforms.lattice import Field, ramp

_PATCH_MM = 40.0


@dataclass(frozen=True)
class Cupping:
    """A slow rise of HU towards the skull, as drawn.

    Attributes:
        rise_hu: at the bone, where it is strongest.
        reach_mm: depth at which a third of it is left.
        towards_rad: where it is strongest, 0 to the right, a quarter turn to the front.
        focus: 0 all around; above, the more the narrower.
        patchiness: how much the rise differs from place to place, as a share of it.
        seed: of where.
    """

    rise_hu: float
    reach_mm: float
    towards_rad: float
    focus: float
    patchiness: float = 0.0
    seed: int = 0
    kind: str = "cupping"

    def apply(self, scan: HeadScan) -> HeadScan:
        """The scan with it; unchanged where there is no head."""
        if scan.head is None:
            return scan
        canvas = Canvas(scan, scan.head)
        at_bone_hu = self._at_bone_hu(scan.head)
        hu = scan.hu.copy()
        rows, columns = canvas.grid.box
        for k in canvas.grid.slices(scan.head.depth_mm > -1):
            height = canvas.grid.height(k)
            depth_mm = canvas.grid.plane(scan.head.depth_mm, height)
            fading = np.exp(-np.maximum(depth_mm, 0) / np.float32(self.reach_mm)) * ramp(depth_mm)
            hu[k, rows, columns] += canvas.grid.plane(at_bone_hu, height) * fading
        return scan.painted(np.clip(hu, scan.hu.min(), canvas.ceiling_hu))

    def _at_bone_hu(self, head: Head) -> Field:
        angle = np.arctan2(head.front_mm / head.half_length_mm, head.side_mm / head.half_width_mm)
        turned = (0.5 + 0.5 * np.cos(angle - self.towards_rad)) ** self.focus
        noise = head.lattice.noise(np.random.default_rng(self.seed), _PATCH_MM)
        rise: Field = self.rise_hu * turned * np.clip(1 + self.patchiness * noise, 0, 2)
        return rise.astype(np.float32)


def draw_cupping(rng: np.random.RandomState) -> Cupping:
    """4 to 16 HU, fading within 3 to 15 mm, or a steep rim of 10 to 40 HU, fading within 0.8 to 4 mm.

    Mostly under the frontal or the occipital bone.
    """
    is_all_around = rng.uniform() < 0.3
    front = 0.5 * np.pi if rng.uniform() < 0.7 else -0.5 * np.pi
    is_steep = rng.uniform() < 0.6
    return Cupping(
        rise_hu=float(rng.uniform(10, 40) if is_steep else rng.uniform(4, 16)),
        reach_mm=float(rng.uniform(0.8, 4) if is_steep else rng.uniform(3, 15)),
        towards_rad=float(rng.normal(front, 0.4)),
        focus=0.0 if is_all_around else float(rng.uniform(1, 6)),
        patchiness=float(rng.uniform(0, 0.6)),
        seed=draw_seed(rng),
    )
