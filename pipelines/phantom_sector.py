"""The sector that an ultrasound probe scans, and where it lies on the screen."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from sliceweave.transforms.lattice import Field

_SAMPLES = 288
_BEAMS = 144


@dataclass(frozen=True)
class Sector:
    """A fan of beams from a virtual tip; pictures are (rows, columns), scans (samples, beams).

    Attributes:
        depth_mm: from the tip to the end of the beams.
        cap_mm: from the tip to the probe's face.
        half_angle: of the fan, radians.
        pixel_mm: size of a pixel of the screen.
        tip_px: column and row of the tip.
        screen: rows and columns.
    """

    depth_mm: float
    cap_mm: float
    half_angle: float
    pixel_mm: float
    tip_px: tuple[float, float]
    screen: tuple[int, int]

    @cached_property
    def ranges_mm(self) -> Field:
        """(samples, 1) distances from the tip."""
        return np.linspace(self.cap_mm, self.depth_mm, _SAMPLES, dtype=np.float32)[:, None]

    @cached_property
    def angles(self) -> Field:
        """(1, beams) directions, radians to the right of straight down."""
        return np.linspace(-self.half_angle, self.half_angle, _BEAMS, dtype=np.float32)[None]

    @property
    def sample_mm(self) -> float:
        """Distance of neighbouring samples on a beam."""
        return (self.depth_mm - self.cap_mm) / (_SAMPLES - 1)

    @property
    def beam_mm(self) -> Field:
        """(samples, 1) distances of neighbouring beams."""
        spacing: Field = self.ranges_mm * (2 * self.half_angle / (_BEAMS - 1))
        return spacing

    def samples_mm(self) -> tuple[Field, Field]:
        """Positions (samples, beams) to the right of and below the tip."""
        return self.ranges_mm * np.sin(self.angles), self.ranges_mm * np.cos(self.angles)

    def index(self, x: Field, z: Field) -> tuple[Field, Field]:
        """Beam and sample, with fractions, of positions to the right of and below the tip."""
        beam = (np.arctan2(x, z) + self.half_angle) * ((_BEAMS - 1) / (2 * self.half_angle))
        return beam.astype(np.float32), ((np.hypot(x, z) - self.cap_mm) / self.sample_mm).astype(np.float32)

    def pixels(self, points_mm: Field) -> Field:
        """Column and row of positions (M, 2) to the right of and below the tip."""
        on_screen: Field = points_mm / self.pixel_mm + self.tip_px
        return on_screen

    @cached_property
    def _pixel_index(self) -> tuple[Field, Field]:
        rows, columns = np.indices(self.screen, dtype=np.float32)
        return self.index((columns - self.tip_px[0]) * self.pixel_mm, (rows - self.tip_px[1]) * self.pixel_mm)

    @cached_property
    def mask(self) -> Field:
        """Pixels of the screen that the beams reach."""
        beam, sample = self._pixel_index
        inside: Field = (beam >= 0) & (beam <= _BEAMS - 1) & (sample >= 0) & (sample <= _SAMPLES - 1)
        return inside

    def on_screen(self, scan: Field) -> Field:
        """A scan as picture, 0 outside of the sector."""
        picture = cv2.remap(
            scan.astype(np.float32), *self._pixel_index, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.where(self.mask, picture, 0)


def draw_sector(rng: np.random.Generator, depth_mm: float, screen: tuple[int, int]) -> Sector:
    """A sector of 60 to 90 degrees on the screen (rows, columns), its corners cut off in some."""
    rows, columns = screen
    half_angle = float(np.radians(rng.uniform(60, 90) / 2))
    cap_mm = rng.uniform(0, 9) if rng.uniform() < 0.6 else 0.0
    top, bottom = rng.uniform(0.005, 0.06), rng.uniform(0.01, 0.1)
    tall = (depth_mm - cap_mm * np.cos(half_angle)) / ((1 - top - bottom) * (rows - 1))
    shown = rng.uniform(0.8, 0.98) if rng.uniform() < 0.4 else 0.98
    wide = shown * 2 * depth_mm * np.sin(half_angle) / (0.98 * (columns - 1))
    pixel_mm = float(max(tall, wide))
    tip_row = top * (rows - 1) - cap_mm * np.cos(half_angle) / pixel_mm
    slack = max(0.0, (columns - 1) / 2 - depth_mm * np.sin(half_angle) / pixel_mm)
    tip_column = (columns - 1) / 2 + rng.uniform(-0.6, 0.6) * slack
    return Sector(depth_mm, cap_mm, half_angle, pixel_mm, (float(tip_column), float(tip_row)), screen)
