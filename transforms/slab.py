"""2.5D: a slice and its neighbours as channels."""

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import Transform
from monai.utils import TransformBackends, convert_to_tensor

from sliceweave.transforms.dictionary import Eachd


def gather_slab(volume: torch.Tensor, index: int, width: int, axis: int) -> torch.Tensor:
    """Slice `index` amid its neighbours as channels, edges replicated: `(C, *S)` → `(C·width, *S without axis)`.

    Args:
        index: slice number along `axis`.
        width: slices in the slab, odd; the slice itself is in the middle.
        axis: spatial axis along which slices are stacked, 0 for the first after the channel.

    Raises:
        ValueError: an even width.
        IndexError: no such slice.
    """
    if width % 2 == 0:
        raise ValueError(f"a slab is centred on its slice and needs an odd width, got {width}")
    slices = volume.shape[axis + 1]
    if not 0 <= index < slices:
        raise IndexError(f"slice {index} of a volume with {slices}")
    picks = torch.arange(index - width // 2, index + width // 2 + 1, device=volume.device).clamp(0, slices - 1)
    return volume.index_select(axis + 1, picks).movedim(axis + 1, 1).flatten(0, 1)


class AdjacentSlices(Transform):
    """Every slice's neighbours along `axis` as channels, edges replicated: `(C, *S)` → `(C·width, *S)`.

    The grid stays as it is, so there is nothing to invert. Costs `width` times the volume's memory; `SlabInferer`
    gathers the same slabs one at a time instead. `width` and `axis` as in `gather_slab`.
    """

    backend = [TransformBackends.TORCH]

    def __init__(self, width: int, axis: int = 2) -> None:
        self.width = width
        self.axis = axis

    def __call__(self, img: NdarrayOrTensor) -> torch.Tensor:
        volume = convert_to_tensor(img, track_meta=get_track_meta())
        slabs = [gather_slab(volume, i, self.width, self.axis) for i in range(volume.shape[self.axis + 1])]
        return torch.stack(slabs, dim=self.axis + 1)


class AdjacentSlicesd(Eachd):
    """Dictionary twin of `AdjacentSlices`."""

    def __init__(self, keys: KeysCollection, width: int, axis: int = 2, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, AdjacentSlices(width, axis), allow_missing_keys)
