"""Bricks that two papers or more are built from, in 2D and 3D."""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.blocks import ADN, Convolution
from monai.networks.layers.factories import Conv
from torch import nn
from torch.nn import functional as F

VGG16_CONVOLUTIONS = (2, 2, 3, 3, 3)  # in each stage; Simonyan and Zisserman, 2015, arXiv:1409.1556, Table 1, column D


def conv(spatial_dims: int, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1) -> nn.Module:
    """A bare convolution that keeps the size unless strided: `(B, C_in, *S)` → `(B, C_out, *S / stride)`."""
    layer = Conv[Conv.CONV, spatial_dims]
    return layer(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2)


def conv_norm_act(spatial_dims: int, in_channels: int, out_channels: int, **options: Any) -> nn.Module:
    """3×3 convolution, batch normalisation, ReLU: `(B, C_in, *S)` → `(B, C_out, *S)`; `options` are MONAI's."""
    defaults: dict[str, Any] = {"norm": "BATCH", "act": "RELU", "adn_ordering": "NA", "bias": False}
    return Convolution(spatial_dims, in_channels, out_channels, **(defaults | options))


def conv_chain(spatial_dims: int, widths: Sequence[int], **options: Any) -> nn.Sequential:
    """`conv_norm_act` from each width to the next: `(B, widths[0], *S)` → `(B, widths[-1], *S)`."""
    return nn.Sequential(*(conv_norm_act(spatial_dims, i, o, **options) for i, o in pairwise(widths)))


def double_conv(spatial_dims: int, in_channels: int, out_channels: int, **options: Any) -> nn.Sequential:
    """U-Net's stage, `conv_norm_act` twice: `(B, C_in, *S)` → `(B, C_out, *S)`."""
    return conv_chain(spatial_dims, [in_channels, out_channels, out_channels], **options)


def act_conv(spatial_dims: int, in_channels: int, out_channels: int, act: str = "RELU", stride: int = 1) -> nn.Module:
    """Pre-activated: batch normalisation, activation, 3×3 convolution: `(B, C_in, *S)` → `(B, C_out, *S/stride)`."""
    return nn.Sequential(
        ADN("NA", in_channels, act=act, norm="BATCH", norm_dim=spatial_dims),
        conv(spatial_dims, in_channels, out_channels, stride=stride),
    )


class Residual(nn.Module):
    """The sum of a trunk and its shortcut, whose results agree in shape."""

    def __init__(self, trunk: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.trunk(x) + self.shortcut(x)


def linear_up(spatial_dims: int) -> nn.Module:
    """Bilinear or trilinear upsampling by two: `(B, C, *S)` → `(B, C, *2S)`."""
    return nn.Upsample(scale_factor=2, mode="bilinear" if spatial_dims == 2 else "trilinear")


def transposed_up(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """2×2 transposed convolution with stride two: `(B, C_in, *S)` → `(B, C_out, *2S)`."""
    return Conv[Conv.CONVTRANS, spatial_dims](in_channels, out_channels, kernel_size=2, stride=2)


class Concat(nn.Module):
    """U-Net's joint: `(B, C, *S)` and the skip `(B, C', *S)` → `(B, C' + C, *S)`."""

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return torch.cat([skip, x], dim=1)


class AttendedJoint(nn.Module):
    """A joint whose skip passes an attention first."""

    def __init__(self, attention: nn.Module, joint: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.joint = joint

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.joint(x, self.attention(skip))


class DecoderStage(nn.Module):
    """Upsampling, a joint `(x, skip) → x`, convolutions: `(B, C, *S)`, `(B, C', *2S)` → `(B, C_out, *2S)`."""

    def __init__(self, up: nn.Module, joint: nn.Module, convs: nn.Module) -> None:
        super().__init__()
        self.up = up
        self.joint = joint
        self.convs = convs

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.convs(self.joint(self.up(x), skip))


class MultiScaleFusion(nn.Module):
    """Logits from the maps of all scales, concatenated and fused by a 1×1 convolution, and from each scale.

    Maps `(B, C_k, *S_k)`, the finest last → `[fused, finest, …, coarsest]`, each `(B, out_channels, *S)` at the
    finest size. The tail serves deep supervision. Qin et al., *U²-Net*, 2020, doi:10.1016/j.patcog.2020.107404, Fig. 5.
    """

    def __init__(self, spatial_dims: int, widths: Sequence[int], out_channels: int, kernel_size: int = 1) -> None:
        super().__init__()
        self.mode = "bilinear" if spatial_dims == 2 else "trilinear"
        self.sides = nn.ModuleList(conv(spatial_dims, width, out_channels, kernel_size) for width in widths)
        self.fuse = conv(spatial_dims, len(widths) * out_channels, out_channels, kernel_size=1)

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        size = maps[-1].shape[2:]
        sides: list[torch.Tensor] = []
        for level, side in enumerate(self.sides):
            sides.insert(0, F.interpolate(side(maps[level]), size=size, mode=self.mode))
        sides.insert(0, self.fuse(torch.cat(sides, dim=1)))
        return sides


def check_parts(parts: Collection[str], known: Collection[str]) -> frozenset[str]:
    """The chosen ablation parts as a set.

    Raises:
        ValueError: a name is not one of the paper's parts.
    """
    chosen = frozenset([parts] if isinstance(parts, str) else parts)
    if unknown := sorted(chosen - frozenset(known)):
        raise ValueError(f"unknown parts {unknown}: choose from {sorted(known)}")
    return chosen


def check_shape(spatial_dims: int, widths: Sequence[int], stages: int | None = None) -> None:
    """Nothing, for 2D or 3D and positive widths, two at least or, if given, as many as `stages`.

    Raises:
        ValueError: anything else.
    """
    if spatial_dims not in (2, 3):
        raise ValueError(f"spatial_dims: expected 2 or 3, got {spatial_dims}")
    if min(widths, default=0) < 1 or (len(widths) < 2 if stages is None else len(widths) != stages):
        raise ValueError(f"widths: expected {stages or 'two or more'} positive numbers, got {list(widths)}")


def check_levels(name: str, chosen: Collection[int], levels: int) -> frozenset[int]:
    """The chosen levels as a set.

    Raises:
        ValueError: one of them does not exist.
    """
    if unknown := sorted(set(chosen) - set(range(levels))):
        raise ValueError(f"{name}: expected numbers from 0 to {levels - 1}, got {unknown}")
    return frozenset(chosen)


def two_dimensional_only(network: str, spatial_dims: int) -> None:
    """Nothing, for 2D.

    Raises:
        ValueError: another dimension is asked of a network that its paper defines in 2D.
    """
    if spatial_dims != 2:
        raise ValueError(f"{network} is defined in 2D only: expected spatial_dims 2, got {spatial_dims}")
