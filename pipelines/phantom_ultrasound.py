"""What an ultrasound scanner makes of echoes: speckle, attenuation, clutter, shadow, log compression.

Speckle is fully developed: complex white noise that rides on the tissue, blurred by the scanner's point spread, whose
width across the beams is constant in angle and so grows with depth.
"""

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from sliceweave.pipelines.phantom_sector import Sector
from sliceweave.transforms.lattice import Field, bump, ramp

_FLOOR = 1e-6
_SIDE_LOBE_BEAMS = 9.0


class Reflections(NamedTuple):
    """One frame's amplitudes (samples, beams) of tissue and blood, and the white noise (.., 2) that rides on tissue."""

    tissue: Field
    blood: Field
    grains: Field


@dataclass(frozen=True)
class Scanner:
    """One scanner's settings for one patient; fields are (samples, beams) or broadcast to it.

    Attributes:
        pulse_samples: deviation of the point spread along the beam.
        focus_beams: deviation across the beams, in the focus and far from it.
        focus: share of the sharper one, by depth.
        side_lobes: amplitude of the wide skirt of the point spread.
        gain: amplitude after attenuation, shadow and time-gain compensation.
        clutter: amplitude of what stays in place before the probe: haze and reverberation.
        hiss: amplitude of the electronic noise.
        grey_per_db: slope of the log compression.
        grey: of myocardium at full gain.
        curve: exponent of the grey map.
        smoothing: share of speckle reduction.
        persistence: share of the frame before.
        lines: rows of the picture as stored, before it is enlarged; 0 for the screen's own.
        kinds: names of what was drawn.
    """

    pulse_samples: float
    focus_beams: tuple[float, float]
    focus: Field
    side_lobes: float
    gain: Field
    clutter: Field
    hiss: Field
    grey_per_db: float
    grey: float
    curve: float
    smoothing: float
    persistence: float
    lines: int
    kinds: tuple[str, ...]


def draw_scanner(rng: np.random.Generator, sector: Sector) -> Scanner:
    """A scanner from poor to good."""
    deep = (sector.ranges_mm - sector.cap_mm) / sector.depth_mm
    sharp = rng.uniform(0.75, 1.3)
    shadow_db, shadowed = _rib_shadow_db(rng, sector)
    gain_db = _time_gain_db(rng, deep) + _beam_gain_db(rng, sector) - shadow_db
    haze_db = rng.uniform(-18, 0)
    clutter_db, reverberating = _clutter_db(rng, sector, haze_db)
    hiss_db = rng.uniform(-46, -30) + rng.uniform(4, 20) * deep**1.5 + 0 * sector.angles
    range_db = rng.uniform(45, 70)
    faint = rng.uniform() < 0.2
    drawn = {"rib_shadow": shadowed, "reverberation": reverberating, "faint": faint, "haze": haze_db > -7}
    return Scanner(
        pulse_samples=rng.uniform(0.45, 0.9) / sector.sample_mm * sharp,
        focus_beams=(rng.uniform(0.8, 1.2) * sharp, rng.uniform(1.4, 2.2) * sharp),
        focus=bump((deep - rng.uniform(0.35, 0.7)) / 0.3).astype(np.float32),
        side_lobes=10 ** (rng.uniform(-34, -20) / 20),
        gain=amplitude_of(gain_db),
        clutter=amplitude_of(clutter_db - shadow_db),
        hiss=amplitude_of(hiss_db),
        grey_per_db=255 / range_db,
        grey=rng.uniform(65, 90) if faint else rng.uniform(95, 165),
        curve=rng.uniform(0.8, 1.35),
        smoothing=rng.uniform(0, 0.75),
        persistence=rng.uniform(0, 0.45),
        lines=int(rng.choice([0, 0, 0, 112, 160])),
        kinds=tuple(kind for kind, is_there in drawn.items() if is_there),
    )


def amplitude_of(level_db: Field) -> Field:
    """Of echoes with these levels in dB."""
    amplitude: Field = (10 ** (level_db / 20)).astype(np.float32)
    return amplitude


def _wave(rng: np.random.Generator, position: Field, bends: int) -> Field:
    """Smooth random course of unit deviation over positions in 0…1."""
    knots = rng.standard_normal(bends + 2)
    sines = [knot * np.sin(np.pi * (k + 1) * position / 1.1 + k) for k, knot in enumerate(knots)]
    wave: Field = np.sum(sines, axis=0) / np.sqrt(len(sines) / 2)
    return wave


def _time_gain_db(rng: np.random.Generator, deep: Field) -> Field:
    """What the sliders leave of the attenuation."""
    course: Field = rng.uniform(-12, 4) * deep + rng.uniform(0.5, 2.5) * _wave(rng, deep, 4)
    return course


def _beam_gain_db(rng: np.random.Generator, sector: Sector) -> Field:
    """Beams that pass the chest wall less well, worse at the edges."""
    across = (sector.angles / sector.half_angle + 1) / 2
    course: Field = rng.uniform(0.5, 3) * _wave(rng, across, 7) - rng.uniform(0, 10) * np.abs(2 * across - 1) ** 3
    return course


