"""Lesions of which a network is nowhere sure, taken out of its probabilities."""

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_numpy, convert_to_tensor
from scipy.ndimage import find_objects
from skimage.filters import apply_hysteresis_threshold

from sliceweave.transforms.dictionary import Eachd


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
        dropped = [self.unsure(channel) for channel in channels]
        if not any(len(places) for places in dropped):
            return probability
        kept = channels.copy()
        for channel, places in zip(kept, dropped, strict=True):
            channel[tuple(places.T)] = 0
        return convert_to_dst_type(kept, dst=probability)[0]

    def unsure(self, channel: np.ndarray) -> np.ndarray:
        """Indices (N, axes) of a channel's voxels in lesions of which nothing is sure."""
        boxes = find_objects((channel > self.threshold).view(np.uint8))
        if not boxes:
            return np.empty((0, channel.ndim), int)
        part = channel[boxes[0]]  # all lesions are in this one
        is_unsure = (part > self.threshold) & ~apply_hysteresis_threshold(part, self.threshold, self.sure)
        return np.argwhere(is_unsure) + [side.start for side in boxes[0]]


class KeepSureLesionsd(Eachd):
    """Dictionary twin of `KeepSureLesions`."""

    def __init__(self, keys: KeysCollection, threshold: float, sure: float, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, KeepSureLesions(threshold, sure), allow_missing_keys)
