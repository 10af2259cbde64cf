"""A generated heart in the apical four-chamber plane: its left ventricle, how it beats, and where tissue comes from.

Heart frame: millimetres, origin in the apex of the left ventricle's cavity, z along its long axis to the mitral
annulus, x from the septum to the lateral wall. At rest (end of diastole) the long axis is straight and the annulus
square to it; bending and slanting come last, so that the cavity's area at any moment has a closed form.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator

from sliceweave.transforms.lattice import Field, bump

_OUTLINE_POINTS = 60
_THICKENING_MM = 14.0
_WIDE_MM = 18.0
_BELOW_MM = 12.0


@dataclass(frozen=True)
class Heart:
    """One heart; lengths (mm) at the end of diastole, and shares (0…1).

    Attributes:
        length_mm: long axis of the cavity, from the apex to the annulus.
        half_width_mm: half of the widest short axis.
        widest: share of the long axis where the cavity is widest.
        roundness: exponent of the apex, 2 for half an ellipse.
        annulus: width at the annulus against the widest.
        bow_mm: how far the apex half leans away from a straight axis.
        slant: rise of the annulus plane towards the lateral wall.
        septum_mm: thickness of the septum.
        lateral_mm: thickness of the lateral wall.
        ejection_fraction: 0.25…0.7, of a body of revolution with the cavity's area and length (area-length method).
        shortening: of the long axis at the end of systole.
        lazy: side (-1 septum, 1 lateral), place on the long axis and depth of a wall that moves less.
        atria_mm: heights of the left and the right atrium.
        meeting: where the mitral leaflets close, as shares of the long axis and of the half width.
        right_mm: width of the right ventricle at its base.
        moments: of the beat, as shares of it: end of systole, end of fast filling, start of atrial contraction.
    """

    length_mm: float
    half_width_mm: float
    widest: float
    roundness: float
    annulus: float
    bow_mm: float
    slant: float
    septum_mm: float
    lateral_mm: float
    ejection_fraction: float
    shortening: float
    lazy: tuple[float, float, float]
    atria_mm: tuple[float, float]
    meeting: tuple[float, float]
    right_mm: float
    moments: tuple[float, float, float]

    def half_width(self, share: Field | float) -> Field:
        """Half width (mm) of the resting cavity at shares of its long axis; 0 above the apex, constant below."""
        share = np.clip(share, 0, 1)
        up = np.clip(1 - share / self.widest, 0, 1)
        down = np.clip((share - self.widest) / (1 - self.widest), 0, 1)
        dome = (1 - up**self.roundness) ** (1 / self.roundness)
        width: Field = self.half_width_mm * dome * (1 - (1 - self.annulus) * down**2)
        return width


class Moment(NamedTuple):
    """State of a beating heart: share of its ejection that is done, and openings (0…1) of the inflow valves."""

    ejected: float
    opening: float


def draw_heart(rng: np.random.Generator) -> Heart:
    """A heart of an adult, small to dilated, with the view foreshortened in some."""
    ejection_fraction = rng.uniform(0.25, 0.7)
    dilated = np.clip((0.5 - ejection_fraction) / 0.25, 0, 1) * rng.uniform()
    foreshortened = rng.uniform(0.8, 1) if rng.uniform() < 0.35 else 1.0
    systole = rng.uniform(0.3, 0.42)
    atrial_kick = rng.uniform(0.8, 0.88)
    return Heart(
        length_mm=rng.uniform(72, 94) * foreshortened * (1 + 0.1 * dilated),
        half_width_mm=rng.uniform(19, 25.5) * (1 + 0.22 * dilated),
        widest=rng.uniform(0.45, 0.72),
        roundness=rng.uniform(1.7, 2.3) + (0.3 if foreshortened < 1 else 0),
        annulus=rng.uniform(0.66, 0.9),
        bow_mm=rng.normal(0, 3.5),
        slant=rng.normal(0, 0.1),
        septum_mm=rng.uniform(8, 12),
        lateral_mm=rng.uniform(8, 12),
        ejection_fraction=ejection_fraction,
        shortening=0.26 * ejection_fraction * rng.uniform(0.8, 1.2),
        lazy=_draw_lazy_wall(rng, ejection_fraction),
        atria_mm=(rng.uniform(36, 58), rng.uniform(36, 56)),
        meeting=(rng.uniform(0.89, 0.98), rng.uniform(-0.1, 0.4)),
        right_mm=rng.uniform(24, 42),
        moments=(systole, systole + rng.uniform(0.2, 0.28), atrial_kick),
    )


def _draw_lazy_wall(rng: np.random.Generator, ejection_fraction: float) -> tuple[float, float, float]:
    depth = rng.uniform(0.3, 0.9) if ejection_fraction < 0.5 and rng.uniform() < 0.5 else rng.uniform(0, 0.2)
    return float(rng.choice([-1, 1])), rng.uniform(0.1, 0.7), depth


def moment_at(heart: Heart, phase: float) -> Moment:
    """The heart at a share of its beat, 0 being the end of diastole."""
    systole, filled, kick = heart.moments
    rest = 0.24
    knots = (0.0, 0.04, 0.55 * systole, systole, systole + 0.04, filled, kick, 0.98, 1.0)
    ejected = PchipInterpolator(knots, (0, 0.01, 0.68, 1, 0.99, rest, rest - 0.04, 0, 0))(phase % 1)
    return Moment(float(np.clip(ejected, 0, 1)), _opening(heart, phase % 1))


def _opening(heart: Heart, phase: float) -> float:
    """Wide in early filling, wide again when the atria contract, afloat between, closed in systole."""
    systole, filled, kick = heart.moments
    peaks = np.array([0.5 * (systole + 0.04 + filled), 0.5 * (kick + 0.98)])
    early, late = bump((phase - peaks) / np.array([0.075, 0.045])) * [1, 0.8]
    floating = 0.35 * (systole + 0.06 < phase < 0.96)
    return float(max(early, late, floating))


def length_share(heart: Heart, ejected: float) -> float:
    """Length of the long axis against its length at rest."""
    return 1 - heart.shortening * ejected


def width_share(heart: Heart, ejected: float, share: Field | float, side: Field | float) -> Field:
    """Half width of the cavity against rest, at shares of the long axis, on the side of the septum (-1) or laterally.

    Its mean over the cavity's area makes the area-length volume shrink by just the ejection fraction.
    """
    mean = np.sqrt((1 - heart.ejection_fraction * ejected) / length_share(heart, ejected))
    grid = (np.arange(200) + 0.5) / 200
    weight = heart.half_width(grid)
    both = _eagerness(heart, grid, np.array([[-1.0], [1.0]]))
    return 1 - (1 - mean) * _eagerness(heart, np.clip(share, 0, 1), side) / np.average(both.mean(0), weights=weight)


def _eagerness(heart: Heart, share: Field, side: Field | float) -> Field:
    """How much a piece of wall moves against the others; the annulus is stiff."""
    lazy_side, place, depth = heart.lazy
    stiff = 0.6 * np.clip((share - 0.7) / 0.3, 0, 1) ** 2
    return 1 - stiff - depth * bump((share - place) / 0.22) * (0.15 + 0.85 * (side * lazy_side > 0))


def outline_mm(heart: Heart, ejected: float) -> Field:
    """(M, 2) outline x, z of the cavity: up the septum, around the apex, down laterally; the annulus closes it."""
    share = np.sin(np.linspace(0, np.pi / 2, _OUTLINE_POINTS)) ** 2
    side = np.concatenate([-np.ones_like(share), np.ones_like(share)])
    share = np.concatenate([share[::-1], share])
    return np.stack(placed(heart, ejected, share, side), axis=-1)


def placed(heart: Heart, ejected: float, share: Field, across: Field) -> tuple[Field, Field]:
    """x, z of points in the cavity or at its annulus, from shares of its long axis and of its half width (-1…1)."""
    x = across * heart.half_width(share) * width_share(heart, ejected, share, across)
    z = share * heart.length_mm * length_share(heart, ejected)
    return _bent(heart, ejected, x, z)


def leaflets_mm(heart: Heart, moment: Moment) -> list[Field]:
    """Leaflets of the mitral and tricuspid valves, each (M, 2) points x, z from its hinge to its tip."""
    return [
        _leaflet(heart, moment, (1.0, -1.0), (0.74, -0.42)),
        _leaflet(heart, moment, (1.0, 1.0), (0.83, 0.62)),
        *_tricuspid(heart, moment),
    ]


def _leaflet(heart: Heart, moment: Moment, hinge: tuple[float, float], opened: tuple[float, float]) -> Field:
    """From its hinge to its tip, which goes from the meeting place to the open one; both in shares."""
    along = np.linspace(0, 1, 7)[:, None]
    tip = heart.meeting + (np.array(opened) - heart.meeting) * moment.opening
    belly = along * (1 - along) * [0.10 * (1 - moment.opening), 0.35 * moment.opening * hinge[1]]
    points = np.array(hinge) + (tip - hinge) * along - belly
    return np.stack(placed(heart, moment.ejected, points[:, 0], points[:, 1]), axis=-1)


def _tricuspid(heart: Heart, moment: Moment) -> list[Field]:
    """Two leaflets that hang a little nearer to the apex than the mitral valve's."""
    base = heart.length_mm * length_share(heart, moment.ejected) - 6
    septal = -heart.half_width(1.0) * width_share(heart, moment.ejected, 1.0, -1.0) - heart.septum_mm
    lateral = septal - heart.right_mm * (1 - 0.15 * moment.ejected)
    along = np.linspace(0, 1, 6)
    meeting = septal + 0.45 * (lateral - septal)
    leaflets = []
    for hinge, reach in ((septal, 0.5), (lateral, 0.8)):
        x = hinge + (meeting - hinge) * along * (1 - 0.65 * moment.opening)
        z = base - along * (3 + 20 * reach * moment.opening) + 4 * along * (1 - along) * (1 - moment.opening)
        leaflets.append(np.stack(_bent(heart, moment.ejected, x, z), axis=-1))
    return leaflets


