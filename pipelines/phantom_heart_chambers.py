"""Chambers and walls of a generated heart at rest, on a fine lattice of its plane: rows z, columns x."""

from dataclasses import dataclass

import cv2
import numpy as np

from sliceweave.pipelines.phantom_heart import Heart
from sliceweave.transforms.lattice import Field

STEP_MM = 0.6
SHAPE = (440, 370)
_LOW_MM = (-125.0, -62.0)
_INTO_ATRIUM_MM = 10.0


@dataclass(frozen=True)
class Chambers:
    """Signed distances (mm, positive inside) to the chambers, the left wall's outside and the pericardial sac."""

    left: Field
    wall: Field
    right: Field
    left_atrium: Field
    right_atrium: Field
    sac: Field


def lattice_index(x: Field, z: Field) -> tuple[Field, Field]:
    """Column and row on the lattice of points at rest."""
    return ((x - _LOW_MM[0]) / STEP_MM).astype(np.float32), ((z - _LOW_MM[1]) / STEP_MM).astype(np.float32)


def axes_mm() -> tuple[Field, Field]:
    """Open grid of the lattice: x (1, columns) and z (rows, 1)."""
    rows, columns = SHAPE
    x = _LOW_MM[0] + STEP_MM * np.arange(columns, dtype=np.float32)
    z = _LOW_MM[1] + STEP_MM * np.arange(rows, dtype=np.float32)
    return x[None, :], z[:, None]


def noise(rng: np.random.Generator, wavelength_mm: float, stretch: float = 1.0) -> Field:
    """Smooth noise of zero mean and unit deviation, its grains longer along z by the stretch."""
    sigma = wavelength_mm / 9 / STEP_MM
    small = max(1, int(sigma / 1.5))
    white = rng.standard_normal([count // small + 1 for count in SHAPE], dtype=np.float32)
    smooth = cv2.GaussianBlur(
        white, (0, 0), sigma / small, sigmaY=sigma / small * stretch, borderType=cv2.BORDER_REFLECT
    )
    smooth = cv2.resize(smooth, SHAPE[::-1], interpolation=cv2.INTER_LINEAR)
    scaled: Field = (smooth - smooth.mean()) / smooth.std()
    return scaled


def draw_chambers(heart: Heart, rng: np.random.Generator) -> Chambers:
    """Chambers around the left ventricle of a heart, which has its own shape already."""
    x, z = axes_mm()
    length, share = heart.length_mm, z / heart.length_mm
    # The chambers reach into their atria: the valves are drawn with the beat, not here.
    left = _distance_mm((np.abs(x) < heart.half_width(share)) & (share > 0) & (z < length + _INTO_ATRIUM_MM))
    tip = np.clip(share / 0.25, 0, 1)
    thickness = np.where(x < 0, heart.septum_mm, heart.lateral_mm) * (0.65 + 0.35 * tip) + 0.5 * noise(rng, 40)
    wall = np.minimum(left + thickness, length + 1.5 - z)
    right = _distance_mm(_right_ventricle(heart, rng) & (wall < 0)) + np.minimum(noise(rng, 35), 0)
    left_atrium, right_atrium = (chamber + noise(rng, 40) for chamber in _atria(heart, rng, x, z))
    muscle = np.maximum.reduce([wall, right + rng.uniform(3, 5), left_atrium + 2.5, right_atrium + 2.5])
    grown = _distance_mm(muscle > -14)
    sac = _distance_mm(grown > 14) + rng.uniform(0, 2.5) + 0.6 * noise(rng, 45)
    return Chambers(left, wall, right, left_atrium, right_atrium, sac)


def _right_ventricle(heart: Heart, rng: np.random.Generator) -> Field:
    length = heart.length_mm
    septal = -heart.half_width(1.0) - heart.septum_mm
    tip_share = rng.uniform(0.12, 0.4)
    tip = np.array([-heart.half_width(tip_share) - heart.septum_mm - 3, tip_share * length])
    hinge = np.array([septal - heart.right_mm, 0.95 * length])
    pull = np.array([hinge[0] - rng.uniform(0, 10), tip[1] + rng.uniform(0.15, 0.4) * (hinge[1] - tip[1])])
    t = np.linspace(0, 1, 40)[:, None]
    free_wall = (1 - t) ** 2 * tip + 2 * t * (1 - t) * pull + t**2 * hinge
    inflow = hinge[1] + _INTO_ATRIUM_MM
    into_atrium = [[hinge[0] + 4, inflow], [septal - 2, inflow], [septal, hinge[1]]]
    return _polygon(np.concatenate([free_wall, into_atrium, [[0, 0.5 * length]]]))


def _atria(heart: Heart, rng: np.random.Generator, x: Field, z: Field) -> tuple[Field, Field]:
    length, mitral = heart.length_mm, heart.half_width(1.0)
    width = mitral + rng.uniform(2, 8)
    centre = rng.uniform(-3, 3) + width - mitral - 1
    left_mm, right_mm = heart.atria_mm
    lean = rng.uniform(-0.15, 0.15) * (z - length)
    left = _superellipse((x - centre - lean) / width, (z - length - 0.42 * left_mm) / (0.58 * left_mm)) & (z > length)
    septum = centre - width - rng.uniform(3, 6)
    half = heart.right_mm / 2 + rng.uniform(3, 8)
    top = 0.94 * length
    right = _superellipse((x - septum + half - lean) / half, (z - top - 0.42 * right_mm) / (0.58 * right_mm))
    return _distance_mm(left), _distance_mm(right & (z > top))


def _distance_mm(inside: Field) -> Field:
    """Signed distance to the edge of a mask."""
    mask = inside.astype(np.uint8)
    distance: Field = cv2.distanceTransform(mask, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    return distance * STEP_MM


def _polygon(points_mm: Field) -> Field:
    mask = np.zeros(SHAPE, np.uint8)
    pixels = np.stack(lattice_index(points_mm[:, 0], points_mm[:, 1]), axis=-1)
    cv2.fillPoly(mask, [np.rint(pixels * 16).astype(np.int32)], 1, shift=4)
    return mask > 0


def _superellipse(x: Field, z: Field) -> Field:
    """Mask of a rounded box, from offsets in units of its half widths."""
    inside: Field = np.abs(x) ** 2.5 + np.abs(z) ** 2.5 < 1
    return inside
