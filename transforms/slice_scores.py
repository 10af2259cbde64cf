"""How much each slice looks like one with a structure in it: a number to sort slices by, whatever the threshold."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_numpy
from numpy.typing import NDArray

from sliceweave.transforms.scan_mask import WayBack

SLICE_SCORES = "slice_scores"
"""Key under which `SliceScoresd` leaves them."""

_SCORED_MM2 = 50.0


def slice_scores(probability: torch.Tensor, pixel_mm2: float) -> NDArray[np.float64]:
    """Mean of the 50 mm² of highest probability in each slice: `(C, H, W, S)` → (labels, S), from 0 to 1.

    Of several channels the first is the background. A plane smaller than that is taken whole, a pixel that is larger by
    itself.
    """
    labels = (probability if len(probability) == 1 else probability[1:]).flatten(1, 2)
    count = max(1, min(labels.shape[1], round(_SCORED_MM2 / pixel_mm2)))
    means = [pixels.topk(count, sorted=False).values.mean(-1) for pixels in labels.unbind(-1)]
    return torch.stack(means, -1).double().cpu().numpy()


class SliceScoresd(MapTransform):
    """Leaves the scores of a study's slices (see `slice_scores`), in the order in which the slices lie in the file.

    None where the preprocessing was more than turning, cropping and resizing in the plane.

    Args:
        keys: probabilities `(C, H, W, S)` on the network's grid.
        image_key: the preprocessed image on the same grid.
    """

    def __init__(self, keys: KeysCollection, image_key: Hashable = "image", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        case = dict(data)
        image = case.get(self.image_key)
        way = WayBack.of(image) if isinstance(image, MetaTensor) else None
        for key in self.key_iterator(case):
            if image is None or way is None or case[key].shape[1:] != image.shape[1:]:
                continue
            across, along = np.asarray(convert_to_numpy(image.affine), np.float64)[:3, :2].T
            volume = case[key].as_tensor() if isinstance(case[key], MetaTensor) else case[key]
            scores = slice_scores(volume, float(np.linalg.norm(np.cross(across, along))))
            (direction,) = way.turn[way.turn[:, 0] == 2, 1]
            case[SLICE_SCORES] = scores[:, :: int(direction)]
        return case
