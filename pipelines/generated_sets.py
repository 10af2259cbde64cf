"""What generated and painted data sets share: files of a study, and several processes that make them."""

import gzip
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from sliceweave.pipelines.study_source import mark

FOLDERS = ("images", "labels")
_WORTH_WORKERS = 4

Made = TypeVar("Made")


def mapped(work: Callable[[int], Made], indices: Sequence[int], workers: int) -> Iterator[Made]:
    """The work done on each index, in any order, by so many processes where there is enough of it."""
    if len(indices) < _WORTH_WORKERS or workers < 2:
        yield from map(work, indices)
        return
    with multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap_unordered(work, indices)


def nifti_bytes(voxels: NDArray[np.integer], affine_ras: NDArray[np.float64], source: str) -> bytes:
    """A compressed NIfTI file with the mark of its source, the same every time."""
    image = nib.Nifti1Image(voxels, affine_ras)
    image.header.set_xyzt_units("mm")
    mark(image.header, source)
    image.set_qform(affine_ras, code="scanner", strip_shears=True)
    image.set_sform(affine_ras, code="scanner")
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)
