"""A head CT as painting sees it: axial planes in the directions right, front and up, with the share of blood."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import convert_to_numpy
from numpy.typing import NDArray

from sliceweave.transforms.head_anatomy import Head, find_head

Stack = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HeadScan:
    """A scan in planes: index (k, i, j) runs up, to the right, to the front, whatever way its file runs.

    Attributes:
        hu: (K, I, J).
        share: (K, I, J), the share of each voxel that is blood.
        affine_ras: (4, 4), index (i, j, k) to mm.
        known_head: its anatomy, where that has been found before, with other blood.
    """

    hu: Stack
    share: Stack
    affine_ras: NDArray[np.float64]
    known_head: Head | None = None

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Of right, front and up; up across the slices, however they are sheared."""
        columns = self.affine_ras[:3, :3]
        normal = np.cross(columns[:, 0], columns[:, 1])
        right_mm, front_mm = np.linalg.norm(columns[:, :2], axis=0)
        return float(right_mm), float(front_mm), float(abs(normal @ columns[:, 2]) / np.linalg.norm(normal))

    @cached_property
    def head(self) -> Head | None:
        """Its anatomy; None where there is no head."""
        return self.known_head or find_head(self.hu, self.spacing_mm)

    @property
    def blood_ml(self) -> float:
        """Volume of the share."""
        return float(self.share.sum(dtype=np.float64) * abs(np.linalg.det(self.affine_ras[:3, :3])) / 1000)

    def painted(self, hu: Stack, share: Stack | None = None) -> "HeadScan":
        """Other content on the same grid and of the same anatomy."""
        return replace(self, hu=hu, share=self.share if share is None else share, known_head=self.head)

    def on_grid(self, hu: Stack, share: Stack, affine_ras: NDArray[np.float64]) -> "HeadScan":
        """The scan on another grid; its anatomy is to be found anew."""
        return HeadScan(hu, share, affine_ras)


@dataclass(frozen=True)
class Orientation:
    """How a volume's axes are turned to right, front and up: which axis goes where, and which run backwards."""

    order: tuple[int, int, int]
    flips: tuple[int, ...]

    @classmethod
    def of(cls, affine_ras: NDArray[np.float64]) -> "Orientation":
        """Nearest axes, each taken once."""
        steps = affine_ras[:3, :3] / np.linalg.norm(affine_ras[:3, :3], axis=0)
        free, order = [0, 1, 2], [0, 0, 0]
        for world in (2, 1, 0):
            order[world] = max(free, key=lambda axis: abs(steps[world, axis]))
            free.remove(order[world])
        flips = tuple(world for world in range(3) if steps[world, order[world]] < 0)
        return cls((order[0], order[1], order[2]), flips)

    def to_planes(self, voxels: NDArray[Any]) -> Stack:
        """A volume in its own axes → (K, I, J), a copy."""
        turned = np.flip(voxels.transpose(self.order), self.flips)
        return np.ascontiguousarray(turned.transpose(2, 0, 1), np.float32)

    def from_planes(self, planes: NDArray[Any]) -> NDArray[Any]:
        """(K, I, J) → the volume's own axes."""
        turned = np.flip(planes.transpose(1, 2, 0), self.flips)
        return np.ascontiguousarray(turned.transpose(np.argsort(self.order)))

    def matrix(self, planes: NDArray[Any]) -> NDArray[np.float64]:
        """(4, 4): index (i, j, k) of the turned volume, whose planes (K, I, J) these are, to index in its own axes."""
        shape = (*planes.shape[1:], planes.shape[0])
        matrix = np.zeros((4, 4))
        matrix[3, 3] = 1
        for world, axis in enumerate(self.order):
            backwards = world in self.flips
            matrix[axis, world] = -1 if backwards else 1
            matrix[axis, 3] = shape[world] - 1 if backwards else 0
        return matrix


def open_scan(image: Any, label: Any = None) -> tuple[HeadScan, Orientation]:
    """The scan of an image `(1, *S)` and its label, mask or share, of the same shape; a copy.

    Without an affine the axes run right, front and up, in steps of 1 mm.

    Raises:
        ValueError: the image has not one channel and three axes.
    """
    if image.ndim != 4 or image.shape[0] != 1:
        raise ValueError(f"expected one channel and three axes, (1, H, W, S), got {tuple(image.shape)}")
    own = np.asarray(image.affine, np.float64) if isinstance(image, MetaTensor) else np.eye(4)
    turn = Orientation.of(own)
    hu = turn.to_planes(np.asarray(convert_to_numpy(image))[0])
    share = np.zeros_like(hu) if label is None else turn.to_planes(np.asarray(convert_to_numpy(label))[0])
    return HeadScan(hu, share, own @ turn.matrix(hu)), turn


def close_scan(scan: HeadScan, turn: Orientation, like: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Image and share `(1, *S)` float32, in the axes and with the metadata that the image `like` has."""
    stacks = [torch.from_numpy(turn.from_planes(planes))[None] for planes in (scan.hu, scan.share)]
    if not isinstance(like, MetaTensor):
        return stacks[0], stacks[1]
    affine = torch.from_numpy(scan.affine_ras @ np.linalg.inv(turn.matrix(scan.hu))).to(like.affine.dtype)
    return _tensor(stacks[0], affine, like), _tensor(stacks[1], affine, like)


def _tensor(values: torch.Tensor, affine: torch.Tensor, like: MetaTensor) -> MetaTensor:
    meta: Mapping[str, Any] = {key: value for key, value in like.meta.items() if key != "affine"}
    operations = list(like.applied_operations)
    return MetaTensor(values, affine=affine, meta=dict(meta), applied_operations=operations)
