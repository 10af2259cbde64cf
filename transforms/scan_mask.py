"""From probabilities on the network's grid to a mask on the scan's own, one slice at a time."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, MapTransform
from monai.utils import TraceKeys, convert_to_numpy, convert_to_tensor
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform
from numpy.typing import NDArray
from torch.nn import functional as F

from sliceweave.transforms.regions import RegionCrop
from sliceweave.transforms.swappable import zeros

UNSURE = (0.25, 0.75)
"""Probabilities between which a voxel is neither clearly lesion nor clearly not."""

UNSURE_VOXELS = "unsure_voxels"
"""Key under which `MaskOnScand` leaves their number."""

_CLEARLY_NOT = 0.2
_KNOWN_STEPS = (["Orientation", "Resize"], ["Orientation", RegionCrop.__name__, "Resize"])


def unsure_voxels(probability: torch.Tensor) -> int:
    """How many voxels of probabilities `(C, *S)` are unsure; of several channels the first is the background."""
    lesion = _lesion(probability)
    return int(((lesion > UNSURE[0]) & (lesion < UNSURE[1])).sum())


def _lesion(probability: torch.Tensor) -> torch.Tensor:
    return probability[0] if len(probability) == 1 else 1 - probability[0]


@dataclass(frozen=True)
class WayBack:
    """How slices of the network's grid lie on the scan's own.

    Attributes:
        box: (2,) size of the cropped plane, which the network's was resized from.
        corner: (2,) where it was cropped from.
        shape: of the scan's own grid.
        affine_ras: (4, 4) of it.
        turn: nibabel's orientation that turns the scan as the network sees it, slices last.
    """

    box: tuple[int, int]
    corner: tuple[int, int]
    shape: tuple[int, int, int]
    affine_ras: NDArray[np.float64]
    turn: NDArray[np.float64]

    @classmethod
    def of(cls, image: MetaTensor) -> "WayBack | None":
        """As MONAI recorded it in a preprocessed image; None where anything but turn, crop and resize was done."""
        steps = image.applied_operations
        if [step[TraceKeys.CLASS_NAME] for step in steps] not in _KNOWN_STEPS:
            return None
        turned, resized = steps[0], steps[-1]
        corner = _corner(steps[1:-1])
        shape, seen, box = (tuple(int(n) for n in step[TraceKeys.ORIG_SIZE]) for step in (turned, steps[1], resized))
        mode = resized[TraceKeys.EXTRA_INFO]["mode"]
        if corner is None or mode != "trilinear" or len(shape) != 3 or not box[2] == seen[2] == image.shape[-1]:
            return None
        affine_ras = np.asarray(convert_to_numpy(turned[TraceKeys.EXTRA_INFO]["original_affine"]), np.float64)
        turn = ornt_transform(io_orientation(affine_ras), io_orientation(convert_to_numpy(image.affine)))
        return cls((box[0], box[1]), corner, (shape[0], shape[1], shape[2]), affine_ras, turn)

    def plane(self, probability: torch.Tensor) -> torch.Tensor:
        """One slice `(C, h, w)` of the network's plane → `(C, *box)`."""
        return F.interpolate(probability[None].float(), self.box, mode="bilinear", align_corners=False)[0]


def _corner(crops: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    """Where the crop begins; None where slices were cropped or anything was padded."""
    if not crops:
        return 0, 0
    (crop,) = crops
    cropped = [int(n) for n in crop[TraceKeys.EXTRA_INFO]["cropped"]]
    padded = crop[TraceKeys.EXTRA_INFO]["pad_info"][TraceKeys.EXTRA_INFO]["padded"]
    if any(cropped[4:]) or np.any(padded):
        return None
    return cropped[0], cropped[2]


class MaskOnScand(MapTransform):
    """Probabilities `(C, h, w, S)` → the mask `(1, I, J, K)` uint8 on the grid of the file, and the unsure voxels.

    What MONAI's `Invertd(nearest_interp=False)` and then the decision give, voxel by voxel, without ever holding
    probabilities at the scan's size: each slice is brought back, decided and forgotten. One in which no pixel of the
    network's plane comes near the threshold stays empty unasked: interpolation exceeds no pixel it is made from.
    Where the preprocessing was more than turning, cropping and resizing, the whole volume is inverted at once.

    Args:
        transform: the preprocessing.
        decision: a dictionary transform of `keys`, probabilities `(C, *S)` → label values `(1, *S)`.
        orig_keys: the image that was preprocessed.

    Raises:
        ValueError: a probability is no number, which would else be taken for nothing found.
    """

    def __init__(
        self,
        keys: KeysCollection,
        transform: Compose,
        decision: MapTransform,
        orig_keys: Hashable = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.decision = decision
        self.orig_key = orig_keys
        self.invert = Invertd(keys, transform, orig_keys, nearest_interp=False)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            if case[key].max().isnan():
                raise ValueError("the network gave NaN: check its weights, or try --bf16 False")
            image = case[self.orig_key]
            way = WayBack.of(image) if isinstance(image, MetaTensor) else None
            if way is None or image.shape[-1] != case[key].shape[-1]:
                case[key], case[UNSURE_VOXELS] = self.at_once(case, key)
            else:
                mask, case[UNSURE_VOXELS] = self.by_slice(case[key], way, key)
                case[key] = MetaTensor(mask, meta={**image.meta, "affine": torch.as_tensor(way.affine_ras)})
        return case

    def by_slice(self, probability: torch.Tensor, way: WayBack, key: Hashable) -> tuple[torch.Tensor, int]:
        """The mask `(1, I, J, K)`, and the unsure voxels."""
        volume = probability.as_tensor() if isinstance(probability, MetaTensor) else probability
        mask = zeros(way.shape, np.uint8, order="F")  # as NIfTI stores it: each slice in one piece
        turned = apply_orientation(mask, way.turn)  # a view
        left, top = (slice(start, start + size) for start, size in zip(way.corner, way.box, strict=True))
        unsure = 0
        for number in self.shown(volume, key):
            plane = way.plane(volume[..., number])
            unsure += unsure_voxels(plane)
            turned[left, top, number] = self.decided(plane, key).cpu().numpy()
        return torch.from_numpy(mask[None]), unsure

    def shown(self, volume: torch.Tensor, key: Hashable) -> list[int]:
        """Numbers of the slices in which some pixel of the network's plane comes near the threshold or exceeds it."""
        slices = volume.unbind(-1)
        highest = torch.stack([_lesion(seen).max() for seen in slices])
        near = highest > _CLEARLY_NOT
        if len(volume) == 1:  # decided voxel by voxel: where the highest is none, none is
            near |= self.decided(highest.view(1, 1, -1), key)[0] > 0
            return [int(number) for number in near.nonzero()]
        return [n for n, seen in enumerate(slices) if near[n] or self.decided(seen, key).any()]

    def decided(self, probability: torch.Tensor, key: Hashable) -> torch.Tensor:
        """Label values `(h, w)` of one slice `(C, h, w)`."""
        labels = self.decision({key: probability})[key][0]
        return (labels.as_tensor() if isinstance(labels, MetaTensor) else labels).to(torch.uint8)

    def at_once(self, case: dict[Hashable, Any], key: Hashable) -> tuple[torch.Tensor, int]:
        """What `by_slice` gives, for any preprocessing that can be inverted."""
        probability = self.invert({**case, key: convert_to_tensor(case[key], track_meta=True)})[key]
        return self.decision({key: probability})[key].to(torch.uint8), unsure_voxels(probability)
