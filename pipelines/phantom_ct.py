"""What a CT scanner adds to the slices of a generated body: couch, kernel, correlated noise, padding."""

from dataclasses import dataclass

import cv2
import numpy as np

from sliceweave.pipelines.phantom_grid import ScanGrid
from sliceweave.transforms.lattice import Field

_PADDING_HU = (-1024, -2000, -3024)


@dataclass(frozen=True)
class CTScanner:
    """One scanner's habits; called with a slice (HU), it adds them."""

    noise_hu: float
    grain_mm: float
    sharpness: float
    padding_hu: int | None
    rest_gap_mm: float | None = None

    def __call__(self, hu: Field, grid: ScanGrid, rng: np.random.Generator) -> Field:
        hu = self._with_head_rest(hu, grid)
        pixel_mm = float(grid.pixel_mm.mean())
        # Bone is left out of the sharpening: its undershoot would drown what lies against it.
        soft = np.minimum(hu, 120)
        hu = hu + self.sharpness * (soft - cv2.GaussianBlur(soft, (0, 0), 0.8 / pixel_mm))
        white = rng.standard_normal(hu.shape, dtype=np.float32)
        grain = cv2.GaussianBlur(white, (0, 0), max(0.3, self.grain_mm / pixel_mm))
        hu = np.clip(hu + grain * (self.noise_hu / grain.std()), -1024, 3071)
        if self.padding_hu is not None:
            radii = [(np.arange(count) - (count - 1) / 2) * 2 / count for count in hu.shape]
            hu[np.hypot(radii[0][:, None], radii[1]) > 1] = self.padding_hu
        return hu

    def _with_head_rest(self, hu: Field, grid: ScanGrid) -> Field:
        """The thin shell of a head rest behind the head."""
        if self.rest_gap_mm is None:
            return hu
        centre_mm = (np.array(grid.shape[:2]) - 1) / 2 * grid.pixel_mm
        across = (np.arange(grid.shape[0]) * grid.pixel_mm[0] - centre_mm[0])[:, None]
        down = (np.arange(grid.shape[1]) * grid.pixel_mm[1] - centre_mm[1])[None]
        shell = 2.5 - np.abs(np.hypot(across, down + 40) - 142 - self.rest_gap_mm)
        shell = np.clip(np.where(down > 20, shell, -9), 0, 1).astype(np.float32)
        return np.where(hu < -900, hu + shell * 900, hu)


def draw_head_scanner(rng: np.random.Generator) -> CTScanner:
    """A scanner for heads, with or without a head rest in the picture."""
    padding_hu = int(rng.choice(_PADDING_HU)) if rng.uniform() < 0.5 else None
    rest_gap_mm = float(rng.uniform(2, 25)) if rng.uniform() < 0.5 else None
    return CTScanner(rng.uniform(2, 5.5), rng.uniform(0.35, 0.65), rng.uniform(0, 0.8), padding_hu, rest_gap_mm)


def draw_ct_scanner(rng: np.random.Generator) -> CTScanner:
    """A scanner for the body: noisier, softer or sharper."""
    padding_hu = int(rng.choice(_PADDING_HU)) if rng.uniform() < 0.5 else None
    return CTScanner(rng.uniform(5, 16), rng.uniform(0.5, 1.0), rng.uniform(0, 0.8), padding_hu)
