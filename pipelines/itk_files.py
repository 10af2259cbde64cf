"""NRRD and MetaImage files through SimpleITK, with the checks that ITK leaves out."""

import gzip
import math
import re
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.nifti_files import Volume
from sliceweave.pipelines.nifti_headers import scanner_header
from sliceweave.pipelines.study_source import mark, source_in_text
from sliceweave.pipelines.volume_checks import check_size, check_spacing_given, volume_shape

_FIELD = re.compile(r"\s*([^:=#]+?)\s*(?::=|[:=])\s*(.*?)\s*$")
_CAUSE = re.compile(r"(?:ITK ERROR: [^:]*: |\[nrrd\] )([^\n]*)")
_SPACING_FIELDS = ("spacings", "space directions", "elementspacing", "elementsize")
_LARGEST_HEADER_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16


def read_itk(path: Path) -> Volume:
    """The volume of a .nrrd, .mha or .mhd file; its header is one in scanner coordinates, with our mark.

    Raises:
        InputError: damaged, truncated, or a header that no CT scan has; the path is not named.
        OSError: the file cannot be opened.
    """
    voxels, affine_ras = _read(path, sitk.sitkFloat32)
    grid_header = scanner_header(affine_ras, voxels.shape)
    mark(grid_header, source_in_text(_header_fields(path)[0].get("descrip", "")))
    return Volume(voxels, affine_ras, grid_header)


