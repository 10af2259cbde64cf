"""Preprocessing of studies too long to be held several times over: some slices at a time, to the same result."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, Resized
from monai.utils import ensure_tuple
from torch import Tensor

from sliceweave.transforms.dictionary import Eachd
from sliceweave.transforms.regions import CropToRegiond, whole
from sliceweave.transforms.swappable import zero_tensor

LONG_BYTES = 300_000_000
"""Of float32 voxels, from which memory is what is scarce: some 290 slices of 512 × 512."""

_BLOCK_BYTES = 32_000_000


class LeanCompose(Compose):
    """MONAI's `Compose`, which takes long studies from `Orientationd` to `Resized` some slices at a time.

    A chain copies a study with each step; here only a few slices are copied, and what comes out, values and what MONAI
    recorded for the way back, is the same. It is done so where between the two only `CropToRegiond` and transforms with
    `for_slices_of` stand, and these say that they can; otherwise, and for a study below `LONG_BYTES`, as Compose does.
    """

    def __call__(
        self, input_: Any, start: int = 0, end: int | None = None, threading: bool = False, lazy: bool | None = None
    ) -> Any:
        first = next((n for n, step in enumerate(self.transforms) if isinstance(step, Orientationd)), None)
        if first is None or start or end is not None or lazy:
            return super().__call__(input_, start, end, threading, lazy)
        case = super().__call__(input_, 0, first, threading, lazy)
        chain = SliceChain.of(case, Compose(self.transforms[first:]).flatten().transforms)
        if chain is None:
            return super().__call__(case, first, None, threading, lazy)
        return {**case, chain.key: chain.on_network_grid(case[chain.key])}


@dataclass(frozen=True, eq=False)
class SliceChain:
    """What brings one long study to the network's grid, its decisions about the whole study made.

    Attributes:
        turn: to the network's axes, slices last.
        intensity: what is done to the values of any of the study's slices.
        crop: to a region that is still to be found; None for none.
        resize: in the plane.
    """

    turn: Orientationd
    intensity: tuple[Callable[[Any], Any], ...]
    crop: CropToRegiond | None
    resize: Resized

    @property
    def key(self) -> Hashable:
        """Of the image in a case."""
        return self.turn.keys[0]

    @classmethod
    def of(cls, case: Any, steps: Sequence[Any]) -> "SliceChain | None":
        """The chain of these steps for a case; None where they, or the study, are to be taken whole."""
        turn, middle, resize = steps[0], list(steps[1:-1]), steps[-1]
        if not (isinstance(turn, Orientationd) and isinstance(resize, Resized) and len(turn.keys) == 1):
            return None
        image = case[turn.keys[0]]
        if not isinstance(image, MetaTensor) or image.ndim != 4 or 4 * image.numel() < LONG_BYTES:
            return None
        crop = middle.pop() if middle and isinstance(middle[-1], CropToRegiond) else None
        arrays = [step.transform if isinstance(step, Eachd) else step for step in middle]
        for_slices = [found(image) if (found := getattr(step, "for_slices_of", None)) else None for step in arrays]
        if any(step is None for step in for_slices) or not _keeps_slices(resize):
            return None
        return cls(turn, tuple(step for step in for_slices if step), crop, resize)

    def on_network_grid(self, image: MetaTensor) -> MetaTensor:
        """The image `(C, I, J, K)` as the whole chain would make it."""
        # a tensor without values goes through the steps that move voxels, so that what they record is theirs
        ghost = self._turned(MetaTensor(torch.empty(image.shape, device="meta"), meta=image.meta))
        box = self._box(image, tuple(ghost.shape[1:]))
        if self.crop is not None:
            ghost = cast(MetaTensor, self.crop.cropper.crop_pad(ghost, *box))
        ghost = self._resized(ghost)
        result = zero_tensor(ghost.shape)
        rows, columns = (slice(int(low), int(high)) for low, high in list(zip(*box, strict=True))[:2])
        for slices, block in self._blocks(image):
            result[..., slices] = self._resized(MetaTensor(block[:, rows, columns])).as_tensor()
        return MetaTensor(result, meta=ghost.meta, applied_operations=ghost.applied_operations)

    def _turned(self, image: MetaTensor) -> MetaTensor:
        return cast(MetaTensor, self.turn({self.key: image})[self.key])

    def _resized(self, image: MetaTensor) -> MetaTensor:
        return cast(MetaTensor, self.resize({self.key: image})[self.key])

    def _box(self, image: MetaTensor, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """First voxel and the one after the last, of what is cropped to."""
        if self.crop is None or self.crop.region == whole:
            return np.zeros(3, int), np.array(shape)
        region = self.crop.region
        return region.box(reduce(add, (region.seen(block[0].numpy()) for _, block in self._blocks(image))), shape)

    def _blocks(self, image: MetaTensor) -> Iterator[tuple[slice, Tensor]]:
        """Some slices at a time, turned and with their final values: which they are, and `(C, H, W, n)`."""
        axis, is_reversed = self._stack_of(image)
        count, voxels = image.shape[axis], image.as_tensor()
        step = max(1, _BLOCK_BYTES // (4 * voxels.numel() // count))
        for first in range(0, count, step):
            last = min(first + step, count)
            part = MetaTensor(voxels.narrow(axis, first, last - first), affine=image.affine)
            block = self._turned(part)
            for change in self.intensity:
                block = change(block)
            where = slice(count - last, count - first) if is_reversed else slice(first, last)
            yield where, block.as_tensor()

    def _stack_of(self, image: MetaTensor) -> tuple[int, bool]:
        """Which axis of the image becomes the last, and whether it is reversed: found by turning eight numbers."""
        cube = MetaTensor(torch.arange(8.0).view(1, 2, 2, 2), affine=image.affine)
        step = float(torch.diff(self._turned(cube).as_tensor())[0, 0, 0, 0])
        return {4: 1, 2: 2, 1: 3}[int(abs(step))], step < 0


def _keeps_slices(resize: Resized) -> bool:
    size = ensure_tuple(resize.resizer.spatial_size)
    return len(size) == 3 and size[2] == -1 and not any(resize.anti_aliasing)
