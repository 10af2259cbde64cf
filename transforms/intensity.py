"""Intensities: HU windows, local contrast, median filter."""

import cv2
import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_tensor
from torch.nn import functional as F

from sliceweave.transforms.dictionary import Eachd

WINDOWS_HU = {
    "head": (50.0, 100.0),
    "blood": (60.0, 160.0),
    "bone": (500.0, 2000.0),
    "liver": (60.0, 160.0),
    "lung": (-500.0, 1500.0),
}
"""Named CT windows: (level, width) in HU."""


class WindowHU(Transform):
    """A CT window mapped to 0…1 and clipped there: `(C, *S)` in HU → `(C, *S)` float32.

    Padding values below the window (−1024, −1500, −2048, −3024, …) become 0.

    Args:
        level: the window's centre in HU, or the name of a preset in `WINDOWS_HU`.
        width: the window's width in HU; left out for a preset. Level 60, width 160 is −20…140 HU.

    Raises:
        ValueError: an unknown preset, or a width that is not positive.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, level: float | str, width: float | None = None) -> None:
        if isinstance(level, str):
            if level not in WINDOWS_HU:
                raise ValueError(f"unknown window '{level}': choose from {sorted(WINDOWS_HU)}")
            level, width = WINDOWS_HU[level]
        if width is None or width <= 0:
            raise ValueError(f"a window needs a positive width in HU, got {width}")
        self.low_hu = level - width / 2
        self.width_hu = width

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        image = convert_to_tensor(img, dtype=torch.float32, track_meta=get_track_meta())
        return (image - self.low_hu).div_(self.width_hu).clamp_(0, 1)

    def for_slices_of(self, _image: torch.Tensor) -> "WindowHU":
        """What gives any slices of an image the values they have in the whole; see `LeanCompose`."""
        return self


class CLAHE(Transform):
    """Contrast-limited adaptive histogram equalisation of each slice: `(C, *S)` in 0…1 → `(C, *S)` in 0…1, float32.

    `clip_limit` and `tiles` mean what they mean in OpenCV (256 bins, the limit a multiple of the mean bin count, linear
    interpolation between tile centres), but grey values between two bins are interpolated, not rounded to 8 bits.
    `benchmarks/preprocessing.py` compares the libraries: each rounds, or clips by another measure.
    Zuiderveld, *Contrast limited adaptive histogram equalization*, Graphics Gems IV, 1994.

    Args:
        clip_limit: highest bin, as a multiple of the mean bin.
        tiles: number of tiles along each side of a slice.
        axis: spatial axis along which slices are stacked; None for an image of two spatial axes.

    Raises:
        ValueError: grey values outside 0…1 (window first).
    """

    backend = [TransformBackends.TORCH]
    bins = 256

    def __init__(self, clip_limit: float = 2.0, tiles: int = 8, axis: int | None = 2) -> None:
        self.clip_limit = clip_limit
        self.tiles = tiles
        self.axis = axis

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        image = convert_to_tensor(img, dtype=torch.float32, track_meta=get_track_meta())
        if image.numel() and not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(f"CLAHE expects grey values in 0…1, got {image.min():g}…{image.max():g}: window first")
        stack = slices_first(convert_to_tensor(image, track_meta=False), self.axis)
        equalised = torch.cat([self.equalise(plane) for plane in stack.flatten(0, 1).split(1)])
        return convert_to_dst_type(slices_back(equalised.view(stack.shape), self.axis), dst=image)[0]

    def equalise(self, plane: torch.Tensor) -> torch.Tensor:
        """One slice `(1, H, W)`, read off the cube of its tiles' curves: bin × tile row × tile column."""
        height, width = plane.shape[1:]
        pads = [0, -width % self.tiles, 0, -height % self.tiles]
        padded = F.pad(plane[None], pads, mode="reflect" if max(pads) < min(height, width) else "replicate")
        curves = self.tile_curves(padded[0, 0])
        rows = pixel_positions(height, padded.shape[2])
        columns = pixel_positions(width, padded.shape[3])
        # a curve's k-th value belongs to grey level k / (bins - 1); grid_sample puts its centre at (k + 0.5) / bins
        levels = (plane[0] * (self.bins - 1) + 0.5) * (2 / self.bins) - 1
        where = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width), levels], dim=-1)
        return F.grid_sample(curves[None, None], where[None, None], padding_mode="border", align_corners=False)[0, 0]

    def tile_curves(self, plane: torch.Tensor) -> torch.Tensor:
        """Grey-value curves of the tiles, `(bins, tiles, tiles)`: the clipped histograms' cumulative sums."""
        rows, columns = plane.shape[0] // self.tiles, plane.shape[1] // self.tiles
        grey = (plane * (self.bins - 1) + 0.5).long().view(self.tiles, rows, self.tiles, columns)
        tile = torch.arange(self.tiles**2).view(self.tiles, 1, self.tiles, 1)
        counts = torch.bincount((grey + self.bins * tile).flatten(), minlength=self.bins * self.tiles**2)
        histogram = counts.view(self.tiles, self.tiles, self.bins)
        limit = max(int(self.clip_limit * rows * columns / self.bins), 1)
        excess = (histogram - limit).clamp_(min=0).sum(-1, keepdim=True)
        clipped = histogram.clamp_(max=limit) + self.shares(excess)
        return (clipped.cumsum(-1) / (rows * columns)).float().permute(2, 0, 1)

    def shares(self, excess: torch.Tensor) -> torch.Tensor:
        """What each bin gets of the clipped counts, whole ones, as OpenCV deals them out: `(…, 1)` → `(…, bins)`."""
        rest = excess % self.bins
        step = (self.bins // rest.clamp(min=1)).clamp(min=1)
        bins = torch.arange(self.bins)
        return excess // self.bins + ((bins % step == 0) & (bins // step < rest))


def pixel_positions(size: int, padded_size: int) -> torch.Tensor:
    """Pixel centres of the first `size` pixels of an axis in `grid_sample`'s −1…1 of the whole padded axis."""
    return (torch.arange(size, dtype=torch.float32) + 0.5) * (2 / padded_size) - 1


def slices_first(image: torch.Tensor, axis: int | None) -> torch.Tensor:
    """`(C, *S)` → `(C, slices, H, W)`; one slice where `axis` is None."""
    return image.unsqueeze(1) if axis is None else image.movedim(axis + 1, 1)


def slices_back(stack: torch.Tensor, axis: int | None) -> torch.Tensor:
    """Undoes `slices_first`."""
    return stack.squeeze(1) if axis is None else stack.movedim(1, axis + 1)


class MedianDenoise(Transform):
    """Median of each pixel's neighbourhood within its slice: `(C, *S)` → `(C, *S)` float32, edges replicated.

    Args:
        size: side of the square neighbourhood in pixels, 3 or 5.
        axis: spatial axis along which slices are stacked; None for an image of two spatial axes.

    Raises:
        ValueError: another size.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(self, size: int = 3, axis: int | None = 2) -> None:
        if size not in (3, 5):
            raise ValueError(f"median size is 3 or 5 pixels, got {size}")
        self.size = size
        self.axis = axis

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        image = convert_to_tensor(img, dtype=torch.float32, track_meta=get_track_meta())
        stack = slices_first(convert_to_tensor(image, track_meta=False), self.axis)
        planes = stack.flatten(0, 1).contiguous().cpu().numpy()
        smooth = np.stack([cv2.medianBlur(plane, self.size) for plane in planes])
        return convert_to_dst_type(slices_back(torch.from_numpy(smooth).view(stack.shape), self.axis), dst=image)[0]


class WindowHUd(Eachd):
    """Dictionary twin of `WindowHU`."""

    def __init__(
        self, keys: KeysCollection, level: float | str, width: float | None = None, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, WindowHU(level, width), allow_missing_keys)


class CLAHEd(Eachd):
    """Dictionary twin of `CLAHE`."""

    def __init__(
        self,
        keys: KeysCollection,
        clip_limit: float = 2.0,
        tiles: int = 8,
        axis: int | None = 2,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, CLAHE(clip_limit, tiles, axis), allow_missing_keys)


class MedianDenoised(Eachd):
    """Dictionary twin of `MedianDenoise`."""

    def __init__(
        self, keys: KeysCollection, size: int = 3, axis: int | None = 2, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, MedianDenoise(size, axis), allow_missing_keys)