def read_itk_as_stored(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Voxels (I, J, K) in the type the file has, and the affine in RAS mm. Raises as `read_itk` does."""
    return _read(path, None)


def voxel_file(path: Path) -> Path | None:
    """The file beside a .mhd or .nrrd header that holds its voxels; None where there is no such one file to name."""
    if path.suffix.lower() not in (".mhd", ".mha", ".nrrd"):
        return None
    try:
        name = _voxels_named(_header_fields(path)[0])
    except OSError:
        return None
    return path.parent / name if name and not _is_several(name) else None


def _read(path: Path, pixel_type: int | None) -> tuple[NDArray[Any], NDArray[np.float64]]:
    fields, header_bytes = _header_fields(path)
    reader = _information(path)
    shape = _checked_shape(reader, fields)
    _check_payload(path, header_bytes, fields, math.prod(reader.GetSize()) * _component_bytes(reader))
    if pixel_type is not None:
        reader.SetOutputPixelType(pixel_type)
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(_damaged(error)) from error
    return sitk.GetArrayFromImage(image).T.reshape(shape, order="F"), _affine_ras(image)


def _affine_ras(image: sitk.Image) -> NDArray[np.float64]:
    axes = image.GetDimension()
    directions = np.reshape(image.GetDirection(), (axes, axes))[:3, :3]
    affine_lps = np.eye(4)
    affine_lps[:3, :3] = directions * image.GetSpacing()[:3]
    affine_lps[:3, 3] = image.GetOrigin()[:3]
    return np.asarray(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_lps)


def _header_fields(path: Path) -> tuple[dict[str, str], int]:
    """The fields by lower-case name, and the byte after the header."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while file.tell() < _LARGEST_HEADER_BYTES and (line := file.readline(_LARGEST_HEADER_BYTES)).strip():
            if found := _FIELD.match(line.decode(errors="replace")):
                fields[found[1].lower()] = found[2]
            if "elementdatafile" in fields:  # the last field of a MetaImage; an NRRD header ends in an empty line
                break
        return fields, file.tell()


def _information(path: Path) -> sitk.ImageFileReader:
    """A reader that has read the header alone."""
    if not sitk.ImageFileReader.GetImageIOFromFileName(str(path)):
        raise InputError(
            f"expected the header of a {path.suffix} file, got {path.stat().st_size} bytes that begin with none; "
            "export the image again"
        )
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _component_bytes(reader)  # fails for a voxel type that ITK does not know
    except RuntimeError as error:
        raise InputError(_damaged(error)) from error
    return reader


def _component_bytes(reader: sitk.ImageFileReader) -> int:
    return int(sitk.Image([1, 1], reader.GetPixelID()).GetSizeOfPixelComponent())


def _checked_shape(information: sitk.ImageFileReader, fields: dict[str, str]) -> tuple[int, int, int]:
    shape = volume_shape(information.GetSize())
    if information.GetNumberOfComponents() != 1:
        raise InputError(
            f"expected one CT number per voxel, got {information.GetNumberOfComponents()} (colours or volumes); "
            "export the grey-scale series, each volume to its own file"
        )
    if information.GetDimension() < 3:
        raise InputError("expected a 3D image, got a 2D one without a slice thickness; save it as 3D with one slice")
    if not any(name in fields for name in _SPACING_FIELDS):
        raise InputError("expected a spacing in the header, got none, and without it no volume; export the image again")
    if set(re.findall(r'"([^"]*)"', fields.get("space units", ""))) - {"mm", ""}:
        raise InputError(f"expected spacing in mm, got space units {fields['space units']}; convert the spacing to mm")
    check_spacing_given(np.array(information.GetSpacing()[:3]))
    check_size(shape, _component_bytes(information))
    return shape


def _check_payload(path: Path, header_bytes: int, fields: dict[str, str], expected: int) -> None:
    """Raises InputError where voxels are missing or a checksum is wrong: ITK checks no checksums."""
    name = _voxels_named(fields)
    if _is_several(name) or not _is_plain(fields):
        return  # left to ITK, which fails when it finds too few voxels
    data, start = (path.parent / name, 0) if name else (path, header_bytes)
    if not data.is_file():
        raise InputError(f"expected the voxels in '{name}' beside it, got no such file; copy both files")
    got = _payload_bytes(data, start, fields)
    if got < expected:
        raise InputError(f"expected {expected} bytes of voxels, got {got}: cut short; copy the file again")


def _voxels_named(fields: dict[str, str]) -> str:
    """The file of the voxels as a header names it; empty where they follow the header."""
    name = fields.get("elementdatafile") or fields.get("data file") or fields.get("datafile") or ""
    return "" if name.upper() == "LOCAL" else name


def _is_several(name: str) -> bool:
    """Whether that stands for a file of each slice."""
    return name.upper().startswith("LIST") or "%" in name


def _is_plain(fields: dict[str, str]) -> bool:
    """Whether the voxels are binary and follow the header or fill a file of their own."""
    has_offset = any(name in fields for name in ("headersize", "line skip", "byte skip"))
    is_binary = fields.get("binarydata", "true").lower() == "true"
    return is_binary and not has_offset and fields.get("encoding", "raw").lower() in ("raw", "gzip", "gz")


def _payload_bytes(data: Path, start: int, fields: dict[str, str]) -> int:
    """Bytes of voxels in the file, after decompression."""
    with data.open("rb") as file:
        file.seek(start)
        try:
            if fields.get("compresseddata", "").lower() == "true":
                return _inflated_bytes(file)
            if fields.get("encoding", "").lower() in ("gzip", "gz"):
                with gzip.GzipFile(fileobj=file) as stream:
                    return sum(len(chunk) for chunk in iter(lambda: stream.read(_CHUNK_BYTES), b""))
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(_damaged(error)) from error
    return data.stat().st_size - start


def _inflated_bytes(file: BinaryIO) -> int:
    stream = zlib.decompressobj()
    count = sum(len(stream.decompress(chunk)) for chunk in iter(lambda: file.read(_CHUNK_BYTES), b"") if not stream.eof)
    if not stream.eof:
        raise EOFError("the compressed voxels end before their end mark")
    return count


def _damaged(error: Exception) -> str:
    causes = _CAUSE.findall(str(error)) or [str(error).strip().split("\n")[0]]
    return f"expected a whole file, got one cut short or damaged ({causes[-1]}); copy it again"
