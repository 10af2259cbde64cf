"""How grey values differ between scanners and files: shift, window, kernel, noise, streaks."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.head_scan import HeadScan, Stack
from sliceweave.transforms.hematoma_growth import draw_log, draw_seed

STORED_HU = ((-20.0, 100.0), (0.0, 80.0), (0.0, 100.0), (-20.0, 80.0), (0.0, 255.0), (-100.0, 200.0), (-15.0, 155.0))
"""Lowest and highest HU that clipped and 8-bit scans show."""


@dataclass(frozen=True)
class Miscalibration:
    """HU shifted and scaled about water."""

    shift_hu: float
    scale: float

    def apply(self, scan: HeadScan) -> HeadScan:
        return scan.painted(scan.hu * np.float32(self.scale) + np.float32(self.shift_hu))


@dataclass(frozen=True)
class Windowed:
    """HU clipped to a window; in 256 steps, and through JPEG, where a quality is given. They stay HU."""

    low_hu: float
    high_hu: float
    is_eight_bit: bool
    jpeg_quality: int | None

    def apply(self, scan: HeadScan) -> HeadScan:
        clipped = np.clip(scan.hu, self.low_hu, self.high_hu)
        if not self.is_eight_bit:
            return scan.painted(clipped)
        step_hu = np.float32((self.high_hu - self.low_hu) / 255)
        grey = np.rint((clipped - np.float32(self.low_hu)) / step_hu).astype(np.uint8)
        if self.jpeg_quality is not None:
            grey = np.stack([_through_jpeg(plane, self.jpeg_quality) for plane in grey])
        return scan.painted(grey * step_hu + np.float32(self.low_hu))


@dataclass(frozen=True)
class Kernel:
    """Smoother, or sharper by as much as smoothing takes away times the amount, in the plane."""

    width_mm: float
    sharpening: float

    def apply(self, scan: HeadScan) -> HeadScan:
        right_mm, front_mm, _ = scan.spacing_mm
        across, down = self.width_mm / front_mm, self.width_mm / right_mm
        smooth = np.stack([cv2.GaussianBlur(plane, (0, 0), across, sigmaY=down) for plane in scan.hu])
        sharp = scan.hu + np.float32(self.sharpening) * (scan.hu - smooth)
        result = sharp if self.sharpening else smooth
        return scan.painted(np.clip(result, scan.hu.min(), scan.hu.max()))


@dataclass(frozen=True)
class Noise:
    """Noise with a grain, drawn anew in every slice."""

    deviation_hu: float
    grain_mm: float
    seed: int

    def apply(self, scan: HeadScan) -> HeadScan:
        rng = np.random.default_rng(self.seed)
        noisy = [plane + self._plane(rng, plane.shape, scan.spacing_mm[0]) for plane in scan.hu]
        return scan.painted(np.clip(np.stack(noisy), scan.hu.min(), scan.hu.max()))

    def _plane(self, rng: np.random.Generator, shape: tuple[int, ...], pixel_mm: float) -> NDArray[np.float32]:
        white = rng.standard_normal(shape, dtype=np.float32)
        grainy = cv2.GaussianBlur(white, (0, 0), max(self.grain_mm / pixel_mm, 0.05))
        return np.asarray(grainy * np.float32(self.deviation_hu / max(float(grainy.std()), 1e-6)))


@dataclass(frozen=True)
class Streaks:
    """Bright and dark bands through a point of a few neighbouring slices, as dense bone, metal and motion leave.

    Attributes:
        height: where the slices are, 0…1 of the stack from below.
        middle: where the point is, 0…1 of a plane's rows and columns.
        angles_rad, heights_hu, widths_mm: of each band.
        slices: how many show it.
    """

    height: float
    middle: tuple[float, float]
    angles_rad: tuple[float, ...]
    heights_hu: tuple[float, ...]
    widths_mm: tuple[float, ...]
    slices: int

    def apply(self, scan: HeadScan) -> HeadScan:
        hu = scan.hu.copy()
        first = int(self.height * max(len(hu) - self.slices, 0))
        is_body = hu[first : first + self.slices] > np.float32(max(-200.0, float(hu.min())))
        hu[first : first + self.slices] += self._bands(scan) * is_body
        return scan.painted(np.clip(hu, scan.hu.min(), scan.hu.max()))

    def _bands(self, scan: HeadScan) -> NDArray[np.float32]:
        rows, columns = np.indices(scan.hu.shape[1:], np.float32)
        x = (rows - self.middle[0] * scan.hu.shape[1]) * np.float32(scan.spacing_mm[0])
        y = (columns - self.middle[1] * scan.hu.shape[2]) * np.float32(scan.spacing_mm[1])
        bands = np.zeros(scan.hu.shape[1:], np.float32)
        for angle, height_hu, width_mm in zip(self.angles_rad, self.heights_hu, self.widths_mm, strict=True):
            across = x * np.cos(angle) + y * np.sin(angle)
            bands += height_hu * np.exp(-0.5 * (across / width_mm) ** 2)
        return bands


def _through_jpeg(plane: NDArray[np.uint8], quality: int) -> Stack:
    _, coded = cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))


def draw_miscalibration(rng: np.random.RandomState) -> Miscalibration:
    return Miscalibration(float(rng.normal(0, 3)), float(np.exp(rng.normal(0, 0.04))))


def draw_windowed(rng: np.random.RandomState) -> Windowed:
    """A clipped scan, mostly in 8 bits, half of those JPEG."""
    low_hu, high_hu = STORED_HU[rng.randint(len(STORED_HU))]
    is_eight_bit = bool(rng.uniform() < 0.7)
    quality = int(rng.randint(60, 98)) if rng.uniform() < 0.5 else None
    return Windowed(low_hu, high_hu, is_eight_bit, quality if is_eight_bit else None)


def draw_kernel(rng: np.random.RandomState) -> Kernel:
    """From soft, 1.2 mm, to sharp."""
    is_soft = rng.uniform() < 0.5
    return Kernel(float(rng.uniform(0.3, 1.2)), 0.0 if is_soft else float(rng.uniform(0.2, 1.2)))


def draw_noise(rng: np.random.RandomState) -> Noise:
    return Noise(draw_log(rng, 0.7, 8), float(rng.uniform(0, 0.8)), draw_seed(rng))


def draw_streaks(rng: np.random.RandomState) -> Streaks:
    """Mostly low in the head; two to eight bands."""
    count = int(rng.randint(2, 9))
    return Streaks(
        height=float(rng.beta(1.2, 2.5)),
        middle=(float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.25, 0.75))),
        angles_rad=tuple(float(a) for a in rng.uniform(0, np.pi, count)),
        heights_hu=tuple(float(h) for h in rng.normal(0, 12, count)),
        widths_mm=tuple(float(w) for w in rng.uniform(1, 7, count)),
        slices=int(rng.randint(1, 5)),
    )
