"""Bone on a head CT's own grid: marked before the scan is turned, taken out of the mask of haemorrhage at the end."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_numpy, convert_to_tensor
from numpy.typing import NDArray

from sliceweave.transforms.skull import (
    NARROW_RANGE_HU,
    bone_and_air_hu,
    intensity_range,
    real_values,
    slices_with_brain,
)

BONE = "bone"
"""Key under which `MarkBoned` leaves what is bone."""

_DENSE_HU = 450.0  # halfway from blood to compact bone: a voxel above it is bone by more than half
DENSEST_BLOOD_HU = 85.0


def lowest_of_bone(
    voxels: NDArray[np.float32], affine_ras: NDArray[np.float64], override: tuple[float, float] | None = None
) -> float:
    """Value from which a voxel of a head CT (I, J, K) is bone by more than half; infinite where none can be told.

    In a windowed scan, of grey levels too, the uppermost values are bone, if the window leaves blood its grey and they
    enclose a brain: in a scan without its skull the uppermost are blood.

    Args:
        override: HU that the lowest and the highest grey level stand for, of a scan that has such.
    """
    low, high = intensity_range(real_values(voxels, affine_ras))
    if high > NARROW_RANGE_HU:
        return _DENSE_HU
    white = bone_and_air_hu(low, high)[0]
    white_hu = np.interp(white, (low, high), override) if override else white
    is_told = white_hu >= DENSEST_BLOOD_HU and len(slices_with_brain(voxels, affine_ras)) > 0
    return white if is_told else np.inf


class MarkBoned(MapTransform):
    """Adds `BONE` to a case: which voxels of its head CT are bone by more than half, a bit each.

    Args:
        keys: of the scan `(1, I, J, K)` as it was stored, in HU, windowed or as grey levels.
        override: as of `HeadHU`.
    """

    def __init__(
        self, keys: KeysCollection, override: tuple[float, float] | None = None, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.override = override

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        for key in self.key_iterator(case):
            image = case[key]
            located = isinstance(image, MetaTensor)
            affine_ras = np.asarray(convert_to_numpy(image.affine)) if located else np.eye(4)
            voxels = convert_to_tensor(image, track_meta=False)[0].cpu().numpy()
            lowest = lowest_of_bone(voxels, affine_ras, self.override)
            # a slice at a time and transposed, so that a volume in NIfTI's (Fortran) order is read as it lies
            case[BONE] = np.stack([np.packbits(plane >= lowest, axis=-1) for plane in voxels.T])
        return case


class NoBloodInBoned(MapTransform):
    """Masks `(1, I, J, K)` of haemorrhage on the scan's own grid, in place 0 where `MarkBoned` found bone.

    The network's pixels are larger than a scan's and its window ends far below bone, so that masks of what lies at the
    skull reach into it. A case without `BONE`, or with that of another grid, keeps its mask, as does an empty one.

    Args:
        keys: of the masks.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        if BONE not in case:
            return case
        bone = np.asarray(convert_to_numpy(case[BONE]))
        for key in self.key_iterator(case):
            rows, columns, slices = case[key].shape[1:]
            if bone.shape != (slices, columns, -(-rows // 8)):
                continue
            for number, packed in enumerate(bone):
                plane = case[key][0, :, :, number]
                if plane.any():
                    plane[np.unpackbits(packed, axis=-1, count=rows).T.astype(bool)] = 0
        return case
