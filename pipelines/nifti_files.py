"""NIfTI files, read whole or in blocks of slices, and never a part taken for the whole."""

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.nifti_headers import (
    check_claims,
    check_pixdim,
    grid_header_of,
    raw_header,
    stored_dtype,
    voxel_offset,
)
from sliceweave.transforms.lean import LONG_BYTES
from sliceweave.transforms.swappable import let_go, zeros

_BROKEN = (
    *(OSError, EOFError, ValueError, OverflowError, KeyError),
    *(zlib.error, HeaderDataError, WrapStructError, ImageFileError),
    cast(type[Exception], IsalError),  # isal's stubs take the class for an instance
)
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 23
_MOST_BEYOND_BYTES = 1 << 26


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
    voxels: NDArray[np.float32] = zeros(nifti.shape, order="F", from_bytes=LONG_BYTES)  # NIfTI's order
    first = 0
    with np.errstate(over="ignore"):  # becomes an infinity, which is counted and reported
        for block in nifti.blocks():
            voxels[..., first : first + block.shape[2]] = block
            first += block.shape[2]
            let_go(voxels)
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
            header = raw_header(stream.read(nib.Nifti2Header.sizeof_hdr))
            shape = check_claims(header, path.stat().st_size, isinstance(stream, igzip.IGzipFile))
            check_pixdim(grid_header_of(header, shape))
            header.get_slope_inter()  # raises where they contradict each other
        return cls(path, header, shape)

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """(4, 4) voxel to RAS mm."""
        return np.asarray(self.header.get_best_affine(), dtype=np.float64)

    @property
    def grid_header(self) -> nib.Nifti1Header:
        """A header for a file on the same grid, with qform, sform and their codes to the bit, and no text."""
        return grid_header_of(self.header, self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the blocks: as stored, or float32 where a slope is to be applied or the file is in double precision."""
        stored = stored_dtype(self.header).newbyteorder("=")
        return np.dtype(np.float32) if self._is_scaled or stored.kind == "f" else stored

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Blocks (I, J, n) in the order of the slices, n as many as make a few megabytes.

        Raises:
            InputError: the voxels end early, or the checksum that ends a compressed file is wrong.
        """
        with _opened(self.path) as stream, _told_plainly():
            stream.seek(voxel_offset(self.header))
            for slices in self._slices_per_block():
                yield self._scaled(self._stored(stream, slices))
            _read_to_the_checksum(stream)

    def _slices_per_block(self) -> list[int]:
        slice_bytes = self.shape[0] * self.shape[1] * stored_dtype(self.header).itemsize
        step = max(1, _BLOCK_BYTES // slice_bytes)
        return [min(step, self.shape[2] - first) for first in range(0, self.shape[2], step)]

    def _stored(self, stream: io.BufferedIOBase, slices: int) -> NDArray[Any]:
        dtype, shape = stored_dtype(self.header), (*self.shape[:2], slices)
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


def _read_to_the_checksum(stream: io.BufferedIOBase) -> None:
    """Raises InputError where more than a little follows the voxels: a few megabytes can unpack to terabytes."""
    beyond = 0
    while chunk := stream.read(_CHUNK_BYTES):
        beyond += len(chunk)
        if beyond > _MOST_BEYOND_BYTES:
            raise InputError("expected the file to end with its voxels, got much more behind them; export it again")


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
