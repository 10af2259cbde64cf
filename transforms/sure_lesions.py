"""Lesions of which a network is nowhere sure, taken out of its probabilities."""

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import Transform
from monai.utils import TransformBackends, convert_to_dst_type, convert_to_numpy, convert_to_tensor
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
        kept = [self.without_unsure(channel) for channel in np.asarray(convert_to_numpy(probability), np.float32)]
        return convert_to_dst_type(np.stack(kept), dst=probability)[0]

    def without_unsure(self, channel: np.ndarray) -> np.ndarray:
        """One channel."""
        is_kept = apply_hysteresis_threshold(channel, self.threshold, self.sure)
        return np.where((channel > self.threshold) & ~is_kept, np.float32(0), channel)


class KeepSureLesionsd(Eachd):
    """Dictionary twin of `KeepSureLesions`."""

    def __init__(self, keys: KeysCollection, threshold: float, sure: float, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, KeepSureLesions(threshold, sure), allow_missing_keys)
