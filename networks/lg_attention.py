"""Local–global attention of the lung paper: every pixel gathers from the pixels that resemble it, near and far."""

import torch
from torch import nn
from torch.nn import functional as F

from sliceweave.networks.blocks import conv
from sliceweave.networks.rectified_affinity import rectified_affinity


class LGAttention(nn.Module):
    """The skip times what its pixels gather near and far: `(B, C, *S)` → `(B, C, *S)`, S even. Fig. 5.

    One PCM serves the quadrants (octants in 3D), f*, and the whole, F*; the two are aggregated by weight, eq. 10.
    """

    def __init__(self, spatial_dims: int, channels: int, key_pooling: int) -> None:
        super().__init__()
        self.pcm = PixelCorrelation(spatial_dims, channels, key_pooling)

    def forward(self, skip: torch.Tensor) -> torch.Tensor:
        local = from_quadrants(self.pcm(to_quadrants(skip)))
        return (skip * pixel_weighted(local, self.pcm(skip))).to(skip.dtype)


def to_quadrants(x: torch.Tensor) -> torch.Tensor:
    """The map's halves along every axis, as a larger batch: `(B, C, *S)` → `(2^D·B, C, *S/2)`."""
    for axis in range(2, x.dim()):
        x = torch.cat(x.chunk(2, dim=axis))
    return x


def from_quadrants(x: torch.Tensor) -> torch.Tensor:
    """Undoes `to_quadrants`."""
    for axis in range(x.dim() - 1, 1, -1):
        x = torch.cat(x.chunk(2), dim=axis)
    return x


def pixel_weighted(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """PWA(x, y) = x/(x + y)·x + y/(x + y)·y for two non-negative maps, 0 where both are."""
    return (x * x + y * y) / (x + y).clamp_min(1e-12)


class PixelCorrelation(nn.Module):
    """The PCM of the paper's eq. 4: `(B, C, *S)` → `(B, C, *S)`, in float32 at least.

    y_i = 1/C(x_i) · Σ_j ReLU(cos(θ(x_i), θ(x_j))) · ŷ_j, where θ is a 1×1 convolution to C₂ = max(C/8, 8) channels, ŷ
    the map after ReLU, and C(x_i) the sum of the affinities, 1e-12 at least (an ε added would change every result, and
    ONNX's optimiser drops one of 1e-8). Nothing is added to the result (no residual).

    Exact, for N pixels in 2·N²·(C₂ + C + 1) operations forward and 2·N²·(3·C₂ + 2·C + 2) more backward, and in memory
    linear in N: `rectified_affinity` goes block by block. With `key_pooling` k, j runs over the map average-pooled k by
    k instead, which divides the operations by k² (2D) or k³ (3D).

    Wang et al., *Self-supervised equivariant attention mechanism*, 2020, doi:10.1109/CVPR42600.2020.01229.
    """

    def __init__(self, spatial_dims: int, channels: int, key_pooling: int = 1) -> None:
        super().__init__()
        self.theta = conv(spatial_dims, channels, max(channels // 8, 8), kernel_size=1)
        self.key_pooling = key_pooling

    def directions(self, x: torch.Tensor) -> torch.Tensor:
        """θ of each pixel, of length one: `(B, C, *S)` → `(B, C₂, N)`."""
        theta = self.theta(x).flatten(2)
        return F.normalize(theta.to(torch.promote_types(theta.dtype, torch.float32)), dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = average_pool(x, self.key_pooling)
        query = self.directions(x)
        key = self.directions(pooled) if self.key_pooling > 1 else query
        values = F.relu(pooled).flatten(2)
        values = torch.cat([values, torch.ones_like(values[:, :1])], dim=1)  # the ones sum up the affinities
        sums = rectified_affinity(query, key, values)
        return (sums[:, :-1] / sums[:, -1:].clamp_min(1e-12)).reshape(x.shape)


def average_pool(x: torch.Tensor, size: int) -> torch.Tensor:
    """Means of `size` pixels a side, fewer at the far edges: `(B, C, *S)` → `(B, C, *⌈S/size⌉)`."""
    if size == 1:
        return x
    sizes = [min(size, n) for n in x.shape[2:]]
    if x.dim() == 4:
        return F.avg_pool2d(x, sizes, ceil_mode=True, count_include_pad=False)
    return F.avg_pool3d(x, sizes, ceil_mode=True, count_include_pad=False)
