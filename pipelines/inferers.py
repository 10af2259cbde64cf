"""How a network meets a volume."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type
from tqdm import tqdm

from sliceweave.pipelines.options import whole_number, yes_or_no
from sliceweave.transforms import gather_slab
from sliceweave.transforms.swappable import zero_tensor

Network = Callable[..., torch.Tensor]

_CERTAIN = 20.0  # as a logit: a probability of 1 - 2e-9
_SOMETHING = -3.0  # a probability of 0.05; bf16 is off by a tenth at most


class SlabInferer(Inferer):
    """A 2D or 2.5D network over every slice of a volume: `(B, C, *S)` → logits `(B, K, *S)`.

    The network sees `(batch, C·slab, *plane)`. Neighbours are gathered as they are needed, edges replicated, so that
    beside the result only `batch · slab` slices are held.

    Args:
        slab: slices the network sees at once, odd; 1 is plain 2D.
        axis: spatial axis along which slices are stacked; 2 is axial in RAS.
        batch: slices handed to the network at once; one is fastest on most processors, a GPU wants more.
        progress: a bar over the slices, on a terminal only.
        skip_empty: a slice whose slab has one value throughout, such as air above a head, is background without
            asking the network: there is nothing to be seen in it.

    Raises:
        InputError: a slab without a middle, or no batch.
    """

    def __init__(
        self, slab: int = 1, axis: int = 2, batch: int = 1, progress: bool = False, skip_empty: bool = False
    ) -> None:
        self.slab = whole_number(slab, "slab", odd=True)
        self.axis = axis
        self.batch = whole_number(batch, "batch")
        self.progress = progress
        self.skip_empty = skip_empty

    def __call__(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        asked = [self.asked(volume) for volume in volumes]
        batches = [(item, numbers) for item, all_ in enumerate(asked) for numbers in self.batches(all_ or [0])]
        logits = torch.empty(0)
        for item, numbers in tqdm(batches, "slices", leave=False, disable=None if self.progress else True):
            with torch.inference_mode(not torch.is_grad_enabled()):
                result = network(self.slabs(volumes[item], numbers), *args, **kwargs)
            if not logits.numel():
                logits = _background(result, (len(volumes), self.slices(volumes)))
            if asked[item]:
                logits[item, numbers] = result
        # slices were stacked first, so that each was written in one piece; only the view is turned
        turned, *_ = convert_to_dst_type(logits.movedim(1, self.axis + 2), inputs, dtype=logits.dtype)
        return turned

    def slices(self, volumes: torch.Tensor) -> int:
        return volumes.shape[self.axis + 2]

    def batches(self, numbers: list[int]) -> list[list[int]]:
        return [numbers[first : first + self.batch] for first in range(0, len(numbers), self.batch)]

    def asked(self, volume: torch.Tensor) -> list[int]:
        """Numbers of the slices that the network is asked about: with `skip_empty` those that show something."""
        numbers = range(volume.shape[self.axis + 1])
        if not self.skip_empty:
            return [*numbers]
        in_slice = [axis for axis in range(volume.dim()) if axis != self.axis + 1]
        lows, highs = volume.amin(in_slice)[None], volume.amax(in_slice)[None]
        return [n for n in numbers if self.around(highs, n).max() > self.around(lows, n).min()]

    def around(self, values: torch.Tensor, number: int) -> torch.Tensor:
        """Of one value for each slice `(1, slices)` those of a slab."""
        return gather_slab(values, number, self.slab, 0)

    def slabs(self, volume: torch.Tensor, numbers: Sequence[int]) -> torch.Tensor:
        """The slabs of one batch, `(batch, C·slab, *plane)`."""
        return torch.stack([gather_slab(volume, index, self.slab, self.axis) for index in numbers])


def _background(result: torch.Tensor, volumes_slices: tuple[int, int]) -> torch.Tensor:
    """Logits `(volumes, slices, K, *plane)` of nothing: of several channels the first is the background."""
    shape = (*volumes_slices, *result.shape[1:])
    on_file = result.device.type == "cpu" and result.dtype == torch.float32
    logits = zero_tensor(shape) if on_file else result.new_empty(shape)
    logits.fill_(-_CERTAIN)
    if result.shape[1] > 1:
        logits[:, :, 0] = _CERTAIN
    return logits


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


class QuickLook(Inferer):
    """Another inferer whose network looks in bf16 first, and again in float32 where that shows something.

    A slice without the structure costs a bf16 pass, and one that holds it a float32 pass: while something is found, the
    next slices are looked at in float32 at once. So no mask is ever decided in bf16, which would move its edge; but a
    slice in which bf16 gives no pixel a probability of 0.05 has its logits.

    Args:
        inferer: what runs the network, over slices in their order.
        enabled: False runs the inferer as it is.

    Raises:
        InputError: `enabled` is neither yes nor no.
    """

    def __init__(self, inferer: Inferer, enabled: bool = True) -> None:
        self.inferer = inferer
        self.enabled = yes_or_no(enabled, "bf16")

    def __call__(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        return self.inferer(inputs, _looking(network) if self.enabled else network, *args, **kwargs)


def _looking(network: Network) -> Network:
    """The network, in bf16 from the first batch without anything in it to the next with something."""
    found = False

    def look(slabs: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        nonlocal found
        if not found:
            with torch.autocast(slabs.device.type, dtype=torch.bfloat16):
                glance = network(slabs, *args, **kwargs).float()
            if not shows_something(glance):
                return glance
        logits = network(slabs, *args, **kwargs)
        found = shows_something(logits)
        return logits

    return look


def shows_something(logits: torch.Tensor) -> bool:
    """Whether any pixel of logits `(B, K, *S)` may be more than background, the first of several channels."""
    if logits.shape[1] == 1:
        return bool(logits.max() > _SOMETHING)
    return bool((logits[:, 1:].logsumexp(1) - logits[:, 0]).max() > _SOMETHING)
