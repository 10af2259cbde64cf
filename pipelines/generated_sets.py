"""What generated and painted data sets share: files of a study, and several processes that make them."""

import gzip
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.study_source import mark

ANOTHER = "name another DIRECTORY"
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


def settle(path: Path, settings: Mapping[str, Any], name: str) -> None:
    """Writes down what a directory's studies are made with: others would be mixed up with them.

    Args:
        name: what the settings are called together.

    Raises:
        InputError: they were made otherwise, or the directory cannot be written.
    """
    content = json.dumps(settings, indent=1, sort_keys=True).encode()
    if path.is_file() and path.read_bytes() != content:
        raise InputError(f"{path.parent} holds studies of {name}, see {path.name}; {ANOTHER}")
    write_atomically(path, content)


def nifti_bytes(voxels: NDArray[np.integer], affine_ras: NDArray[np.float64], source: str) -> bytes:
    """A compressed NIfTI file with the mark of its source, the same every time."""
    image = nib.Nifti1Image(voxels, affine_ras)
    image.header.set_xyzt_units("mm")
    mark(image.header, source)
    image.set_qform(affine_ras, code="scanner", strip_shears=True)
    image.set_sform(affine_ras, code="scanner")
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)
