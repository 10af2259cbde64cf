"""What a scanner writes beside its sector: depth ticks, settings, a grey wedge, the trace of the electrocardiogram."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sliceweave.pipelines.lettering import write
from sliceweave.pipelines.phantom_sector import Sector
from sliceweave.transforms.lattice import Field, bump

_CENTIMETRE_MM = 10.0


@dataclass(frozen=True)
class Marks:
    """Marks of one study.

    Attributes:
        still: (rows, columns) what is the same in all frames.
        trace: rows of the electrocardiogram by column, empty without one.
        trace_grey: its brightness.
    """

    still: Field
    trace: Field
    trace_grey: int

    def added(self, picture: Field, progress: float) -> Field:
        """A picture with the marks; the trace has been written up to a share of its way."""
        marked = np.maximum(picture, self.still)
        count = round(progress * len(self.trace))
        if count < 2:
            return marked
        points = np.stack([np.arange(count), self.trace[:count]], axis=-1)
        canvas = np.zeros(picture.shape, np.uint8)
        cv2.polylines(canvas, [np.rint(points * 16).astype(np.int32)], False, self.trace_grey, 1, cv2.LINE_AA, 4)
        return np.maximum(marked, canvas)


def draw_marks(rng: np.random.Generator, sector: Sector, beats: Field) -> Marks:
    """Marks of a study whose frames lie at these moments, counted in beats; none in many."""
    picture = np.zeros((*sector.screen, 3), np.uint8)
    right = bool(rng.uniform() < 0.5)
    if rng.uniform() < 0.45:
        _ticks(picture, rng, sector, right)
    if rng.uniform() < 0.4:
        _settings(picture, rng, not right, sector.depth_mm)
    elif rng.uniform() < 0.4:
        _wedge(picture, rng, not right)
    still = np.where(sector.mask, 0, picture[..., 0])
    trace = _trace(rng, beats, sector.screen) if rng.uniform() < 0.4 else np.zeros(0)
    return Marks(still, trace, int(rng.integers(110, 256)))


def _ticks(picture: Field, rng: np.random.Generator, sector: Sector, right: bool) -> None:
    """A tick each centimetre beside the sector, and a longer one each five."""
    side, grey = (1 if right else -1), int(rng.integers(90, 256))
    reach = sector.depth_mm * np.sin(sector.half_angle) / sector.pixel_mm
    column = sector.tip_px[0] + side * rng.uniform(0.85, 0.97) * reach
    depths = np.arange(0, sector.depth_mm - sector.cap_mm, _CENTIMETRE_MM)
    for number, depth_mm in enumerate(depths):
        row = round(sector.tip_px[1] + (sector.cap_mm + depth_mm) / sector.pixel_mm)
        long = 5 if number % 5 == 0 else 2
        cv2.line(picture, (round(column) - long, row), (round(column), row), (grey,) * 3, 1)


def _settings(picture: Field, rng: np.random.Generator, right: bool, depth_mm: float) -> None:
    """Two to five short lines of settings in an upper corner."""
    rows, columns = picture.shape[:2]
    size_px, grey = max(6, round(rows * rng.uniform(0.03, 0.05))), int(rng.integers(90, 256))
    texts: Sequence[str] = (
        f"{rng.integers(25, 90)}Hz",
        f"{depth_mm / _CENTIMETRE_MM:.1f}cm",
        f"MI {rng.uniform(0.6, 1.6):.1f}",
        f"G {rng.integers(30, 80)}%",
        f"C {rng.integers(40, 60)}",
    )
    left = round(columns * (0.83 if right else 0.01))
    for line in range(int(rng.integers(2, 6))):
        write(picture, texts[line], (left, round(size_px * (1.4 + 1.25 * line))), size_px, (grey,) * 3)


def _wedge(picture: Field, rng: np.random.Generator, right: bool) -> None:
    """The bar of greys at an edge of the screen."""
    rows, columns = picture.shape[:2]
    left, width = (columns - 6 if right else 1), 4
    top, tall = round(rows * rng.uniform(0.02, 0.25)), round(rows * rng.uniform(0.2, 0.4))
    picture[top : top + tall, left : left + width] = np.linspace(255, 0, tall).astype(np.uint8)[:, None, None]


def _trace(rng: np.random.Generator, beats: Field, screen: tuple[int, int]) -> Field:
    """Rows of an electrocardiogram across the bottom, its R waves at the ends of diastole."""
    rows, columns = screen
    beat = np.linspace(beats[0], beats[-1], columns)
    phase = (beat + 0.5) % 1 - 0.5
    waves = [(-0.16, 0.025, 0.12), (-0.022, 0.008, -0.12), (0, 0.01, 1.0), (0.025, 0.009, -0.25), (0.3, 0.04, 0.25)]
    volt = sum(height * bump((phase - place) / width) for place, width, height in waves)
    wander = 0.05 * np.sin(2 * np.pi * (0.3 * beat + rng.uniform())) + 0.01 * rng.standard_normal(columns)
    trace: Field = rows * (rng.uniform(0.955, 0.975) - rng.uniform(0.04, 0.09) * (volt + wander))
    return trace
