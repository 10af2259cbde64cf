"""Arrays that may be too large for the memory, in a file without a name, so that the system can take it back."""

import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

SWAPPABLE_BYTES = 100_000_000
"""Of an array, from which it is worth a file."""


def zeros(
    shape: Sequence[int], dtype: DTypeLike = np.float32, order: str = "C", from_bytes: int = SWAPPABLE_BYTES
) -> NDArray[Any]:
    """An array of zeros, in C or Fortran ("F") order; one of `from_bytes` or more in a file in the folder for such.

    The file has no name: nobody else can open it, and it is gone with the array. Its pages need no memory when there is
    none to spare. Where the folder (TMPDIR) has no room, and on systems that cannot promise it, the array lies in
    memory as others do.
    """
    size = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
    if size >= max(from_bytes, 1) and hasattr(os, "posix_fallocate"):
        try:
            return np.frombuffer(_file_of(size), dtype).reshape(shape, order="F" if order == "F" else "C")
        except OSError:
            pass
    return np.zeros(shape, dtype, order="F" if order == "F" else "C")


def zero_tensor(shape: Sequence[int]) -> Tensor:
    """`zeros` as a float32 tensor of the processor."""
    return torch.from_numpy(zeros(shape))


def let_go(voxels: NDArray[Any]) -> None:
    """What was written to an array of `zeros` goes to its file, if it has one, and needs no memory more."""
    owner = voxels.base
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, memoryview) and isinstance(owner.obj, mmap.mmap):
        owner.obj.flush()  # pages that differ from the file could not be given up
        owner.obj.madvise(mmap.MADV_DONTNEED)


def _file_of(size: int) -> mmap.mmap:
    with tempfile.TemporaryFile() as file:
        os.posix_fallocate(file.fileno(), 0, size)  # else a full disk would end the process at some later write
        return mmap.mmap(file.fileno(), size)
