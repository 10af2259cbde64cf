"""Lesions of which a network is nowhere sure, taken out of its probabilities."""

from typing import Literal

import cc3d
import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_numpy, convert_to_tensor
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from sliceweave.transforms.dictionary import Eachd
from sliceweave.transforms.swappable import zeros


class KeepSureLesions(Transform):
    """Probabilities `(C, *S)` of a lesion, 0 where what exceeds the threshold nowhere reaches certainty.

    Hysteresis: a low threshold gives lesions their full extent, a high one decides whether there are any. Lesions are
    connected by faces. Where nothing is sure nothing is left above the threshold; what is below it stays.

    Args:
        threshold: probability from which a voxel counts.
        sure: that some voxel of each lesion must exceed; at or below the threshold nothing is taken out.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(self, threshold: float, sure: float) -> None:
        self.threshold = threshold
        self.sure = sure

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        probability = convert_to_tensor(img, track_meta=get_track_meta())
        if self.sure <= self.threshold:
            return probability
        channels = np.asarray(convert_to_numpy(probability), np.float32)
        found = [self.unsure(channel) for channel in channels]
        if not any(is_unsure.any() for _, is_unsure in found):
            return probability
        kept = zeros(channels.shape)
        kept[:] = channels
        for channel, (box, is_unsure) in zip(kept, found, strict=True):
            channel[box][is_unsure] = 0
        return convert_to_dst_type(kept, dst=probability)[0]

    def unsure(self, channel: NDArray[np.float32]) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
        """The box of all that exceeds the threshold in a channel, and which voxels in it belong to unsure lesions."""
        is_found = channel > self.threshold
        box = (find_objects(is_found.view(np.uint8)) or [(slice(0),) * channel.ndim])[0]
        by_faces: Literal[4, 6] = 4 if channel.ndim == 2 else 6
        lesions = cc3d.connected_components(is_found[box].astype(np.uint8, order="C"), connectivity=by_faces)
        is_unsure = np.arange(lesions.max(initial=0) + 1) > 0
        is_unsure[lesions[channel[box] > self.sure]] = False
        return box, is_unsure[lesions]


class KeepSureLesionsd(Eachd):
    """Dictionary twin of `KeepSureLesions`."""

    def __init__(self, keys: KeysCollection, threshold: float, sure: float, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, KeepSureLesions(threshold, sure), allow_missing_keys)
