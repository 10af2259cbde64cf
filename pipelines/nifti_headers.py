"""NIfTI headers: what stands in them, what they may claim, and those that we write."""

import itertools
import re
import struct
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.study_source import mark, source_of
from sliceweave.pipelines.volume_checks import check_scalar, check_size, check_spacing_given, volume_shape

_HEADER_CLASSES: tuple[type[nib.Nifti1Header], ...] = (nib.Nifti1Header, nib.Nifti2Header)
_MAGICS = (b"n+1", b"n+2")
_LINE_ENDS = ([13, 10, 26, 10], [0, 0, 0, 0])
_MOST_OFFSET_BYTES = 1 << 26  # room for whatever extensions a header has
_DEFLATE_LIMIT = 1032  # no deflate stream grows by more than this
_OTHER_UNITS = {1: "metres", 3: "micrometres"}
_FORM_CODES = frozenset(nib.nifti1.xform_codes.value_set())  # where another stands nibabel leaves that affine unread
_PIXDIM_TOLERANCE = 0.01
_ORTHOGONAL = 1e-4
_GRID_FIELDS = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


def raw_header(block: bytes) -> nib.Nifti1Header:
    """The header as it stands: nibabel's own reading silently turns a spacing of zero into one."""
    for header_class, endianness in itertools.product(_HEADER_CLASSES, ("<", ">")):
        size = header_class.sizeof_hdr
        if block[:4] == struct.pack(f"{endianness}i", size) and len(block) >= size:
            header = header_class(block[:size], endianness, check=False)
            if header["magic"].item() in _MAGICS:
                _check_line_ends(header)
                return header
    raise InputError(f"expected a NIfTI file, got {_kind_of(block)}; export the image again")


def _check_line_ends(header: nib.Nifti1Header) -> None:
    """NIfTI-2 holds line ends of every kind, so that a copy as text, which harms the voxels too, is noticed."""
    if "eol_check" in header and header["eol_check"].tolist() not in _LINE_ENDS:
        raise InputError("expected a whole file, got one with converted line ends; copy it again, not as text")


def _kind_of(start: bytes) -> str:
    if start[128:132] == b"DICM":
        return "a DICOM file"
    if start and not re.search(rb"[\0-\x08\x0e-\x1f]", start):
        return "a text file"
    return "something else" if len(start) >= nib.Nifti1Header.sizeof_hdr else f"a file of {len(start)} bytes"


def check_claims(header: nib.Nifti1Header, file_bytes: int, compressed: bool) -> tuple[int, int, int]:
    """The shape the header claims, once all it claims is possible; nothing has been allocated so far."""
    dimensions, *sizes = header["dim"].tolist()
    shape = volume_shape(sizes[:dimensions] if 0 < dimensions <= len(sizes) else [])
    dtype = stored_dtype(header)
    check_scalar(dtype)
    check_spacing_given(header["pixdim"][1:4])
    for name in ("qform_code", "sform_code"):
        if (code := int(header[name])) not in _FORM_CODES:
            raise InputError(f"expected {name} 0 to {max(_FORM_CODES)}, got {code}; repair the header")
    unit = _OTHER_UNITS.get(int(header["xyzt_units"]) & 7)
    if unit:
        raise InputError(f"expected spacing in mm, got a header in {unit}; convert the spacing and set the unit to mm")
    check_size(shape, dtype.itemsize)
    expected = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if expected > file_bytes * (_DEFLATE_LIMIT if compressed else 1):
        raise InputError(f"expected {expected} bytes of voxels, got a file of {file_bytes}: cut short; copy it again")
    return shape


def stored_dtype(header: nib.Nifti1Header) -> np.dtype[Any]:
    """The type of a voxel in the file. Raises InputError for a code that NIfTI does not have."""
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


def grid_header_of(source: nib.Nifti1Header, shape: tuple[int, int, int]) -> nib.Nifti1Header:
    """A header for a mask on the same grid, with qform, sform and their codes to the bit, and no text.

    Only our own mark of a scan that is not real goes with it. Lengths are in mm, or in an unknown unit as in the
    source.
    """
    header = type(source)()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_xyzt_units("mm" if has_unit(source) else "unknown")
    for field in _GRID_FIELDS:
        header[field] = source[field]
    header["pixdim"][:4] = source["pixdim"][:4]
    mark(header, source_of(source))
    return header


def has_unit(header: nib.Nifti1Header) -> bool:
    """Whether the header says in which unit its lengths are."""
    return bool(int(header["xyzt_units"]) & 7)


def check_pixdim(header: nib.Nifti1Header) -> None:
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


def voxel_offset(header: nib.Nifti1Header) -> int:
    """The byte at which voxels begin. Raises HeaderDataError where that lies within the header, or far behind it."""
    stated, least = float(header["vox_offset"]), type(header).single_vox_offset
    offset = int(stated) if stated else least
    if offset < least:
        raise HeaderDataError(f"vox offset {stated:g} too low")
    if offset > _MOST_OFFSET_BYTES:
        raise HeaderDataError(f"vox offset {offset} too high")
    return offset
