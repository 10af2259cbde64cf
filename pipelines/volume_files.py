"""Preprocessed volumes as files whose slices lie one after the other, read through the page cache."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from sliceweave.pipelines.atomic import atomic_file
from sliceweave.pipelines.errors import InputError

FORMAT = 1
_PAGE_BYTES = 4096
_LENGTH_BYTES = 8
_KEYS = ("image", "label")


class Block(NamedTuple):
    """Where an array lies in a file."""

    start: int
    dtype: str
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


class PackedVolume(NamedTuple):
    """A case ready to be written: what there is to know of it as JSON, and its image and label, slices first."""

    header: bytes
    stacks: tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, eq=False)
class StoredVolume:
    """A case on disk: `image` and `label`, slices first, are mapped anew each time they are asked for.

    Grey values are float16: 11 significant bits, so a value in 0…1 is off by 0.00025 at most, a sixteenth of the step
    of an 8-bit picture. Labels of whole numbers up to 255 are uint8, shares of a pixel float16. Nothing stays open
    between two samples, so a volume costs no memory, and the object travels to a worker process as a few hundred bytes.
    """

    path: Path
    blocks: Mapping[str, Block]
    meta: Mapping[str, Mapping[str, Any]]
    marked: NDArray[np.bool_]

    @property
    def image(self) -> torch.Tensor:
        """(slices, C, H, W), float16."""
        return self._mapped("image")

    @property
    def label(self) -> torch.Tensor:
        """(slices, L, H, W), uint8 or float16."""
        return self._mapped("label")

    def whole(self, key: str) -> MetaTensor:
        """The image or label as the transforms left it, (C, H, W, slices) float32 with its affine and metadata."""
        meta = {name: torch.from_numpy(np.array(v)) if isinstance(v, list) else v for name, v in self.meta[key].items()}
        affine = meta.pop("affine").double()
        return MetaTensor(self._mapped(key).movedim(0, -1).float(), affine=affine, meta=meta)

    def _mapped(self, key: str) -> torch.Tensor:
        block = self.blocks[key]
        # copy-on-write, since torch knows no read-only arrays; nobody writes
        return torch.from_numpy(np.memmap(self.path, block.dtype, "c", block.start, block.shape))


def packed(image: MetaTensor, label: MetaTensor) -> PackedVolume:
    """A case (C, H, W, slices) as it will lie in its file.

    Raises:
        InputError: it cannot be stored: another shape, or grey values that float16 does not hold.
    """
    if image.ndim != 4 or label.ndim != 4 or image.shape[1:] != label.shape[1:]:
        shapes = f"{tuple(image.shape)} and {tuple(label.shape)}"
        raise InputError(f"expected image and label (C, H, W, slices) of one size after preprocessing, got {shapes}")
    stacks = _stack(image, torch.float16), _stack(label, _label_type(label))
    if not torch.isfinite(stacks[0]).all():
        raise InputError("expected grey values within ±65504 after preprocessing: window or scale them")
    header = {
        "dtypes": [str(stack.dtype).removeprefix("torch.") for stack in stacks],
        "shapes": [list(stack.shape) for stack in stacks],
        "meta": [_plain(tensor) for tensor in (image, label)],
        "marked": stacks[1].flatten(1).any(1).nonzero().flatten().tolist(),
    }
    return PackedVolume(json.dumps(header).encode(), stacks)


def write_volume(path: Path, volume: PackedVolume) -> None:
    """Stores a case; the file is whole or not there.

    Raises:
        InputError: it cannot be written.
    """
    with atomic_file(path) as file:
        file.write(len(volume.header).to_bytes(_LENGTH_BYTES, "little") + volume.header)
        file.write(bytes(_start(len(volume.header)) - file.tell()))
        for stack in volume.stacks:
            file.write(stack.numpy().data)


def open_volume(path: Path) -> StoredVolume | None:
    """The case in a file, of which only the header is read; None where there is none, or a damaged one."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            size = path.stat().st_size
            header = json.loads(file.read(length)) if length < size else {}
        blocks, start = {}, _start(length)
        for key, dtype, shape in zip(_KEYS, header["dtypes"], header["shapes"], strict=True):
            blocks[key] = Block(start, dtype, tuple(shape))
            start = blocks[key].end
        marked = np.zeros(blocks["label"].shape[0], bool)
        marked[header["marked"]] = True
        meta = dict(zip(_KEYS, header["meta"], strict=True))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return StoredVolume(path, blocks, meta, marked) if start == size else None


def _start(header_bytes: int) -> int:
    """Where the first array begins: on a page."""
    return -(-(_LENGTH_BYTES + header_bytes) // _PAGE_BYTES) * _PAGE_BYTES


def _stack(volume: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    plain = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
    return plain.detach().cpu().movedim(-1, 0).to(dtype).contiguous()


def _label_type(label: torch.Tensor) -> torch.dtype:
    whole = bool((label == label.to(torch.uint8)).all())
    return torch.uint8 if whole else torch.float16


def _plain(tensor: MetaTensor) -> dict[str, Any]:
    """The affine and what else of the metadata is text, a number or an array."""
    meta = {**tensor.meta, "affine": tensor.affine}
    arrays = {k: np.asarray(v).tolist() for k, v in meta.items() if isinstance(v, np.ndarray | torch.Tensor)}
    return {k: v for k, v in meta.items() if isinstance(v, str | int | float)} | arrays
