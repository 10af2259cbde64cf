"""Where a pixel lies, as channels, for maps of any size."""

import math

import torch
from torch import nn


class PositionEncoding(nn.Module):
    """The map plus the sinusoidal `position_encoding` of its size: `(B, C, *S)` → `(B, C, *S)`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + position_encoding(x)


def position_encoding(x: torch.Tensor) -> torch.Tensor:
    """Sinusoidal position along each axis for a map of any size: `(B, C, *S)` → `(C, *S)`.

    Each of the D axes owns 2·⌊C / 2D⌋ channels, sines first; channels left over are zero. Channel k of an axis has the
    frequency 10000^(−k/K). Vaswani et al., *Attention is all you need*, 2017, arXiv:1706.03762.
    """
    size = x.shape[2:]
    dims = len(size)
    frequencies = x.shape[1] // (2 * dims)
    exponent = torch.arange(frequencies, device=x.device, dtype=torch.float32) / max(frequencies, 1)
    omega = torch.exp(-math.log(10000.0) * exponent)
    code = torch.zeros(x.shape[1:], device=x.device, dtype=torch.float32)
    for axis in range(dims):
        angle = torch.outer(omega, torch.arange(size[axis], device=x.device, dtype=torch.float32))
        shape = [2 * frequencies] + [1] * dims
        shape[axis + 1] = size[axis]
        wave = torch.cat([angle.sin(), angle.cos()]).view(shape)
        code[2 * frequencies * axis : 2 * frequencies * (axis + 1)] += wave
    return code.to(x.dtype)