def resting_mm(heart: Heart, ejected: float, x: Field, z: Field) -> tuple[Field, Field]:
    """Where the tissue at x, z is at rest; the cavity comes from the cavity, and walls thicken as they move in."""
    x, z = _straightened(heart, ejected, x, z)
    shortened = length_share(heart, ejected)
    length, floor = heart.length_mm, heart.length_mm + 1.15 * max(heart.atria_mm)
    sliding = np.clip((heart.half_width_mm + heart.lateral_mm + _WIDE_MM - x) / _WIDE_MM, 0, 1)
    base = length * (1 - (1 - shortened) * sliding)
    below = floor - (floor - z) * (floor - length) / (floor - base)
    z = np.where(z < 0, z, np.where(z < base, z * length / base, np.where(z < floor, below, z)))
    return _widened(heart, ejected, x, z / length), z


def _widened(heart: Heart, ejected: float, x: Field, share: Field) -> Field:
    """x at rest: proportional within the cavity; outside the area of the ring stays, less and less so with distance."""
    radius = np.abs(x)
    rest = heart.half_width(share)
    fading = np.clip(1 - (share - 1) * heart.length_mm / _BELOW_MM, 0, 1)
    shrunk = 1 - (1 - width_share(heart, ejected, share, np.sign(x))) * fading
    wall = shrunk * rest
    spread = 0.35 + 0.65 * np.exp(-np.maximum(radius - wall, 0) / _THICKENING_MM)
    outside = np.sqrt(radius**2 + (rest**2 - wall**2) * spread)
    return np.sign(x) * np.where(radius < wall, radius / shrunk, _right_heart(heart, ejected, x, share, outside))


