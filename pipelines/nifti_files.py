"""NIfTI files, read whole or not at all."""

import io
import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from isal import igzip
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
_ORTHOGONAL = 1e-4
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 23
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
    nifti = NiftiFile.open(path)
    voxels = np.empty(nifti.shape, dtype=np.float32, order="F")
    first = 0
    with np.errstate(over="ignore"):  # becomes an infinity, which is counted and reported
        for block in nifti.blocks():
            voxels[..., first : first + block.shape[2]] = block
            first += block.shape[2]
    return Volume(voxels, nifti.affine_ras, nifti.grid_header)


@dataclass(frozen=True, eq=False)
class NiftiFile:
    """A NIfTI file whose header is known and plausible, and whose voxels are read in blocks of slices."""

    path: Path
    header: nib.Nifti1Header
    shape: tuple[int, int, int]

    @classmethod
    def open(cls, path: Path) -> "NiftiFile":
        """Reads the header alone. Raises as `read_nifti` does."""
        with _opened(path) as stream, _told_plainly():
            header = _raw_header(stream.read(nib.Nifti2Header.sizeof_hdr))
            shape = _check_claims(header, path.stat().st_size, isinstance(stream, igzip.IGzipFile))
            _check_pixdim(_grid_header(header, shape))
        return cls(path, header, shape)

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """(4, 4) voxel to RAS mm."""
        return np.asarray(self.header.get_best_affine(), dtype=np.float64)

    @property
    def grid_header(self) -> nib.Nifti1Header:
        """A header for a file on the same grid, with qform, sform and their codes to the bit, and no text."""
        return _grid_header(self.header, self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the blocks: as stored, or float32 where a slope is to be applied or the file is in double precision."""
        stored = _dtype(self.header).newbyteorder("=")
        return np.dtype(np.float32) if self._is_scaled or stored.kind == "f" else stored

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Blocks (I, J, n) in the order of the slices, n as many as make a few megabytes.

        Raises:
            InputError: the voxels end early, or the checksum that ends a compressed file is wrong.
        """
        with _opened(self.path) as stream, _told_plainly():
            stream.seek(_voxel_offset(self.header))
            for slices in self._slices_per_block():
                yield self._scaled(self._stored(stream, slices))
            while stream.read(_CHUNK_BYTES):  # up to the checksum
                pass

    def _slices_per_block(self) -> list[int]:
        slice_bytes = self.shape[0] * self.shape[1] * _dtype(self.header).itemsize
        step = max(1, _BLOCK_BYTES // slice_bytes)
        return [min(step, self.shape[2] - first) for first in range(0, self.shape[2], step)]

    def _stored(self, stream: io.BufferedIOBase, slices: int) -> NDArray[Any]:
        dtype, shape = _dtype(self.header), (*self.shape[:2], slices)
        expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        content = stream.read(expected)
        if len(content) < expected:
            raise EOFError("the voxels end early")
        return np.frombuffer(content, dtype).reshape(shape, order="F")

    def _scaled(self, stored: NDArray[Any]) -> NDArray[Any]:
        if not self._is_scaled:
            return stored.astype(self.dtype, copy=False)
        slope, intercept = self.header.get_slope_inter()
        return np.asarray(stored * np.float64(slope) + np.float64(intercept), dtype=np.float32)

    @property
    def _is_scaled(self) -> bool:
        return self.header.get_slope_inter() not in ((None, None), (1.0, 0.0))


@contextmanager
def _told_plainly() -> Iterator[None]:
    """Whatever a damaged file makes the libraries raise becomes one line."""
    try:
        yield
    except InputError:
        raise
    except _BROKEN as error:
        cause = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"expected a whole file, got one cut short or damaged ({cause}); copy it again") from error


def _opened(path: Path) -> io.BufferedIOBase:
    """The file's content; whether it is compressed is told by its first bytes, not by its name."""
    with path.open("rb") as file:
        start = file.read(2)
    return igzip.open(path) if start == b"\x1f\x8b" else path.open("rb")


def _voxel_offset(header: nib.Nifti1Header) -> int:
    least = type(header).single_vox_offset
    offset = int(header["vox_offset"]) or least
    if offset < least:
        raise HeaderDataError(f"vox offset {offset} too low")
    return offset


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


def scanner_header(affine_ras: NDArray[np.float64], shape: tuple[int, int, int]) -> nib.Nifti1Header:
    """The header of a uint8 file on a grid in scanner coordinates."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_xyzt_units("mm")
    header.set_sform(affine_ras, code="scanner")
    steps_mm = np.linalg.norm(affine_ras[:3, :3], axis=0)
    header.set_zooms(steps_mm)
    directions = affine_ras[:3, :3] / steps_mm
    if np.allclose(directions.T @ directions, np.eye(3), atol=_ORTHOGONAL):  # a quaternion holds no shear
        header.set_qform(affine_ras, code="scanner")
    return header


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


def _check_pixdim(header: nib.Nifti1Header) -> None:
    """Raises InputError where spacing and affine disagree, since one of them gives wrong millilitres.

    On a sheared grid some programs write the distance between the voxel planes, not the length of the step: both count.
    """
    affine_ras = np.asarray(header.get_best_affine(), dtype=np.float64)
    stated = np.asarray(header.get_zooms(), dtype=np.float64)
    steps = np.linalg.norm(affine_ras[:3, :3], axis=0)
    if not steps.all() or not np.isfinite(steps).all() or not np.linalg.det(affine_ras[:3, :3]):
        return  # Geometry says what is wrong with such an affine
    plane_distances = 1 / np.linalg.norm(np.linalg.inv(affine_ras[:3, :3]), axis=1)
    agrees = [np.abs(stated / given - 1) <= _PIXDIM_TOLERANCE for given in (steps, plane_distances)]
    if not np.all(agrees[0] | agrees[1]):
        texts = (" x ".join(f"{step:.4g}" for step in spacing) for spacing in (stated, steps))
        raise InputError("expected one spacing, got pixdim {} mm but affine {} mm; repair the header".format(*texts))
