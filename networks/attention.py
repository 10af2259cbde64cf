"""Attention bricks shared by the papers, in 2D and 3D."""

import math

import torch
from torch import nn
from torch.nn import functional as F


class ChannelAttention(nn.Module):
    """Scales each channel by a weight in 0…1: `(B, C, *S)` → `(B, C, *S)`.

    Global average and maximum go through one shared two-layer perceptron, are added, and pass a sigmoid.
    Woo et al., *CBAM: convolutional block attention module*, 2018, doi:10.1007/978-3-030-01234-2_1.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.flatten(2)
        weight = torch.sigmoid(self.mlp(pixels.mean(-1)) + self.mlp(pixels.amax(-1)))
        return (pixels * weight.unsqueeze(-1)).view_as(x)


class SpatialAttention(nn.Module):
    """Scales each pixel by a weight in 0…1: `(B, C, *S)` → `(B, C, *S)`.

    The channels' mean and maximum go through one 7×7 convolution and a sigmoid. Woo et al., 2018, as above.
    """

    def __init__(self, spatial_dims: int) -> None:
        super().__init__()
        conv = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        self.conv = conv(2, 1, kernel_size=7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(summary))


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


class SelfAttention(nn.Module):
    """Every pixel gathers from all others: `(B, C, *S)` → `(B, C, *S)`, exact, memory linear in the pixel count.

    The position encoding is added to the map X; Q, K, V = X·W_q, X·W_k, X·W_v; Y = softmax(QKᵀ/√d_k)·V; the result is
    X + Y. The number of heads is the largest divisor of C up to 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.heads = max(n for n in range(1, 9) if channels % n == 0)
        self.w_q = nn.Linear(channels, channels, bias=False)
        self.w_k = nn.Linear(channels, channels, bias=False)
        self.w_v = nn.Linear(channels, channels, bias=False)

    def split_heads(self, tokens: torch.Tensor) -> torch.Tensor:
        """`(B, N, C)` → `(B, heads, N, C / heads)`, the form in which the CPU kernel never holds an N×N matrix."""
        return tokens.view(tokens.shape[0], tokens.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + position_encoding(x)
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = (
            self.split_heads(self.w_q(tokens)),
            self.split_heads(self.w_k(tokens)),
            self.split_heads(self.w_v(tokens)),
        )
        y = F.scaled_dot_product_attention(q, k, v)
        return x + y.transpose(1, 2).flatten(2).transpose(1, 2).reshape(x.shape)
