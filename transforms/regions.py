"""The part of the plane that a network looks at: its pixels go where they matter, whatever the field of view."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.transforms import CropForegroundd
from monai.utils import convert_to_numpy
from skimage.morphology import dilation, disk, opening
from skimage.segmentation import clear_border

_TISSUE = 0.02
_SEEN_SHARE = 0.1  # of the slices
_ROD = 0.012  # of the plane's longer side
_AIR = 0.567  # -400 HU in the lung window
_COARSE_PIXELS = 128
_AIRWAY = disk(1)
_DENSE_RIM = disk(4)  # of lung without air


def whole(image: NdarrayOrTensor) -> torch.Tensor:
    """Mask `(1, *S)` of everything in an image `(C, *S)`."""
    return torch.ones((1, *image.shape[1:]), dtype=torch.bool)


def lungs(image: NdarrayOrTensor) -> torch.Tensor:
    """Mask `(1, H, W, S)` around the lungs of a chest CT `WindowHU("lung")`; everything where there are none.

    True wherever any slice has air within the body, and a little further, on a grid of some 128 × 128 cells. Air that
    reaches the edge of the plane does not count, nor do narrow passages of it.
    """
    voxels = np.asarray(convert_to_numpy(image))[0]
    step = max(1, round(max(voxels.shape[:2]) / _COARSE_PIXELS))
    planes = np.moveaxis(voxels[::step, ::step] < _AIR, 2, 0)
    inside = np.logical_or.reduce([opening(clear_border(plane), _AIRWAY) for plane in planes])
    if not inside.any():
        return whole(image)
    fine = dilation(inside, _DENSE_RIM).repeat(step, 0).repeat(step, 1)[: voxels.shape[0], : voxels.shape[1]]
    return torch.from_numpy(fine)[None, ..., None].expand(1, *voxels.shape)


def body(image: NdarrayOrTensor) -> torch.Tensor:
    """Mask `(1, H, W, S)` of the largest thing in a CT windowed to 0…1; everything where there is none.

    Seen along the slices: what is thinner than a hundredth of the plane (table, head rest, cables) is opened away, then
    the largest region stays.
    """
    voxels = np.asarray(convert_to_numpy(image))[0]
    seen = (voxels > _TISSUE).mean(-1) > _SEEN_SHARE
    size = 2 * max(1, round(_ROD * max(seen.shape) / 2)) + 1
    opened = cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_OPEN, np.ones((size, size), np.uint8))
    count, regions, stats, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    if count < 2:
        return whole(image)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return torch.from_numpy(regions == largest)[None, ..., None].expand(1, *voxels.shape)


REGIONS: dict[str, Callable[[NdarrayOrTensor], torch.Tensor]] = {"whole": whole, "body": body, "lungs": lungs}
"""What can be cropped to: each finds the mask of it in an image that is windowed as its bundle windows it."""


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
        super().__init__(keys, "image", REGIONS[region], allow_smaller=True, start_coord_key=None, end_coord_key=None)
