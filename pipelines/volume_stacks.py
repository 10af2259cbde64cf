"""Volumes in files as slice stacks: NIfTI read as it is streamed, NRRD and MetaImage whole."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.cases import SliceStack, whole_block
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.nifti_files import NiftiFile
from sliceweave.pipelines.reading import find_sidecar
from sliceweave.pipelines.studies import READABLE, image_suffix

_SMALLEST_FIRST = (np.uint8, np.int16, np.uint16, np.int32)


def open_volume(path: Path) -> SliceStack:
    """The volume of a .nii, .nii.gz, .nrrd, .mha or .mhd file, with the slice positions of `<stem>.geometry.json`.

    Raises:
        InputError: the file is missing, damaged or no volume in mm; the file is not named.
    """
    suffix = image_suffix(path)
    if not suffix:
        raise InputError(f"expected one of {READABLE}, got '{path.suffix}'; convert it")
    try:
        return _nifti_stack(path) if suffix.startswith(".nii") else _itk_stack(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"expected a file that can be read, got: {reason}; check the path") from error


def _nifti_stack(path: Path) -> SliceStack:
    nifti = NiftiFile.open(path)
    geometry = Geometry.with_sidecar(nifti.affine_ras, nifti.shape, find_sidecar(path))
    return SliceStack(geometry, nifti.dtype, nifti.blocks, header=nifti.grid_header)


def _itk_stack(path: Path) -> SliceStack:
    from sliceweave.pipelines.itk_files import read_itk

    volume = read_itk(path)
    voxels = smallest_exact(volume.voxels)
    geometry = Geometry.with_sidecar(volume.affine_ras, volume.header.get_data_shape(), find_sidecar(path))
    return SliceStack(geometry, voxels.dtype, whole_block(voxels), header=volume.header)


def smallest_exact(voxels: NDArray[np.float32]) -> NDArray[Any]:
    """The voxels in the smallest integer type that holds them all exactly; as they are if none does."""
    lowest, highest = voxels.min(), voxels.max()
    if np.isfinite([lowest, highest]).all() and np.array_equal(voxels, np.rint(voxels)):
        for kind in _SMALLEST_FIRST:
            if np.iinfo(kind).min <= lowest and highest <= np.iinfo(kind).max:
                return voxels.astype(kind)
    return voxels
