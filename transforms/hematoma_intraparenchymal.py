"""Bleeding into the brain: round, irregular, in several places; oedema, fluid level, mass effect."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.hematoma_displacement import pushed_apart
from sliceweave.transforms.hematoma_growth import (
    Blood,
    Growth,
    best_part,
    draw_blood,
    draw_log,
    draw_seed,
    nearest_point,
)
from sliceweave.transforms.lattice import Field, ramp

FORMS = ("round", "irregular", "multifocal")
SITES = ("basal_ganglia", "thalamus", "pons", "cerebellum", "lobar", "cortical")
_SITE_ODDS = (0.28, 0.16, 0.08, 0.1, 0.25, 0.13)
_SMALL_SITES = ("thalamus", "pons", "cerebellum")


@dataclass(frozen=True)
class Intraparenchymal:
    """One bleeding into the brain, as drawn.

    Attributes:
        site: where, one of `SITES`.
        form: one of `FORMS`.
        volume_ml: of blood, where there is room for it.
        stretch: logarithm of the lengths of its axes.
        ruggedness: of its surface, in radii.
        oedema_mm, oedema_hu: width and depth of the rim; no rim for a width of 0.
        fluid_level: height of the level in its depth from back to front, 0…1; None for blood without one.
        push: share of its volume that it displaces.
        seed: of place and shape.
    """

    blood: Blood
    site: str
    form: str
    volume_ml: float
    stretch: tuple[float, float, float]
    ruggedness: float
    oedema_mm: float
    oedema_hu: float
    fluid_level: float | None
    push: float
    seed: int
    kind: str = "intraparenchymal"

    def grow(self, head: Head) -> Growth | None:
        """The bleeding in this head, or None where its site is not in the scan."""
        rng = np.random.RandomState(self.seed)
        start = nearest_point(site_mask(head, self.site), rng.uniform())
        if start is None:
            return None
        centre_mm = np.array([axis.ravel()[index] for axis, index in zip(head.lattice.axes_mm(), start, strict=True)])
        score = self._score(head, centre_mm, rng)
        room_mm = np.minimum(head.depth_mm - (0.5 if self.site == "cortical" else 3), _same_side(head, start))
        extent = best_part(score, room_mm, self.volume_ml, head.lattice.step_mm**3 / 1000)
        shift = pushed_apart(head, extent > 0, self.push, 30.0) if self.push else None
        oedema = extent + self.oedema_mm * (1 + 0.5 * _noise(head, rng, 20)) if self.oedema_mm else None
        return Growth(extent, 0.0, shift, oedema, self.oedema_hu, self._density(head, extent))

    def _score(self, head: Head, centre_mm: NDArray[np.float64], rng: np.random.RandomState) -> Field:
        """Higher is sooner blood; falls by 1 per mm."""
        radius_mm = np.cbrt(240 * self.volume_ml)
        score = _ball(head, centre_mm, self.stretch, rng)
        for _ in range({"round": 0, "irregular": rng.randint(1, 4), "multifocal": rng.randint(2, 7)}[self.form]):
            apart = rng.uniform(0.9, 1.3) if self.form == "irregular" else rng.uniform(1.5, 4)
            other_mm = centre_mm + rng.normal(0, 1, 3) * [1, 1, 0.7] * apart * radius_mm
            handicap = rng.uniform(0, 0.6) * radius_mm * (1 if self.form == "irregular" else 0.6)
            score = np.maximum(score, _ball(head, other_mm, self.stretch, rng) - handicap)
        rough = self.ruggedness * radius_mm
        return score + rough * _noise(head, rng, max(8.0, 2 * radius_mm)) + 0.4 * rough * _noise(head, rng, 9)

    def _density(self, head: Head, extent: Field) -> Field | None:
        """Red cells sink to the back; plasma stays above a level."""
        blood = extent > 0
        if self.fluid_level is None or not blood.any():
            return None
        back, front = np.quantile(head.front_mm[blood], [0.02, 0.98])
        level_mm = back + self.fluid_level * (front - back)
        return 1 - 0.8 * ramp(head.front_mm - level_mm, 1.5)


def draw_intraparenchymal(rng: np.random.RandomState) -> Intraparenchymal:
    """A bleeding of 0.3 to 80 ml; those of thalamus, pons and cerebellum small."""
    site = str(rng.choice(SITES, p=_SITE_ODDS))
    form = str(rng.choice(FORMS, p=[0.45, 0.4, 0.15]))
    is_small = rng.uniform() < (0.65 if site in _SMALL_SITES else 0.35)
    volume_ml = draw_log(rng, 0.3, 4) if is_small else draw_log(rng, 3, 25 if site in _SMALL_SITES else 80)
    blood = draw_blood(rng, 0.2 if is_small else 0.05, 0.12)
    has_level = volume_ml > 8 and rng.uniform() < 0.12
    has_oedema = rng.uniform() < 0.65
    return Intraparenchymal(
        blood=replace(blood, swirl_hu=blood.swirl_hu * (1.5 if volume_ml > 20 else 1)),
        site=site,
        form=form,
        volume_ml=volume_ml,
        stretch=(rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.5), rng.uniform(-0.3, 0.3)),
        ruggedness=float(rng.uniform(0.02, 0.12) if form == "round" else rng.uniform(0.1, 0.3)),
        oedema_mm=float(min(draw_log(rng, 1, 12), 1.5 * np.cbrt(240 * volume_ml))) if has_oedema else 0.0,
        oedema_hu=float(rng.uniform(3, 12)),
        fluid_level=float(rng.uniform(0.3, 0.75)) if has_level else None,
        push=float(rng.uniform(0.3, 1.0)),
        seed=draw_seed(rng),
    )


def site_mask(head: Head, site: str) -> NDArray[np.bool_]:
    """Brain in which a bleeding of this site may begin; no CSF, no bone."""
    side, front, up = (
        np.abs(head.side_mm) / head.half_width_mm,
        head.front_mm / head.half_length_mm,
        head.up_mm,
    )
    brain = (head.csf < 0.3) & (head.hu < head.brain_hu + 18) & (head.depth_mm > 4)
    deep = brain & (head.depth_mm > 16)
    places = {
        "basal_ganglia": deep & (side > 0.27) & (side < 0.5) & (np.abs(front - 0.1) < 0.22) & (np.abs(up - 6) < 12),
        "thalamus": deep & (side > 0.08) & (side < 0.25) & (np.abs(front + 0.1) < 0.13) & (np.abs(up - 7) < 9),
        "pons": brain & (side < 0.16) & (np.abs(front + 0.1) < 0.2) & (np.abs(up + 30) < 12),
        "cerebellum": brain & (side < 0.6) & (front < -0.4) & (up < -22),
        "lobar": brain & (head.depth_mm > 8) & (head.depth_mm < 32) & (up > -18),
        "cortical": brain & (head.depth_mm < 8) & (side > 0.1),
    }
    return np.asarray(places[site], np.bool_)


def _same_side(head: Head, start: NDArray[np.intp]) -> Field:
    """Blood in a hemisphere stays on its side, but for the middle of the brain."""
    own = head.side_mm * np.float32(np.sign(head.side_mm[tuple(start)]) or 1)
    near_falx = (head.up_mm > 25) | (head.depth_mm < 25)
    is_central = abs(head.side_mm[tuple(start)]) < 0.2 * head.half_width_mm and head.up_mm[tuple(start)] < 20
    field: Field = np.where(near_falx & (not is_central), own - 1, 50)
    return field


def _noise(head: Head, rng: np.random.RandomState, wavelength_mm: float) -> Field:
    return head.lattice.noise(np.random.default_rng(draw_seed(rng)), wavelength_mm)


def _ball(
    head: Head, centre_mm: NDArray[np.float64], stretch: tuple[float, float, float], rng: np.random.RandomState
) -> Field:
    """Minus the distance to a centre, along stretched and slightly turned axes."""
    turn = Rotation.from_euler("xyz", rng.normal(0, 25, 3), degrees=True).as_matrix()
    rows = (turn / np.exp(np.subtract(stretch, np.mean(stretch)))[:, None]).astype(np.float32)
    offsets = [axis - np.float32(c) for axis, c in zip(head.lattice.axes_mm(), centre_mm, strict=True)]
    squares = (sum(w * offset for w, offset in zip(row, offsets, strict=True)) ** 2 for row in rows)
    field: Field = -np.sqrt(sum(squares))
    return field
