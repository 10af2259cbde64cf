"""The part of the plane that a network looks at: its pixels go where they matter, whatever the field of view."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import CropForeground, CropForegroundd
from monai.transforms.utils import generate_spatial_bounding_box
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from skimage.morphology import dilation, disk, opening
from skimage.segmentation import clear_border

_TISSUE = 0.02
_SEEN_SHARE = 0.1  # of the slices
_ROD = 0.012  # of the plane's longer side
_AIR = 0.567  # -400 HU in the lung window
_COARSE_PIXELS = 128
_AIRWAY = disk(1)
_DENSE_RIM = disk(4)  # of lung without air


@dataclass(frozen=True)
class Region:
    """A part of the plane, found in all slices together: a mask `(1, H, W, S)` of an image `(C, H, W, S)`.

    Attributes:
        seen: voxels (H, W, S) → counts, which add up over the slices of a study.
        found: those and the plane's size → mask (H, W); None where there is no such region: then it is everything.
    """

    seen: Callable[[NDArray[np.float32]], NDArray[np.int64]]
    found: Callable[[NDArray[np.int64], tuple[int, ...]], NDArray[np.bool_] | None]

    def __call__(self, image: NdarrayOrTensor) -> torch.Tensor:
        return self.mask(self.seen(_voxels(image)), image.shape[1:]).expand(1, *image.shape[1:])

    def box(self, counts: NDArray[np.int64], shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first voxel of the box around it, all slices, in a study of that shape, and the one after the last."""
        first, end = generate_spatial_bounding_box(self.mask(counts, shape), allow_smaller=True)
        return np.array([*first[:2], 0]), np.array([*end[:2], shape[2]])

    def mask(self, counts: NDArray[np.int64], shape: tuple[int, ...]) -> torch.Tensor:
        """The mask `(1, H, W, 1)` in a study of that shape (H, W, S)."""
        found = self.found(counts, shape)
        return torch.from_numpy(np.ones(shape[:2], bool) if found is None else found)[None, ..., None]


def _voxels(image: NdarrayOrTensor) -> NDArray[np.float32]:
    return np.asarray(convert_to_tensor(image, track_meta=False)[0].cpu())


def _lungs_seen(voxels: NDArray[np.float32]) -> NDArray[np.int64]:
    step = _coarse_step(voxels.shape)
    planes = np.moveaxis(voxels[::step, ::step] < _AIR, 2, 0)
    return np.sum([opening(clear_border(plane), _AIRWAY) for plane in planes], axis=0, dtype=np.int64)


def _lungs_found(counts: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    if not counts.any():
        return None
    step = _coarse_step(shape)
    fine: NDArray[np.bool_] = dilation(counts > 0, _DENSE_RIM).repeat(step, 0).repeat(step, 1)
    return fine[: shape[0], : shape[1]]


def _coarse_step(shape: tuple[int, ...]) -> int:
    return max(1, round(max(shape[:2]) / _COARSE_PIXELS))


def _body_seen(voxels: NDArray[np.float32]) -> NDArray[np.int64]:
    return (voxels > _TISSUE).sum(-1, dtype=np.int64)


def _body_found(counts: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    seen = counts / shape[2] > _SEEN_SHARE
    size = 2 * max(1, round(_ROD * max(seen.shape) / 2)) + 1
    opened = cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    count, regions, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return None
    is_largest: NDArray[np.bool_] = regions == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return is_largest


def _nothing_seen(_voxels: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _nothing_found(_counts: NDArray[np.int64], _shape: tuple[int, ...]) -> None:
    return None


whole = Region(_nothing_seen, _nothing_found)
"""Everything."""

lungs = Region(_lungs_seen, _lungs_found)
"""Around the lungs of a chest CT `WindowHU("lung")`.

True wherever any slice has air within the body, and a little further, on a grid of some 128 × 128 cells. Air that
reaches the edge of the plane does not count, nor do narrow passages of it.
"""

body = Region(_body_seen, _body_found)
"""The largest thing in a CT windowed to 0…1.

Seen along the slices: what is thinner than a hundredth of the plane (table, head rest, cables) is opened away, then the
largest region stays.
"""

REGIONS: dict[str, Region] = {"whole": whole, "body": body, "lungs": lungs}
"""What can be cropped to: each finds the mask of it in an image that is windowed as its bundle windows it."""


class RegionCrop(CropForeground):
    """MONAI's crop to the box of a mask, which is the same in all slices and need not be looked for in each."""

    def compute_bounding_box(self, img: torch.Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        region = cast(Region, self.select_fn)
        return region.box(region.seen(_voxels(img)), img.shape[1:])


class CropToRegiond(CropForegroundd):
    """A case cropped to the box around a region of its `image`: `(C, H, W, S)` → `(C, h, w, s)`; can be inverted.

    Args:
        region: one of `REGIONS`.

    Raises:
        ValueError: it is none of them.
    """

    def __init__(self, keys: KeysCollection, region: str = "whole") -> None:
        if region not in REGIONS:
            raise ValueError(f"region is one of {', '.join(REGIONS)}, got {region!r}")
        self.region = REGIONS[region]
        super().__init__(keys, "image", self.region, allow_smaller=True, start_coord_key=None, end_coord_key=None)
        self.cropper = RegionCrop(self.region, allow_smaller=True)
