"""Liver tumour: U-Net with residual bottlenecks, attention gates and group normalisation (RA-U-Net).

Du, Wang: *Improved RA-U-Net for liver tumor segmentation of CT images*, 2025 (in Chinese),
doi:10.3969/j.issn.1674-1242.2025.05.001, Figs 1 to 3. The paper compares four networks, which are one class here; the
parameter counts it prints pin their shape.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sliceweave.networks.blocks import (
    Concat,
    DecoderStage,
    Residual,
    check_shape,
    conv,
    conv_norm_act,
    double_conv,
    transposed_up,
)
from sliceweave.networks.skeleton import EncoderDecoder, crop_like, max_pool


class RAUNet(nn.Module):
    """Logits of the paper's network in 2D or 3D: `(B, in_channels, *S)` → `(B, out_channels, *S)`, any size S.

    Max pooling down, transposed convolution up. The first encoder stage and the last decoder stage are two 3×3
    convolutions; every other stage is one residual bottleneck.

    Args:
        in_channels: slices in the slab (2.5D), or 1.
        widths: channels of the encoder stages and, last, of the bottom; the paper's by default.
        attention: gates on the skips.
        residual: bottlenecks; otherwise every stage is two 3×3 convolutions.

    Raises:
        ValueError: dimensions or widths that make no network.

    Departs from the paper: groups are gcd(32, C), because ψ and narrow widths have fewer channels than 32. It leaves
    open, and its counts settle: the two plain stages, the bottlenecks' middle width, biases, gates of half the width.
    It leaves open, and here is: the gate's signal is the upsampled map; edges replicated to a multiple of
    2^(len(widths) − 1), twice that at least, logits cropped back.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        attention: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        check_shape(spatial_dims, widths)
        stage = Bottleneck if residual else plain_stage
        down = [
            (stage if level > 0 else plain_stage)(spatial_dims, i, o)
            for level, (i, o) in enumerate(zip([in_channels, *widths[:-1]], widths, strict=True))
        ]
        self.u = EncoderDecoder(
            down=max_pool(spatial_dims),
            encoder=down[:-1],
            bottom=down[-1],
            decoder=[
                DecoderStage(
                    transposed_up(spatial_dims, widths[level + 1], widths[level]),
                    GatedConcat(spatial_dims, widths[level]) if attention else Concat(),
                    (stage if level > 0 else plain_stage)(spatial_dims, 2 * widths[level], widths[level]),
                )
                for level in reversed(range(len(widths) - 1))
            ],
        )
        self.head = conv(spatial_dims, widths[0], out_channels, kernel_size=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return crop_like(self.head(self.u(image)[-1]), image)


def group_norm(channels: int) -> tuple[str, dict[str, Any]]:
    """MONAI's name for group normalisation with 32 groups, fewer where `channels` does not divide by 32.

    Wu, He: *Group normalization*, 2018, doi:10.1007/978-3-030-01261-8_1.
    """
    return "GROUP", {"num_groups": math.gcd(32, channels)}


def conv_group_norm(
    spatial_dims: int, in_channels: int, out_channels: int, size: int, act: str | None = None
) -> nn.Module:
    """Convolution with bias, group normalisation and, if named, an activation."""
    norm = group_norm(out_channels)
    return conv_norm_act(spatial_dims, in_channels, out_channels, kernel_size=size, norm=norm, act=act, bias=True)


def plain_stage(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
    """U-Net's two 3×3 convolutions: `(B, C_in, *S)` → `(B, C_out, *S)`."""
    return double_conv(spatial_dims, in_channels, out_channels, norm=group_norm(out_channels), bias=True)


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolution plus a 1×1 projection, then ReLU: `(B, C_in, *S)` → `(B, C_out, *S)`. Fig. 2.

    The middle is a quarter as wide as the wider end. He et al., *Deep residual learning for image recognition*, 2016,
    doi:10.1109/CVPR.2016.90.
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        middle = max(in_channels // 4, out_channels // 4, 1)
        self.sum = Residual(
            trunk=nn.Sequential(
                conv_group_norm(spatial_dims, in_channels, middle, 1, "RELU"),
                conv_group_norm(spatial_dims, middle, middle, 3, "RELU"),
                conv_group_norm(spatial_dims, middle, out_channels, 1),
            ),
            shortcut=conv_group_norm(spatial_dims, in_channels, out_channels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.sum(x))


class GatedConcat(nn.Module):
    """The joint with the attention gate of Fig. 3: the map g and the skip x, `(B, C, *S)` each → `(B, 2C, *S)`.

    The skip is scaled by σ(ψ(ReLU(W_g·g + W_x·x))), one weight a pixel; all three are 1×1 convolutions, F_int = C/2. ψ
    has one channel, hence one group: the gate's logits are centred and scaled per image before the sigmoid.
    Oktay et al., *Attention U-Net*, 2018, arXiv:1804.03999.
    """

    def __init__(self, spatial_dims: int, channels: int) -> None:
        super().__init__()
        inner = max(channels // 2, 1)
        self.w_g = conv_group_norm(spatial_dims, channels, inner, 1)
        self.w_x = conv_group_norm(spatial_dims, channels, inner, 1)
        self.psi = conv_group_norm(spatial_dims, inner, 1, 1)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.psi(F.relu(self.w_g(x) + self.w_x(skip))))
        return torch.cat([skip * gate, x], dim=1)
