"""The one encoder–decoder forward that every U-shaped network is composed with."""

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Pool
from torch import nn
from torch.nn import functional as F


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """The map, far edges replicated until every size divides by `multiple`: `(B, C, *S)` → `(B, C, *S')`.

    S' is at least twice `multiple`, so that the deepest map keeps two pixels a side: a normalisation cannot take the
    deviation of a single value.
    """
    pads: list[int] = []
    for axis in range(x.dim() - 1, 1, -1):
        pads += [0, max(-x.shape[axis] % multiple, 2 * multiple - x.shape[axis])]
    return F.pad(x, pads, mode="replicate") if sum(pads) > 0 else x


def crop_like(x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """The near corner of `x` at the spatial size of `reference`; undoes `pad_to_multiple`."""
    for axis in range(2, x.dim()):
        x = x.narrow(axis, 0, reference.shape[axis])
    return x


def max_pool(spatial_dims: int) -> nn.Module:
    """2×2 max pooling: `(B, C, *S)` → `(B, C, *S/2)`."""
    return Pool[Pool.MAX, spatial_dims](2)


class EncoderDecoder(nn.Module):
    """A U of any depth and any input size: `(B, C_in, *S)` → the bottom's map and each decoder stage's, full size last.

    The input is padded first (`pad_to_multiple`), so the maps may exceed S: `crop_like` cuts what the head gives.

    Args:
        down: halves what a stage gives before the next stage takes it; the identity where stages are strided.
        encoder: stages `x → x`, the first at full size; the result of each is a skip.
        bottom: what stands at the end of the encoder, `x → x`.
        decoder: stages `(x, skip) → x`, the deepest first, each doubling the size.
    """

    def __init__(
        self, down: nn.Module, encoder: Sequence[nn.Module], bottom: nn.Module, decoder: Sequence[nn.Module]
    ) -> None:
        super().__init__()
        self.down = down
        self.encoder = nn.ModuleList(encoder)
        self.bottom = bottom
        self.decoder = nn.ModuleList(decoder)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        x = pad_to_multiple(image, 1 << len(self.encoder))
        skips: list[torch.Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
            x = self.down(x)
        maps = [self.bottom(x)]
        for level, stage in enumerate(self.decoder):
            maps.append(stage(maps[-1], skips[-1 - level]))
        return maps
