"""What surgery leaves: burr holes, bone flaps, missing bone, and air under them."""

from dataclasses import dataclass

import numpy as np

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.head_scan import HeadScan
from sliceweave.transforms.hematoma_extraaxial import surface_patch
from sliceweave.transforms.hematoma_growth import draw_seed
from sliceweave.transforms.hematoma_tissue import Canvas
from sliceweave.transforms.lattice import Field

FORMS = ("burr_hole", "flap", "craniectomy")
_AIR_HU = -1000.0
_BONE_DEPTH_MM = 16.0
_SAW_MM = 2.5


@dataclass(frozen=True)
class Craniotomy:
    """An opening in the vault, as drawn.

    Attributes:
        form: one of `FORMS`; a flap has its bone back, but for the saw's cut.
        radius_mm: of the opening.
        tissue_hu: what fills it, above the brain.
        air_mm: how deep a pocket of air is under it, at the highest place of a lying patient; 0 for none.
        seed: of where it is.
    """

    form: str
    radius_mm: float
    tissue_hu: float
    air_mm: float
    seed: int
    kind: str = "craniotomy"

    def apply(self, scan: HeadScan) -> HeadScan:
        """The scan with the opening; unchanged where there is no head. Blood's share stays, but for the air."""
        if scan.head is None:
            return scan
        canvas = Canvas(scan, scan.head)
        rng = np.random.default_rng(self.seed)
        _, apart = surface_patch(scan.head, rng, (self.radius_mm, 1.0))
        opening, air = self._opening(scan.head, apart), self._air(scan.head, apart)
        hu, share = scan.hu.copy(), scan.share.copy()
        rows, columns = canvas.grid.box
        for k in canvas.grid.slices((opening > -1) | (air > 0)):
            own = hu[k, rows, columns]
            open_, empty = (canvas.grid.mean(field, k, 0.8) for field in (opening, air))
            noise = canvas.noise.plane(rng, (own.shape[0], own.shape[1]))
            soft = np.minimum(own, scan.head.brain_hu + self.tissue_hu + noise)
            open_ *= own > scan.head.brain_hu + 25  # skin and muscle stay
            hu[k, rows, columns] = (own + open_ * (soft - own)) * (1 - empty) + empty * _AIR_HU
            share[k, rows, columns] *= 1 - empty
        return scan.painted(np.clip(hu, scan.hu.min(), canvas.ceiling_hu), share)

    def _opening(self, head: Head, apart: Field) -> Field:
        """Signed distance (mm) to its wall, in the bone and a little beyond."""
        if self.form == "flap":
            extent = 0.5 * _SAW_MM - np.abs(apart - 1) * self.radius_mm
        else:
            extent = (1 - apart) * self.radius_mm
        outside = np.minimum(head.depth_mm + _BONE_DEPTH_MM, 1.5 - head.depth_mm)
        extent = np.minimum(extent, head.up_mm + 25)
        field: Field = np.minimum(extent, outside).astype(np.float32)
        return field

    def _air(self, head: Head, apart: Field) -> Field:
        """Air rises: in front, under the table, near the opening."""
        if self.air_mm == 0:
            return np.full_like(head.depth_mm, -9)
        near = head.depth_mm * 0 + np.float32(self.air_mm) * np.clip(1.6 - apart, 0, 1)
        place = (head.depth_mm > 0) & (apart < 1.5) & (head.front_mm > 0) & (head.inward[2] < 0.45) & (head.up_mm > -8)
        field: Field = np.where(place, np.minimum(near - head.depth_mm, head.depth_mm + 0.5), -9).astype(np.float32)
        return field


def draw_craniotomy(rng: np.random.RandomState) -> Craniotomy:
    """A burr hole of 8 to 16 mm, or a flap or a gap of 3 to 10 cm; half of them with air."""
    form = str(rng.choice(FORMS, p=[0.45, 0.35, 0.2]))
    return Craniotomy(
        form=form,
        radius_mm=float(rng.uniform(4, 8) if form == "burr_hole" else rng.uniform(15, 50)),
        tissue_hu=float(rng.uniform(-25, 15)),
        air_mm=float(rng.uniform(2, 10)) if rng.uniform() < 0.5 else 0.0,
        seed=draw_seed(rng),
    )
