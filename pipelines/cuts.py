"""How a training sample is cut from a preprocessed volume: a slice, a slab of slices, or a block."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.options import share_of_one, whole_number
from sliceweave.pipelines.volume_files import StoredVolume

Sample = dict[str, torch.Tensor]

_AIMED_SHARE = 0.5


class Cut(Protocol):
    """One way to make samples.

    Between `cut` and `finish` a sample is a picture `(channels, H, W)` whatever it becomes, so that the same
    augmentation in the plane serves all ways.
    """

    def positions(self, slices: int) -> list[range]:
        """The slices whose label each candidate sample of a study with so many slices holds."""

    def cut(self, volume: StoredVolume, slices: range, rng: np.random.Generator, /) -> Sample:
        """`image` and `label` at one position, float32, slices as channels."""

    def finish(self, sample: Sample) -> Sample:
        """The sample in the network's shape."""


@dataclass(frozen=True)
class Slabs:
    """A slice amid its neighbours: image `(C·slab, H, W)` as `gather_slab` has it, label `(L, H, W)` of the slice.

    Args:
        slab: slices in the slab, odd; edges are replicated. 1 is plain 2D.
        alone_share: of the samples whose slice stands in for its neighbours too, as in a study of a single slice.

    Raises:
        InputError: a slab without a middle, or no share.
    """

    slab: int = 1
    alone_share: float = 0.0

    def __post_init__(self) -> None:
        whole_number(self.slab, "slab", odd=True)
        share_of_one(self.alone_share, "alone_share")

    def positions(self, slices: int) -> list[range]:
        return [range(index, index + 1) for index in range(slices)]

    def cut(self, volume: StoredVolume, slices: range, rng: np.random.Generator, /) -> Sample:
        image, half = volume.image, self.slab // 2
        first, last = (slices.start, slices.start) if rng.uniform() < self.alone_share else (0, len(image) - 1)
        picks = torch.arange(slices.start - half, slices.start + half + 1).clamp_(first, last)
        return {
            "image": image[picks].transpose(0, 1).flatten(0, 1).float(),
            "label": volume.label[slices.start].float(),
        }

    def finish(self, sample: Sample) -> Sample:
        return sample


@dataclass(frozen=True)
class Blocks:
    """A block of adjacent slices, cropped in the plane: image `(C, H, W, D)`, label `(L, H, W, D)`.

    Blocks follow each other by half their depth, so that an epoch sees each slice about twice. In the plane half of
    the crops are drawn around a marked pixel of the block, where it has one; the others lie anywhere. Where the study
    is smaller than the block, zeros are put around it, as much before as after. All slices of a block are augmented
    alike.

    Args:
        size: H, W and D in voxels.

    Raises:
        InputError: not three positive whole numbers.
    """

    size: Sequence[int]

    def __post_init__(self) -> None:
        sizes = self.size if isinstance(self.size, Sequence) and len(self.size) == 3 else ["no size"]
        if not all(isinstance(side, int) and side > 0 for side in sizes):
            raise InputError(f'--block_size is three numbers of voxels, like "[256,256,32]", got {self.size!r}')

    def positions(self, slices: int) -> list[range]:
        depth = self.size[2]
        last = max(slices - depth, 0)
        starts = [*range(0, last, max(depth // 2, 1)), last]
        return [range(start, min(start + depth, slices)) for start in starts]

    def cut(self, volume: StoredVolume, slices: range, rng: np.random.Generator, /) -> Sample:
        image, label = (stack[slices.start : slices.stop] for stack in (volume.image, volume.label))
        rows, columns = self.window(label, rng)
        return {
            key: self.padded(stack[..., rows, columns].float()).flatten(0, 1)
            for key, stack in (("image", image), ("label", label))
        }

    def finish(self, sample: Sample) -> Sample:
        return {key: stack.unflatten(0, (self.size[2], -1)).movedim(0, -1) for key, stack in sample.items()}

    def window(self, label: torch.Tensor, rng: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of a crop of a block's label (D, L, H, W)."""
        target = None
        if rng.random() < _AIMED_SHARE and len(marked := label.flatten(0, 1).any(0).nonzero()):
            target = marked[rng.integers(len(marked))].tolist()
        rows, columns = (
            _span(label.shape[axis + 2], self.size[axis], target[axis] if target else None, rng) for axis in (0, 1)
        )
        return rows, columns

    def padded(self, stack: torch.Tensor) -> torch.Tensor:
        """(D, C, H, W) from a stack that may be smaller."""
        height, width, depth = self.size
        missing = [width - stack.shape[3], height - stack.shape[2], 0, depth - stack.shape[0]]
        return F.pad(stack, [side for gap in missing for side in (gap // 2, gap - gap // 2)])


def _span(length: int, size: int, target: int | None, rng: np.random.Generator) -> slice:
    """A drawn stretch of an axis, around the target if there is one; all of an axis that is no longer than that."""
    low, high = 0, max(length - size, 0)
    if target is not None:
        low, high = max(low, target - size + 1), min(high, target)
    start = int(rng.integers(low, high + 1))
    return slice(start, start + size)
