"""Mass effect: where tissue goes that blood pushes away."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.lattice import Field

_HELD_MM = 12.0  # near the skull brain cannot give way across it


def pushed_apart(head: Head, blood: NDArray[np.bool_], share: float, reach_mm: float) -> tuple[Field, Field]:
    """Shift (mm) to the right and to the front that makes room for a share of the blood within the brain.

    The shift is the gradient of a potential whose sources are the blood and which fades over the reach: what gives way
    is everything around, less with distance.
    """
    mean = ndimage.gaussian_filter(blood.astype(np.float32), 1.0) * np.float32(share)
    shape = [fft.next_fast_len(count + 16, real=True) for count in mean.shape]
    waves = [2 * np.pi * fft.fftfreq(count, head.lattice.step_mm) for count in shape[:2]]
    waves.append(2 * np.pi * fft.rfftfreq(shape[2], head.lattice.step_mm))
    kx, ky, kz = np.meshgrid(*waves, indexing="ij", sparse=True)
    potential = -fft.rfftn(mean, shape) / (kx**2 + ky**2 + kz**2 + reach_mm**-2)
    held = np.clip(head.depth_mm / _HELD_MM, 0, 1)
    crop = tuple(slice(count) for count in mean.shape)
    right, front = (fft.irfftn(1j * k * potential, shape)[crop].astype(np.float32) * held for k in (kx, ky))
    return right, front


def pushed_in(head: Head, height_mm: Field, reach_mm: float) -> tuple[Field, Field]:
    """Shift (mm) to the right and to the front of a brain from whose surface blood of this height is pushing inward.

    It fades with depth over the reach. Nothing is drawn from outside the skull.
    """
    fading = np.clip(1 - (head.depth_mm - height_mm) / reach_mm, 0, 1)
    shift = np.clip(np.minimum(height_mm * fading, head.depth_mm), 0, None)
    return shift * head.inward[0], shift * head.inward[1]
