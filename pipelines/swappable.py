"""Arrays of long studies that lie in a file without a name, so that the system can take their memory back."""

import mmap
import os
import tempfile

import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.lean import LONG_BYTES


def empty_voxels(shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Voxels (I, J, K) to be filled, in NIfTI's (Fortran) order; of a long study in a file in the folder for such.

    The file has no name: nobody else can open it, and it is gone with the array. Its pages need no memory when there is
    none to spare. Where the folder (TMPDIR) has no room, and on systems that cannot promise it, the array lies in
    memory as others do.
    """
    size = 4 * int(np.prod(shape, dtype=np.int64))
    if size >= LONG_BYTES and hasattr(os, "posix_fallocate"):
        try:
            return np.frombuffer(_file_of(size), np.float32).reshape(shape, order="F")
        except OSError:
            pass
    return np.empty(shape, np.float32, order="F")


def let_go(voxels: NDArray[np.float32]) -> None:
    """What was written to voxels of `empty_voxels` goes to their file, if they have one, and needs no memory more."""
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
