"""The neck of a head CT: slices so far below the skull that no blood in them can be intracranial."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type, convert_to_numpy
from numpy.typing import NDArray

from sliceweave.transforms.skull import axial_axis, slices_with_brain
from sliceweave.transforms.swappable import zero_tensor

_BELOW_MM = 30.0  # bone encloses no brain at the foramen magnum, and in some slices above it
_SURE_MM = 80.0  # of brain that bone encloses; after a craniectomy there may be less, and its end is not the skull's


def neck_slices(voxels: NDArray[np.float32], affine_ras: NDArray[np.float64]) -> int:
    """How many of the first slices of a head CT (I, J, K), slices from feet to head, are the neck's.

    Those 30 mm and more below the lowest in which bone encloses brain; none where bone encloses less than 80 mm of it,
    as where there is no head, in a single slice, or where much of the vault is missing. The values may be HU, windowed,
    or scaled to 0…1.
    """
    step_mm = float(np.linalg.norm(affine_ras[:3, 2]))
    slices = slices_with_brain(voxels, affine_ras) if axial_axis(affine_ras) == 2 else np.empty(0)
    if affine_ras[2, 2] <= 0 or len(slices) == 0 or np.ptp(slices) * step_mm < _SURE_MM:
        return 0
    return max(0, int(slices[0] - np.ceil(_BELOW_MM / step_mm)))


class NoBloodInNeckd(MapTransform):
    """Probabilities `(C, H, W, S)` of haemorrhage, 0 in the slices of the neck (see `neck_slices`).

    Args:
        keys: of the probabilities.
        image_key: the image that they belong to, on the same grid, axial slices last and upwards. Without one, or where
            it is no MetaTensor, nothing is changed.
    """

    def __init__(self, keys: KeysCollection, image_key: Hashable = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        image = case.get(self.image_key)
        if not isinstance(image, MetaTensor) or image.ndim != 4:
            return case
        voxels = np.asarray(convert_to_numpy(image)[0])
        count = neck_slices(voxels, np.asarray(convert_to_numpy(image.affine), np.float64).reshape(-1, 4, 4)[0])
        for key in self.key_iterator(case):
            if count and case[key].shape[1:] == image.shape[1:]:
                kept = zero_tensor(case[key].shape)
                kept[..., count:] = case[key][..., count:]
                case[key] = convert_to_dst_type(kept, dst=case[key])[0]
        return case
