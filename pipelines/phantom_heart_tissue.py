"""What a generated heart sends back: echo levels of its resting tissues and blood on a fine lattice of its plane."""

from dataclasses import dataclass

import cv2
import numpy as np

from sliceweave.pipelines.phantom_heart import Heart
from sliceweave.pipelines.phantom_heart_chambers import SHAPE, STEP_MM, Chambers, axes_mm, draw_chambers, noise
from sliceweave.pipelines.phantom_ultrasound import amplitude_of
from sliceweave.transforms.lattice import Field, bump, ramp

_NOTHING_DB = -90.0


@dataclass(frozen=True)
class Echoes:
    """Amplitudes (rows z, columns x) of what stays in place in the tissue and of what flows; 1 is myocardium."""

    tissue: Field
    blood: Field


def draw_echoes(heart: Heart, rng: np.random.Generator, probe_mm: Field) -> Echoes:
    """The heart's echoes as seen from where the probe lies in the heart's frame."""
    x, z = axes_mm()
    chambers = draw_chambers(heart, rng)
    slanting = [_facing(distance, x - probe_mm[0], z - probe_mm[1]) for distance in (chambers.left, chambers.sac)]
    trabeculated = _trabeculated(heart, chambers, rng)
    tissue_db = _outside_db(chambers, rng)
    inside = np.where(chambers.wall > 0, _wall_db(heart, chambers, rng, slanting[0]), _other_walls_db(chambers, rng))
    tissue_db = np.where(chambers.sac > 0, inside, tissue_db)
    tissue_db = np.maximum(tissue_db, _pericardium_db(chambers, rng, slanting[1]))
    tissue_db -= _drop_out_db(heart, rng)
    tissue_db = np.where(trabeculated > 0, _NOTHING_DB, tissue_db)
    tissue_db = np.maximum(tissue_db, _within_cavity_db(heart, chambers, rng))
    aorta = _descending_aorta(heart, rng)
    tissue_db = np.where(aorta > 0, _NOTHING_DB, tissue_db)
    blood_db = np.where(np.maximum(trabeculated, aorta) > 0, rng.uniform(-34, -20) + 1.5 * noise(rng, 25), _NOTHING_DB)
    return Echoes(_through_slice(amplitude_of(tissue_db), rng), amplitude_of(blood_db))


def _through_slice(amplitude: Field, rng: np.random.Generator) -> Field:
    """What a beam of a few millimetres' thickness sees of walls that lean against the plane."""
    thin = cv2.GaussianBlur(amplitude**2, (0, 0), rng.uniform(0.5, 1.0) / STEP_MM)
    thick = cv2.GaussianBlur(amplitude**2, (0, 0), rng.uniform(2, 4) / STEP_MM)
    return np.sqrt(thin + rng.uniform(0.02, 0.25) * thick)


def _facing(distance_mm: Field, x: Field, z: Field) -> Field:
    """Squared cosine between the beam and a structure's edge normal: 1 where the beam meets it head on."""
    smooth = cv2.GaussianBlur(distance_mm.astype(np.float32), (0, 0), 3 / STEP_MM)
    down, right = np.gradient(smooth)
    dot = (down * z + right * x) / np.maximum(np.hypot(down, right) * np.hypot(x, z), 1e-6)
    squared: Field = np.clip(dot, -1, 1) ** 2
    return squared


def _wall_db(heart: Heart, chambers: Chambers, rng: np.random.Generator, facing: Field) -> Field:
    """Myocardium of the left ventricle: weaker where the beam runs along it, bright where it meets the cavity."""
    x, z = axes_mm()
    level = rng.uniform(1.5, 3) * noise(rng, 14, 2.0) + 1.5 * noise(rng, 50)
    level = level - rng.uniform(2, 8) * (1 - facing)
    level = level + (rng.uniform(1, 5) + 5 * facing) * bump((chambers.left + 1) / 1.6)
    septum = rng.uniform(-1, 3) * ramp(-x, 10)
    hinges = rng.uniform(4, 10) * bump((z - heart.length_mm) / 4, (np.abs(x) - heart.half_width(1.0) - 2) / 4)
    total: Field = level + septum + hinges
    return total


def _other_walls_db(chambers: Chambers, rng: np.random.Generator) -> Field:
    """Walls of the right ventricle and the atria, and the fat in the grooves between them."""
    thin = rng.uniform(-6, 2) + 2.5 * noise(rng, 12) + 3 * noise(rng, 40) + 3 * bump((chambers.right + 1) / 1.5)
    fossa = rng.uniform(0, 22) * bump(noise(rng, 60)) * (np.minimum(chambers.left_atrium, chambers.right_atrium) > -6)
    level: Field = thin - fossa
    return level