def _rib_shadow_db(rng: np.random.Generator, sector: Sector) -> tuple[Field, bool]:
    """Loss (dB) behind a rib at an edge of the sector, and whether there is one."""
    if rng.uniform() > 0.35:
        return np.zeros((1, 1), np.float32), False
    side, width = rng.choice([-1, 1]), rng.uniform(0.1, 0.4)
    beams = ramp(side * sector.angles / sector.half_angle - (1 - width), rng.uniform(0.08, 0.25))
    behind = ramp(sector.ranges_mm - sector.cap_mm - rng.uniform(8, 25), 8)
    return rng.uniform(10, 32) * beams * behind, True


def _clutter_db(rng: np.random.Generator, sector: Sector, haze_db: float) -> tuple[Field, bool]:
    """Level of chest wall, near-field haze and reverberation, and whether it reverberates."""
    below = sector.ranges_mm - sector.cap_mm
    across = (sector.angles / sector.half_angle + 1) / 2
    uneven = rng.uniform(1, 4) * _wave(rng, across + 0.002 * below, 5)
    wall = rng.uniform(2, 9) - 0.12 * np.maximum(below - rng.uniform(4, 14), 0) ** 2 + 3 * _wave(rng, below / 12, 6)
    haze = haze_db - below * rng.uniform(0.25, 0.7) + uneven
    veil = rng.uniform(-34, -16) + 2 * uneven - 12 * bump((below / sector.depth_mm - 1.0) / 0.3)
    power = [10 ** (level / 10) for level in (np.minimum(wall, 9), haze, veil)]
    reverberates = rng.uniform() < 0.35
    if reverberates:
        gap = rng.uniform(9, 16)
        rings = np.abs((below + gap / 2) % gap - gap / 2)
        level = rng.uniform(-10, 0) - 0.3 * below - 1.2 * rings**2 + 2 * uneven
        power.append(10 ** (level / 10))
    return 10 * np.log10(np.sum(np.broadcast_arrays(*power), axis=0)), reverberates


class Speckle:
    """Turns frames of reflections into grey scans (samples, beams), one after the other.

    Args:
        scanner: its settings.
        sector: what it scans.
        rng: blood, electronic noise and the slow change of clutter.
    """

    def __init__(self, scanner: Scanner, sector: Sector, rng: np.random.Generator) -> None:
        self._scanner, self._rng = scanner, rng
        self._shape = (len(sector.ranges_mm), sector.angles.size, 2)
        # Noise that rides on tissue is coarser than the beams near the probe, where it would add up.
        self._crowding = np.sqrt(np.clip(sector.beam_mm / 0.6, 0.05, 1)).astype(np.float32)
        self._static = self._white()
        self._before: Field | None = None

    def grey(self, reflections: Reflections) -> Field:
        """The next frame, 0…255."""
        scanner = self._scanner
        self._static = 0.98 * self._static + 0.199 * self._white()
        moving = (reflections.tissue * self._crowding)[..., None] * reflections.grains
        field = moving + reflections.blood[..., None] * self._white()
        echo = scanner.gain[..., None] * self._seen(field)
        echo += self._blurred(scanner.clutter[..., None] * self._static, scanner.focus_beams[1])
        echo += scanner.hiss[..., None] * self._blurred(self._white(), 0.6)
        level_db = 20 * np.log10(np.hypot(echo[..., 0], echo[..., 1]) / np.sqrt(2) + _FLOOR)
        return self._mapped(self._reduced(level_db))

    def _white(self) -> Field:
        return self._rng.standard_normal(self._shape, dtype=np.float32)

    def _seen(self, field: Field) -> Field:
        """The field through the point spread: sharp in the focus, wide elsewhere, with a faint skirt."""
        scanner = self._scanner
        near, far = (self._blurred(field, beams) for beams in scanner.focus_beams)
        skirt = self._blurred(field, _SIDE_LOBE_BEAMS)
        focus = scanner.focus[..., None]
        seen: Field = focus * near + (1 - focus) * far + scanner.side_lobes * skirt
        return seen

    def _blurred(self, field: Field, beams: float) -> Field:
        """Field through a Gaussian of that deviation across the beams, scaled to keep the power of white noise."""
        samples = self._scanner.pulse_samples
        power = (2 * np.sqrt(np.pi)) * np.sqrt(max(samples, 0.3) * max(beams, 0.3))
        blurred: Field = cv2.GaussianBlur(field, (0, 0), beams, sigmaY=samples, borderType=cv2.BORDER_REFLECT)
        return blurred * np.float32(power)

    def _reduced(self, level_db: Field) -> Field:
        """Level with less speckle, and with what persists of the frame before."""
        scanner = self._scanner
        smooth = cv2.GaussianBlur(level_db, (0, 0), 1.1, sigmaY=1.3)
        level_db = level_db + scanner.smoothing * (smooth - level_db)
        if self._before is not None:
            level_db = level_db + scanner.persistence * (self._before - level_db)
        self._before = level_db
        return level_db

    def _mapped(self, level_db: Field) -> Field:
        scanner = self._scanner
        grey = np.clip(scanner.grey + scanner.grey_per_db * level_db, 0, 255) / 255
        curved: Field = 255 * grey**scanner.curve
        return curved
