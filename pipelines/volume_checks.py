"""What the header of a file may claim, and what its voxels may hold, before anything is computed with them."""

import math
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError

MOST_VOXELS = 4_000_000_000
LONGEST_AXIS = 32767  # of a NIfTI-1 file, which the mask becomes
_FLOAT32_BYTES = 4


def volume_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """The three sizes of the one volume in a file; one slice gets a third axis, empty further axes are dropped.

    Raises:
        InputError: no image, several volumes, or a size that no scan has.
    """
    text = "x".join(map(str, shape))
    if len(shape) < 2 or min(shape) < 1 or max(shape) > LONGEST_AXIS:
        raise InputError(f"expected a 3D image, got the shape {text or 'of nothing'}; export the series again")
    volumes = math.prod(shape[3:])
    if volumes != 1:
        raise InputError(f"expected one volume, got {volumes} in shape {text}; give each volume its own file")
    rows, columns, slices = (*shape[:3], 1)[:3]
    return rows, columns, slices


def check_size(shape: tuple[int, int, int], item_bytes: int) -> None:
    """Raises InputError for more voxels than a scan has or the machine's memory holds; allocates nothing."""
    voxels = math.prod(shape)
    needed, present = voxels * (item_bytes + _FLOAT32_BYTES), memory_bytes()
    if voxels > MOST_VOXELS or needed > present:
        raise InputError(
            f"expected a scan that fits into memory ({_gb(present)}), got a header that claims "
            f"{'x'.join(map(str, shape))} voxels ({_gb(needed)}); the header is wrong, or crop the scan"
        )


def check_scalar(dtype: np.dtype[np.void]) -> None:
    """Raises InputError where a voxel is not one real number."""
    if dtype.fields is not None or dtype.kind not in "iuf":
        what = "colours" if dtype.fields is not None else "complex numbers" if dtype.kind == "c" else str(dtype)
        raise InputError(f"expected one CT number per voxel, got {what}; export the grey-scale series")


def check_spacing_given(spacing_mm: NDArray[np.float64]) -> None:
    """Raises InputError where the header leaves a voxel size at zero or at no number at all."""
    if not np.all(np.isfinite(spacing_mm) & (spacing_mm != 0)):
        text = " x ".join(f"{step:g}" for step in spacing_mm)
        raise InputError(f"expected a voxel size above zero on each axis, got spacing {text} mm; repair the header")


def check_finite(voxels: NDArray[np.float32]) -> None:
    """Raises InputError, with their number, where voxels are NaN or infinite."""
    if math.isfinite(voxels.min()) and math.isfinite(voxels.max()):  # NaN goes through both, and no copy is made
        return
    bad = voxels.size - int(np.isfinite(voxels).sum())
    raise InputError(f"expected a finite CT number in each voxel, got {bad} that are NaN or infinite; export it again")


def memory_bytes() -> float:
    """Bytes of memory the machine has; without limit where the system does not say."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.3g} GB"
