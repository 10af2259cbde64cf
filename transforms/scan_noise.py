"""Noise as a scan has it: measured in its brain, and made anew with the same grain."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.lattice_planes import LatticePlanes

_PATCH = 32
_SMOOTH_PIXELS = 3.0
_LEAST_HU = 0.3


@dataclass(frozen=True, eq=False)
class ScanNoise:
    """A scan's noise.

    Attributes:
        deviation_hu: its standard deviation in the brain.
        kernel: (P, P), what turns white noise of unit deviation into its grain, again of unit deviation.
    """

    deviation_hu: float
    kernel: NDArray[np.float32]

    def plane(self, rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
        """New noise in HU."""
        white = rng.standard_normal(shape, dtype=np.float32)
        return np.asarray(cv2.filter2D(white, -1, self.kernel) * np.float32(self.deviation_hu))


def measured_noise(planes_hu: NDArray[np.float32], head: Head, grid: LatticePlanes) -> ScanNoise:
    """The noise of a scan (K, I, J): mean power spectrum of flat brain, without the anatomy that smoothing keeps."""
    depths = [int((grid.at_slice(head.depth_mm, k) > 15).sum()) for k in range(len(planes_hu))]
    k = int(np.argmax(depths))
    rows, columns = grid.box
    plane = np.clip(planes_hu[k, rows, columns], -50, 120)
    rest = plane - cv2.GaussianBlur(plane, (0, 0), _SMOOTH_PIXELS)
    patches = _flat_patches(rest, cv2.resize(grid.at_slice(head.depth_mm, k), rest.shape[::-1]) > 8)
    if not patches:
        return ScanNoise(_LEAST_HU, np.ones((1, 1), np.float32))
    power = np.mean([np.abs(np.fft.fft2(patch)) ** 2 for patch in patches], axis=0)
    kernel = np.fft.fftshift(np.fft.ifft2(np.sqrt(power)).real)
    deviation = float(np.median([patch.std() for patch in patches]))
    return ScanNoise(max(deviation, _LEAST_HU), (kernel / np.linalg.norm(kernel)).astype(np.float32))


def _flat_patches(rest: NDArray[np.float32], deep: NDArray[np.bool_]) -> list[NDArray[np.float32]]:
    """The half of the patches within the brain that varies least: those without sulci or ventricles."""
    step = _PATCH // 2
    corners = [(i, j) for i in range(0, rest.shape[0] - _PATCH, step) for j in range(0, rest.shape[1] - _PATCH, step)]
    places = [(slice(i, i + _PATCH), slice(j, j + _PATCH)) for i, j in corners]
    patches = sorted((rest[place] for place in places if deep[place].all()), key=lambda patch: float(patch.std()))
    return patches[: max(1, len(patches) // 2)]
