"""Cupping: brain that looks brighter the nearer it lies to the skull, as beam hardening leaves it."""

from dataclasses import dataclass

import numpy as np

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.head_scan import HeadScan
from sliceweave.transforms.hematoma_tissue import Canvas
from sliceweave.transforms.lattice import Field, ramp


@dataclass(frozen=True)
class Cupping:
    """A slow rise of HU towards the skull, as drawn.

    Attributes:
        rise_hu: at the bone, where it is strongest.
        reach_mm: depth at which a third of it is left.
        towards_rad: where it is strongest, 0 to the right, a quarter turn to the front.
        focus: 0 all around; above, the more the narrower.
    """

    rise_hu: float
    reach_mm: float
    towards_rad: float
    focus: float
    kind: str = "cupping"

    def apply(self, scan: HeadScan) -> HeadScan:
        """The scan with it; unchanged where there is no head."""
        if scan.head is None:
            return scan
        canvas = Canvas(scan, scan.head)
        rise = self._rise(scan.head)
        hu = scan.hu.copy()
        rows, columns = canvas.grid.box
        for k in canvas.grid.slices(rise > 0):
            hu[k, rows, columns] += canvas.grid.plane(rise, k * scan.spacing_mm[2] / scan.head.lattice.step_mm)
        return scan.painted(np.clip(hu, scan.hu.min(), canvas.ceiling_hu))

    def _rise(self, head: Head) -> Field:
        angle = np.arctan2(head.front_mm / head.half_length_mm, head.side_mm / head.half_width_mm)
        turned = (0.5 + 0.5 * np.cos(angle - self.towards_rad)) ** self.focus
        fading = np.exp(-np.maximum(head.depth_mm, 0) / self.reach_mm)
        rise: Field = (self.rise_hu * turned * fading * ramp(head.depth_mm)).astype(np.float32)
        return rise


def draw_cupping(rng: np.random.RandomState) -> Cupping:
    """4 to 16 HU, fading within 3 to 15 mm; mostly under the frontal or the occipital bone."""
    is_all_around = rng.uniform() < 0.3
    front = 0.5 * np.pi if rng.uniform() < 0.7 else -0.5 * np.pi
    return Cupping(
        rise_hu=float(rng.uniform(4, 16)),
        reach_mm=float(rng.uniform(3, 15)),
        towards_rad=float(rng.normal(front, 0.4)),
        focus=0.0 if is_all_around else float(rng.uniform(1, 6)),
    )
