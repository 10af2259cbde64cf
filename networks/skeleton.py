"""The one encoder–decoder forward that every U-shaped network is composed with."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """The map, far edges replicated until every size divides by `multiple`: `(B, C, *S)` → `(B, C, *S')`."""
    pads: list[int] = []
    for axis in range(x.dim() - 1, 1, -1):
        pads += [0, -x.shape[axis] % multiple]
    return F.pad(x, pads, mode="replicate") if sum(pads) > 0 else x


def crop_like(x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """The near corner of `x` at the spatial size of `reference`; undoes `pad_to_multiple`."""
    for axis in range(2, x.dim()):
        x = x.narrow(axis, 0, reference.shape[axis])
    return x


class EncoderDecoder(nn.Module):
    """A U of any depth and any input size: `(B, C_in, *S)` → `(B, C_out, *S)`, logits.

    Args:
        encoder: stages `x → x`; the result of each is a skip, then 2×2 max pooling halves it.
        bottom: what stands at the end of the encoder, `x → x`.
        decoder: stages `(x, skip) → x`, the deepest first, each doubling the size.
        head: `x → logits`.
    """

    def __init__(
        self, encoder: Sequence[nn.Module], bottom: nn.Module, decoder: Sequence[nn.Module], head: nn.Module
    ) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(encoder)
        self.bottom = bottom
        self.decoder = nn.ModuleList(decoder)
        self.head = head

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = pad_to_multiple(image, 1 << len(self.encoder))
        skips: list[torch.Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
            x = F.max_pool2d(x, 2) if x.dim() == 4 else F.max_pool3d(x, 2)
        x = self.bottom(x)
        for level, stage in enumerate(self.decoder):
            x = stage(x, skips[-1 - level])
        return crop_like(self.head(x), image)
