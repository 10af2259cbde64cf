"""Convolution bricks shared by the papers, in 2D and 3D."""

from collections.abc import Collection

import torch
from monai.networks.blocks import Convolution, UnetResBlock
from torch import nn


def conv_norm_act(spatial_dims: int, in_channels: int, out_channels: int, act: bool = True) -> nn.Module:
    """3×3 convolution, batch normalisation and, unless switched off, ReLU: `(B, C_in, *S)` → `(B, C_out, *S)`."""
    return Convolution(
        spatial_dims,
        in_channels,
        out_channels,
        norm="BATCH",
        act="RELU" if act else None,
        adn_ordering="NA",
        bias=False,
    )


def residual_block(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """Two 3×3 convolutions plus a shortcut, 1×1 where the width changes: `(B, C_in, *S)` → `(B, C_out, *S)`.

    He et al., *Deep residual learning for image recognition*, 2016, doi:10.1109/CVPR.2016.90.
    """
    return UnetResBlock(
        spatial_dims, in_channels, out_channels, kernel_size=3, stride=1, norm_name="batch", act_name="relu"
    )


class UpConcat(nn.Module):
    """Linear upsampling by two, then concatenation with the skip: `(B, C, *S)`, `(B, C', *2S)` → `(B, C' + C, *2S)`."""

    def __init__(self, spatial_dims: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear" if spatial_dims == 2 else "trilinear")

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return torch.cat([skip, self.up(x)], dim=1)


def check_parts(parts: Collection[str], known: Collection[str]) -> frozenset[str]:
    """The chosen ablation parts as a set.

    Raises:
        ValueError: a name is not one of the paper's parts.
    """
    chosen = frozenset([parts] if isinstance(parts, str) else parts)
    if unknown := sorted(chosen - frozenset(known)):
        raise ValueError(f"unknown parts {unknown}: choose from {sorted(known)}")
    return chosen
