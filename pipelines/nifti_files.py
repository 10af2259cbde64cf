"""NIfTI files, read whole or not at all."""

import gzip
import io
import itertools
import re
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.volume_checks import check_scalar, check_size, check_spacing_given, volume_shape

_BROKEN = (OSError, EOFError, ValueError, KeyError, zlib.error, HeaderDataError, WrapStructError, ImageFileError)
_HEADER_CLASSES: tuple[type[nib.Nifti1Header], ...] = (nib.Nifti1Header, nib.Nifti2Header)
_MAGICS = (b"n+1", b"n+2")
_DEFLATE_LIMIT = 1032  # no deflate stream grows by more than this
_OTHER_UNITS = {1: "metres", 3: "micrometres"}
_PIXDIM_TOLERANCE = 0.01
_CHUNK_BYTES = 1 << 20
_GRID_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


class Volume(NamedTuple):
    """One volume as its file gives it.

    The voxels are (I, J, K); the header holds the grid and nothing else, so a mask written with it tells no one's name.
    """

    voxels: NDArray[np.float32]
    affine_ras: NDArray[np.float64]
    header: nib.Nifti1Header


def read_nifti(path: Path) -> Volume:
    """The volume of a NIfTI-1 or NIfTI-2 file, compressed or not, scaled by its slope and intercept.

    Raises:
        InputError: damaged, truncated, not a NIfTI file, or a header that no CT scan has; the path is not named.
        OSError: the file cannot be opened.
    """
    with _opened(path) as stream:
        try:
            header, voxels = _read(stream, path.stat().st_size)
        except InputError:
            raise
        except _BROKEN as error:
            cause = str(error).strip().split("\n")[0] or type(error).__name__
            raise InputError(f"expected a whole file, got one cut short or damaged ({cause}); copy it again") from error
    affine_ras = np.asarray(header.get_best_affine(), dtype=np.float64)
    _check_pixdim(header, affine_ras)
    return Volume(voxels, affine_ras, header)


def _opened(path: Path) -> io.BufferedIOBase:
    """The file's content; whether it is compressed is told by its first bytes, not by its name."""
    with path.open("rb") as file:
        start = file.read(2)
    return gzip.open(path) if start == b"\x1f\x8b" else path.open("rb")


def _read(stream: io.BufferedIOBase, file_bytes: int) -> tuple[nib.Nifti1Header, NDArray[np.float32]]:
    header = _raw_header(stream.read(nib.Nifti2Header.sizeof_hdr))
    shape = _check_claims(header, file_bytes, isinstance(stream, gzip.GzipFile))
    stream.seek(0)
    image_class: type[nib.Nifti1Image] = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    file_map = image_class.make_file_map({"image": stream, "header": stream})
    image = image_class.from_file_map(file_map, mmap=False)
    with np.errstate(over="ignore"):  # becomes an infinity, which is counted and reported
        voxels = np.asarray(image.dataobj, dtype=np.float32)
    while stream.read(_CHUNK_BYTES):  # up to the checksum that ends a compressed file
        pass
    return _grid_header(image.header, shape), voxels.reshape(shape)


def _raw_header(block: bytes) -> nib.Nifti1Header:
    """The header as it stands: nibabel's own reading silently turns a spacing of zero into one."""
    for header_class, endianness in itertools.product(_HEADER_CLASSES, ("<", ">")):
        size = header_class.sizeof_hdr
        if block[:4] == struct.pack(f"{endianness}i", size) and len(block) >= size:
            header = header_class(block[:size], endianness, check=False)
            if header["magic"].item()[:3] in _MAGICS:
                return header
    raise InputError(f"expected a NIfTI file, got {_kind_of(block)}; export the image again")


def _kind_of(start: bytes) -> str:
    if start[128:132] == b"DICM":
        return "a DICOM file"
    if start and not re.search(rb"[\0-\x08\x0e-\x1f]", start):
        return "a text file"
    return "something else" if len(start) >= nib.Nifti1Header.sizeof_hdr else f"a file of {len(start)} bytes"


def _check_claims(header: nib.Nifti1Header, file_bytes: int, compressed: bool) -> tuple[int, int, int]:
    """The shape the header claims, once all it claims is possible; nothing has been allocated so far."""
    dimensions, *sizes = header["dim"].tolist()
    shape = volume_shape(sizes[:dimensions] if 0 < dimensions <= len(sizes) else [])
    dtype = _dtype(header)
    check_scalar(dtype)
    check_spacing_given(header["pixdim"][1:4])
    unit = _OTHER_UNITS.get(int(header["xyzt_units"]) & 7)
    if unit:
        raise InputError(f"expected spacing in mm, got a header in {unit}; convert the spacing and set the unit to mm")
    check_size(shape, dtype.itemsize)
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if expected > file_bytes * (_DEFLATE_LIMIT if compressed else 1):
        raise InputError(f"expected {expected} bytes of voxels, got a file of {file_bytes}: cut short; copy it again")
    return shape


def _dtype(header: nib.Nifti1Header) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
        return dtype
    except (KeyError, HeaderDataError) as error:
        code = int(header["datatype"])
        raise InputError(f"expected a known voxel type, got code {code}; export the image again") from error


def _grid_header(source: nib.Nifti1Header, shape: tuple[int, int, int]) -> nib.Nifti1Header:
    """A header for a mask on the same grid, with qform, sform and their codes to the bit, and no text."""
    header = type(source)()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_xyzt_units("mm")
    for field in _GRID_FIELDS:
        header[field] = source[field]
    header["pixdim"][:4] = source["pixdim"][:4]
    return header


def _check_pixdim(header: nib.Nifti1Header, affine_ras: NDArray[np.float64]) -> None:
    """Raises InputError where spacing and affine disagree, since one of them gives wrong millilitres.

    On a sheared grid some programs write the distance between the voxel planes, not the length of the step: both count.
    """
    stated = np.asarray(header.get_zooms(), dtype=np.float64)
    steps = np.linalg.norm(affine_ras[:3, :3], axis=0)
    if not steps.all() or not np.isfinite(steps).all() or not np.linalg.det(affine_ras[:3, :3]):
        return  # Geometry says what is wrong with such an affine
    plane_distances = 1 / np.linalg.norm(np.linalg.inv(affine_ras[:3, :3]), axis=1)
    agrees = [np.abs(stated / given - 1) <= _PIXDIM_TOLERANCE for given in (steps, plane_distances)]
    if not np.all(agrees[0] | agrees[1]):
        texts = (" x ".join(f"{step:.4g}" for step in spacing) for spacing in (stated, steps))
        raise InputError("expected one spacing, got pixdim {} mm but affine {} mm; repair the header".format(*texts))
