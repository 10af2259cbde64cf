"""What an MR scanner adds to the slices of a generated body: limited resolution, ringing, Rician noise, a scale."""

from dataclasses import dataclass

import numpy as np
import torch

from sliceweave.pipelines.phantom_grid import ScanGrid
from sliceweave.transforms.lattice import Field


@dataclass(frozen=True)
class MRScanner:
    """One study's habits; called with a slice of relative signals (fluid is 1), it gives what is stored.

    Attributes:
        scale: stored value of a signal of 1; it says nothing about the tissue and differs between studies.
        noise: deviation of each of the two noise channels, as a share of a signal of 1.
        acquired: share of the spatial frequencies, along columns and rows, that were measured; the rest is zero.
        rolloff: 0 keeps these frequencies as they are, which rings at edges; 1 damps them smoothly to nothing.
        margins: blank pixels at the first and last column and row, where the field of view was cut.
    """

    scale: float
    noise: float
    acquired: tuple[float, float]
    rolloff: float
    margins: tuple[int, int, int, int]

    def __call__(self, signal: Field, grid: ScanGrid, rng: np.random.Generator) -> Field:
        shape = grid.shape[:2]
        received = torch.from_numpy(signal + self.noise * rng.standard_normal(shape, dtype=np.float32)) + 1j * (
            torch.from_numpy(self.noise * rng.standard_normal(shape, dtype=np.float32))
        )
        passed = np.outer(*(self._passed(count, share) for count, share in zip(shape, self.acquired, strict=True)))
        image: Field = torch.fft.ifft2(torch.fft.fft2(received) * torch.from_numpy(passed)).abs().numpy()
        columns, rows = (np.arange(count) for count in shape)
        seen = np.outer(
            (columns >= self.margins[0]) & (columns < shape[0] - self.margins[1]),
            (rows >= self.margins[2]) & (rows < shape[1] - self.margins[3]),
        )
        return np.minimum(image * np.float32(self.scale), 32767) * seen

    def _passed(self, count: int, acquired: float) -> Field:
        """What the measured frequencies of one axis are multiplied with."""
        share = np.abs(np.fft.fftfreq(count)) * 2 / acquired
        damped = np.cos(np.pi / 2 * np.minimum(share, 1)) ** 2
        return np.where(share <= 1, 1 - self.rolloff + self.rolloff * damped, 0).astype(np.float32)


def draw_mr_scanner(rng: np.random.Generator) -> MRScanner:
    """A scanner and its settings of the day."""
    acquired = (rng.uniform(0.75, 1.0), rng.uniform(0.9, 1.0))
    margins = rng.integers(0, 9, 4) * (rng.uniform(size=4) < 0.25)
    first, last, top, bottom = (int(margin) for margin in margins)
    return MRScanner(
        scale=float(np.exp(rng.uniform(np.log(150), np.log(1500)))),
        noise=rng.uniform(0.012, 0.04),
        acquired=acquired,
        rolloff=rng.uniform(0.2, 0.9),
        margins=(first, last, top, bottom),
    )
