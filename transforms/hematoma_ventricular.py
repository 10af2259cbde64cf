"""Bleeding into the ventricles: a layer at the back with a level, a cast, or clots in a part of them."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.hematoma_growth import Blood, Growth, best_part, draw_blood, draw_seed
from sliceweave.transforms.lattice import Field

FORMS = ("layered", "partial", "cast")


@dataclass(frozen=True)
class Ventricular:
    """Blood in the ventricles that the scan itself shows, as drawn.

    Attributes:
        form: one of `FORMS`: sunk to the back, a clot somewhere, or nearly all of the ventricles filled.
        filling: share of the ventricles' volume.
        lopsided: how much more on one side, mm of level; its sign is the side.
        unevenness_mm: of the blood's surface.
        seed: of its shape.
    """

    blood: Blood
    form: str
    filling: float
    lopsided: float
    unevenness_mm: float
    seed: int
    kind: str = "ventricular"

    def grow(self, head: Head) -> Growth | None:
        """The blood in this head's ventricles, or None where none are seen."""
        csf_ml = np.where(head.ventricle > 0.4, head.csf, 0) * head.lattice.step_mm**3 / 1000
        if csf_ml.sum() < 0.1:
            return None
        room_mm = 4 * (head.ventricle - 0.4)
        extent = best_part(self._score(head), room_mm, self.filling * float(csf_ml.sum()), csf_ml)
        return Growth(extent, csf_gain=1.25, density=self._sediment(head, extent))

    def _score(self, head: Head) -> Field:
        rng = np.random.default_rng(self.seed)
        noise = head.lattice.noise(rng, 25)
        sided = self.lopsided * np.sign(head.side_mm) * (np.abs(head.side_mm) > 3)
        if self.form == "layered":
            return _above_floor(head) + sided + self.unevenness_mm * noise
        if self.form == "cast":
            return -0.2 * head.front_mm + sided + 8 * noise
        points = np.argwhere(head.ventricle * head.csf > 0.5)
        if len(points) == 0:
            points = np.argwhere(head.ventricle > 0.4)
        centre = points[rng.integers(len(points))]
        offsets = [head.lattice.step_mm * (axis - c) for axis, c in zip(np.indices(noise.shape), centre, strict=True)]
        return -np.sqrt(sum(offset**2 for offset in offsets)).astype(np.float32) + self.unevenness_mm * noise

    def _sediment(self, head: Head, extent: Field) -> Field | None:
        """A layer grows denser towards the back."""
        blood = extent > 0
        if self.form != "layered" or not blood.any():
            return None
        back, front = np.quantile(head.front_mm[blood], [0.02, 0.98])
        return np.clip(1 - 0.35 * (head.front_mm - back) / max(front - back, 4), 0.5, 1)


def _above_floor(head: Head) -> Field:
    """Minus the height above the back end of each connected part of the ventricles: blood settles in all of them."""
    parts, count = ndimage.label(head.ventricle > 0.4)
    back = ndimage.minimum(head.front_mm, parts, np.arange(1, count + 1))
    floor = np.concatenate([[0.0], np.asarray(back)])[parts]
    whole = head.front_mm - head.front_mm[head.ventricle > 0.4].min()
    return np.asarray(-(0.5 * (head.front_mm - floor) + 0.5 * whole), np.float32)


def draw_ventricular(rng: np.random.RandomState) -> Ventricular:
    """Blood in the ventricles, half of the time a layer; from clotted to so dilute that it is barely seen."""
    form = str(rng.choice(FORMS, p=[0.5, 0.28, 0.22]))
    fillings = {"layered": (0.02, 0.3), "partial": (0.05, 0.5), "cast": (0.5, 0.98)}
    blood = draw_blood(rng, 0.05, 0.1)
    return Ventricular(
        blood=replace(blood, edge_mm=min(blood.edge_mm, 2), dilution=float(rng.uniform(0.7, 1))),
        form=form,
        filling=float(rng.uniform(*fillings[form])),
        lopsided=float(rng.normal(0, 4)) if rng.uniform() < 0.6 else 0.0,
        unevenness_mm=float(rng.uniform(0, 1.2) if form == "layered" else rng.uniform(1, 8)),
        seed=draw_seed(rng),
    )
