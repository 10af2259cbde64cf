"""Attention of the haematoma network's skips: which channels matter, then which pixels. In 2D and 3D.

Woo et al., *CBAM: convolutional block attention module*, 2018, doi:10.1007/978-3-030-01234-2_1.
"""

from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

from sliceweave.networks.blocks import conv


class ChannelAttention(nn.Module):
    """Scales each channel by a weight in 0…1: `(B, C, *S)` → `(B, C, *S)`.

    Global average and maximum go through one shared two-layer perceptron, are added, and pass a sigmoid.
    """

    reduction: Final = 16

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // self.reduction, 1)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        axes = list(range(2, x.dim()))  # flattened, a map with channels last would be copied
        average = self.mlp(x.sum(axes) / x[0, 0].numel())  # in bf16 `mean` copies the map to float32
        highest = self.mlp(F.adaptive_max_pool2d(x, 1).flatten(1) if x.dim() == 4 else x.amax(axes))  # 2D: amax is slow
        weight = torch.sigmoid(average + highest)
        for _ in axes:
            weight = weight.unsqueeze(-1)
        return x * weight


class SpatialAttention(nn.Module):
    """Scales each pixel by a weight in 0…1: `(B, C, *S)` → `(B, C, *S)`.

    The channels' mean and maximum go through one 7×7 convolution and a sigmoid.
    """

    many: Final = 64  # channels; with channels last, the maximum of fewer is found sooner in a copy with channels first

    def __init__(self, spatial_dims: int) -> None:
        super().__init__()
        self.conv = conv(spatial_dims, 2, 1, kernel_size=7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        channels = x.shape[1]
        average = x.sum(1, keepdim=True) / channels  # in bf16 `mean` copies the map to float32
        planes = x.contiguous() if x.dim() == 4 and channels < self.many else x
        summary = torch.cat([average, planes.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(summary))
