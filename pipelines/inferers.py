"""How a network meets a volume."""

from collections.abc import Callable
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type
from tqdm import tqdm

from sliceweave.pipelines.options import whole_number, yes_or_no
from sliceweave.transforms import gather_slab

Network = Callable[..., torch.Tensor]


class SlabInferer(Inferer):
    """A 2D or 2.5D network over every slice of a volume: `(B, C, *S)` → logits `(B, K, *S)`.

    The network sees `(batch, C·slab, *plane)`. Neighbours are gathered as they are needed, edges replicated, so that
    beside the result only `batch · slab` slices are held.

    Args:
        slab: slices the network sees at once, odd; 1 is plain 2D.
        axis: spatial axis along which slices are stacked; 2 is axial in RAS.
        batch: slices handed to the network at once; one is fastest on most processors, a GPU wants more.
        progress: a bar over the slices, on a terminal only.

    Raises:
        InputError: a slab without a middle, or no batch.
    """

    def __init__(self, slab: int = 1, axis: int = 2, batch: int = 1, progress: bool = False) -> None:
        self.slab = whole_number(slab, "slab", odd=True)
        self.axis = axis
        self.batch = whole_number(batch, "batch")
        self.progress = progress

    def __call__(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        starts = [(item, first) for item in range(len(volumes)) for first in range(0, self.slices(volumes), self.batch)]
        logits = torch.empty(0)
        for item, first in tqdm(starts, "slices", leave=False, disable=None if self.progress else True):
            slabs = self.slabs(volumes[item], first)
            result = network(slabs, *args, **kwargs)
            if not logits.numel():
                logits = result.new_empty((len(volumes), self.slices(volumes), *result.shape[1:]))
            logits[item, first : first + len(slabs)] = result
        # slices were stacked first, so that each was written in one piece; only the view is turned
        turned, *_ = convert_to_dst_type(logits.movedim(1, self.axis + 2), inputs, dtype=logits.dtype)
        return turned

    def slices(self, volumes: torch.Tensor) -> int:
        return volumes.shape[self.axis + 2]

    def slabs(self, volume: torch.Tensor, first: int) -> torch.Tensor:
        """The slabs of one batch, `(batch, C·slab, *plane)`, from slice `first` on."""
        last = min(first + self.batch, volume.shape[self.axis + 1])
        return torch.stack([gather_slab(volume, index, self.slab, self.axis) for index in range(first, last)])


class MixedPrecision(Inferer):
    """Another inferer under bf16 autocast; the logits, one tensor or a list of them, come back as float32.

    Args:
        inferer: what runs the network.
        enabled: False runs the inferer as it is, under whatever autocast is around it.

    Raises:
        InputError: `enabled` is neither yes nor no.
    """

    def __init__(self, inferer: Inferer, enabled: bool = True) -> None:
        self.inferer = inferer
        self.enabled = yes_or_no(enabled, "bf16")

    def __call__(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> Any:
        if not self.enabled:
            return self.inferer(inputs, network, *args, **kwargs)
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            logits = self.inferer(inputs, network, *args, **kwargs)
        return [scale.float() for scale in logits] if isinstance(logits, list) else logits.float()
