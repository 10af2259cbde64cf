"""Slice stacks written as NIfTI, block by block: a volume of any length takes the memory of a few slices."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from sliceweave.pipelines.cases import UNKNOWN_PIXEL_SIZE, SliceStack
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.nifti_headers import scanner_header

_FAST = 1
_NO_LABEL = 255
_LARGEST_VALUE = 1 << 16


def write_image(stack: SliceStack, file: BinaryIO | None) -> None:
    """Writes the volume as it is, gzipped; with no file only reads it.

    Raises:
        InputError: a voxel is no finite number, the source cannot be read to its end.
    """
    _write(stack, np.dtype(stack.dtype), map(_finite, _read(stack)), file)


def write_label(stack: SliceStack, coding: "Coding", file: BinaryIO | None) -> NDArray[np.intp]:
    """Writes the label as uint8 in the task's coding; with no file only reads it.

    Returns:
        (labels, K) pixels of each of the task's labels on each slice; all zeros for an empty mask.

    Raises:
        InputError: as `write_image`; or a value has no meaning.
    """
    counts: list[NDArray[np.intp]] = []

    def counted() -> Iterator[NDArray[np.uint8]]:
        for block in _read(stack):
            label = coding.apply(block)
            counts.append(np.array([np.count_nonzero(label == value, axis=(0, 1)) for value in coding.labels]))
            yield label

    _write(stack, np.dtype(np.uint8), counted(), file)
    return np.concatenate(counts, axis=1)


class Coding:
    """From the values of a label file to a task's labels.

    Args:
        values: label by value in the file; 0 stays 0 unless it is named.
        labels: the task's labels, background left out.
        others: label of every value not named; None makes such a value an error.
    """

    def __init__(self, values: Mapping[int, int], labels: Sequence[int], others: int | None = None) -> None:
        self.values = {0: 0, **values}
        self.labels = list(labels)
        self.others = _NO_LABEL if others is None else others

    def apply(self, block: NDArray[Any]) -> NDArray[np.uint8]:
        """The block in the task's labels.

        Raises:
            InputError: a value has no meaning; names up to five.
        """
        lowest, highest = float(block.min()), float(block.max())
        whole = block.dtype.kind in "iub" or bool(np.array_equal(block, np.rint(block)))  # NaN is not equal to itself
        if not whole or max(-lowest, highest) >= _LARGEST_VALUE:
            raise InputError(f"expected whole label values, got numbers from {lowest:g} to {highest:g}; is it a label?")
        first = int(lowest)
        table = np.full(int(highest) - first + 1, self.others, dtype=np.uint8)
        for value, label in self.values.items():
            if lowest <= value <= highest:
                table[value - first] = label
        labels = table[block.astype(np.int32, copy=False) - first]
        if self.others == _NO_LABEL and (unknown := np.unique(block[labels == _NO_LABEL])).size:
            raise InputError(self._unknown(unknown))
        return labels

    def _unknown(self, values: NDArray[Any]) -> str:
        shown = ", ".join(f"{value:g}" for value in values[:5]) + (" …" if len(values) > 5 else "")
        return (
            f"expected the label values {', '.join(map(str, sorted(self.values)))}, got {shown}; "
            'say what they mean with --recode "VALUE=LABEL,…" and --others LABEL'
        )


def _read(stack: SliceStack) -> Iterator[NDArray[Any]]:
    slices = 0
    try:
        for block in stack.blocks():
            slices += block.shape[2]
            yield block
    except OSError as error:
        raise InputError(f"expected a source that can be read to its end, got: {error}; copy it again") from error
    if slices != stack.geometry.shape[2]:
        raise InputError(f"expected {stack.geometry.shape[2]} slices, got {slices}; copy the source again")


def _finite(block: NDArray[Any]) -> NDArray[Any]:
    if block.dtype.kind == "f" and (bad := block.size - int(np.isfinite(block).sum())):
        raise InputError(f"expected a finite number in each voxel, got at least {bad} NaN or infinite; export it again")
    return block


def _write(stack: SliceStack, dtype: np.dtype[Any], blocks: Iterator[NDArray[Any]], file: BinaryIO | None) -> None:
    if file is None:
        for _ in blocks:
            pass
        return
    with igzip.IGzipFile("", "wb", _FAST, file, mtime=0) as compressed:
        compressed.write(_header_bytes(stack, dtype))
        for block in blocks:
            compressed.write(np.asarray(block, dtype).tobytes(order="F"))


def _header_bytes(stack: SliceStack, dtype: np.dtype[Any]) -> bytes:
    geometry = stack.geometry
    header = scanner_header(geometry.affine_ras, geometry.shape) if stack.header is None else stack.header.copy()
    header.set_data_dtype(dtype)
    header.set_data_shape(geometry.shape)
    if UNKNOWN_PIXEL_SIZE in stack.flags:
        header.set_xyzt_units("unknown")
    little = header.as_byteswapped("<")
    little["vox_offset"] = little.single_vox_offset
    little["magic"] = little.single_magic
    buffer = io.BytesIO()
    little.write_to(buffer)
    return buffer.getvalue().ljust(little.single_vox_offset, b"\0")