def _right_heart(heart: Heart, ejected: float, x: Field, share: Field, radius: Field) -> Field:
    """Distance from the axis at rest on the right side, where the free wall moves towards the septum."""
    beyond = np.where(x < 0, np.maximum(radius - heart.half_width(share) - heart.septum_mm, 0), 0)
    squeeze = 0.25 * ejected * np.clip(share * 4, 0, 1) * np.clip((1.1 - share) * 5, 0, 1)
    return radius + squeeze * beyond * np.exp(-((beyond / 50) ** 2))


def _bow(heart: Heart, z: Field) -> Field:
    share = np.clip(z / heart.length_mm, -0.3, 1.5)
    return heart.bow_mm * 4 * share * (share - 1)


def _bent(heart: Heart, ejected: float, x: Field, z: Field) -> tuple[Field, Field]:
    z = z + heart.slant * x * np.clip(z / (heart.length_mm * length_share(heart, ejected)), 0, 1)
    return x + _bow(heart, z), z


def _straightened(heart: Heart, ejected: float, x: Field, z: Field) -> tuple[Field, Field]:
    x = x - _bow(heart, z)
    base = heart.length_mm * length_share(heart, ejected)
    lift = heart.slant * np.clip(x, -40, 40)
    return x, np.where(z < 0, z, np.where(z < base + lift, z / (1 + lift / base), z - lift))