def _pericardium_db(chambers: Chambers, rng: np.random.Generator, facing: Field) -> Field:
    """The bright line around the heart, broken where the beam runs along it."""
    width = rng.uniform(0.8, 1.6)
    bright = rng.uniform(2, 9) + rng.uniform(2, 8) * facing + rng.uniform(3, 6) * noise(rng, 40)
    line: Field = bright - 4.3 * ((chambers.sac + 1.5) / width) ** 2
    return line


def _outside_db(chambers: Chambers, rng: np.random.Generator) -> Field:
    """Lung and whatever lies beyond the heart, fading behind the pericardium; liver below the right heart in some."""
    x, z = axes_mm()
    lung = rng.uniform(-12, 1) + rng.uniform(2, 5) * noise(rng, 45) - rng.uniform(0.05, 0.3) * np.abs(chambers.sac)
    if rng.uniform() < 0.3:
        liver = ramp(-60 - x + 0.4 * (z - 60), 15)
        lung = lung + liver * (rng.uniform(-8, -1) + 1.5 * noise(rng, 20) - lung)
    behind: Field = lung + rng.uniform(0, 7) * bump((chambers.sac + 8) / 7) * (z > 90)
    return behind


def _drop_out_db(heart: Heart, rng: np.random.Generator) -> Field:
    """Loss of the lateral wall, and patches of loss anywhere."""
    x, z = axes_mm()
    strength = rng.uniform(6, 22) if rng.uniform() < 0.4 else rng.uniform(0, 4)
    place, reach = rng.uniform(0.3, 0.75), rng.uniform(0.15, 0.35)
    lateral = strength * bump((z / heart.length_mm - place) / reach) * ramp(x - 8, 8)
    patches = rng.uniform(0, 10) * np.clip(noise(rng, 90) - 0.7, 0, 1)
    total: Field = lateral + patches
    return total


def _trabeculated(heart: Heart, chambers: Chambers, rng: np.random.Generator) -> Field:
    """Signed distance to the blood, which trabeculae make rough, most of all at the apices."""
    _, z = axes_mm()
    coarse = noise(rng, 14)
    apical = np.clip(1 - z / (0.6 * heart.length_mm), 0, 1)
    depth = np.clip(0.4 + 0.8 * coarse + 2.2 * apical * (0.6 + coarse), -0.4, rng.uniform(2, 5))
    right = chambers.right - np.clip(1 + 1.5 * coarse + 4 * apical, 0, 6)
    return np.maximum.reduce([chambers.left - depth, right, chambers.left_atrium, chambers.right_atrium])


def _within_cavity_db(heart: Heart, chambers: Chambers, rng: np.random.Generator) -> Field:
    """Papillary muscle at the lateral wall, a false tendon, and the moderator band of the right ventricle; in some."""
    x, z = axes_mm()
    level = np.full(SHAPE, _NOTHING_DB, np.float32)
    share = rng.uniform(0.42, 0.62)
    if rng.uniform() < 0.55:
        side = heart.half_width(share) - rng.uniform(0, 4)
        radius = np.hypot((x - side) / rng.uniform(3.5, 6), (z - share * heart.length_mm) / rng.uniform(7, 13))
        level = np.maximum(level, rng.uniform(-8, 0) + 2 * noise(rng, 8) - 12 * np.clip(radius - 0.8, 0, 9))
    if rng.uniform() < 0.15:
        string = z - rng.uniform(0.3, 0.55) * heart.length_mm - rng.uniform(-0.6, 0.6) * x
        level = np.maximum(level, rng.uniform(-14, -5) - 6 * string**2)
    level = np.where(chambers.left > 0, level, _NOTHING_DB)
    band = np.abs(z + 0.5 * (x + 30) - rng.uniform(0.35, 0.55) * heart.length_mm)
    banded = np.where(chambers.right > 0, rng.uniform(-10, -2) - 8 * np.clip(band - 1.5, 0, 9), _NOTHING_DB)
    return np.maximum(level, banded) if rng.uniform() < 0.6 else level


def _descending_aorta(heart: Heart, rng: np.random.Generator) -> Field:
    """Signed distance to the round vessel that lies behind the left atrium in some."""
    x, z = axes_mm()
    if rng.uniform() < 0.6:
        return np.full(SHAPE, -99.0, np.float32)
    across, down = rng.uniform(5, 30), heart.length_mm + heart.atria_mm[0] + rng.uniform(10, 20)
    return rng.uniform(8, 12) - np.hypot(x - across, z - down)
