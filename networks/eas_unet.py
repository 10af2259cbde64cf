"""Knee cartilage: depthwise-separable U-Net with channel-attentive pyramids and multi-scale output (EAS U-Net).

Bi et al., 2023 (in Chinese), doi:10.12677/sea.2023.122027, Figs 2 to 5.
"""

import math
from collections.abc import Collection, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from sliceweave.networks.blocks import (
    Concat,
    DecoderStage,
    MultiScaleFusion,
    check_levels,
    check_shape,
    conv_norm_act,
    linear_up,
)
from sliceweave.networks.skeleton import EncoderDecoder, crop_like, max_pool

DILATIONS = (6, 12, 18)


class EASUNet(nn.Module):
    """Logits of the paper's network in 2D or 3D: `(B, in_channels, *S)` → `(B, out_channels, *S)`, any size S.

    In training mode a list `[fused, finest side, …, coarsest side]` of such logits, for deep supervision (one loss for
    each, `monai.losses.DeepSupervisionLoss`); in evaluation mode the fused logits alone.

    Args:
        in_channels: slices in the slab (2.5D), or 1.
        widths: channels of the encoder stages and, last, of the bottom; U-Net's by default, the paper states none.
        eas_stages: encoder stages that end in an EAS module, 0 at full size; all, with the bottom, by default.

    Raises:
        ValueError: a stage that does not exist, dimensions or widths that make no network.

    Departs from the paper: in nothing it states. It leaves open, and here is: two basic blocks a stage, bilinear
    upsampling, the pyramid's dilations (6, 12, 18) and branches a quarter as wide as their input, its pooled path
    without batch normalisation, 1×1 side heads; edges replicated to a multiple of 2^(len(widths) − 1), logits cropped
    back.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        eas_stages: Collection[int] | None = None,
    ) -> None:
        super().__init__()
        check_shape(spatial_dims, widths)
        ins = [in_channels, *widths[:-1]]
        attended = check_levels("eas_stages", range(len(widths)) if eas_stages is None else eas_stages, len(widths))

        def encoder_stage(level: int) -> nn.Module:
            eas = [EAS(spatial_dims, widths[level])] if level in attended else []
            return nn.Sequential(separable_stage(spatial_dims, ins[level], widths[level]), *eas)

        self.u = EncoderDecoder(
            down=max_pool(spatial_dims),
            encoder=[encoder_stage(level) for level in range(len(widths) - 1)],
            bottom=encoder_stage(len(widths) - 1),
            decoder=[
                DecoderStage(linear_up(spatial_dims), Concat(), separable_stage(spatial_dims, deep + width, width))
                for deep, width in zip(widths[:0:-1], widths[-2::-1], strict=True)
            ],
        )
        self.fusion = MultiScaleFusion(spatial_dims, widths[-2::-1], out_channels)

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        logits = [crop_like(x, image) for x in self.fusion(self.u(image)[1:])]
        if self.training:
            return logits
        return logits[0]


def separable_stage(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """Two basic blocks: `(B, C_in, *S)` → `(B, C_out, *S)`."""
    return nn.Sequential(
        separable_conv(spatial_dims, in_channels, out_channels),
        separable_conv(spatial_dims, out_channels, out_channels),
    )


def separable_conv(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """The basic block: depthwise 3×3 + BN + LeakyReLU, pointwise 1×1 + BN + h-swish. Fig. 2c.

    Howard et al., *MobileNets*, 2017, arXiv:1704.04861; *Searching for MobileNetV3*, 2019, arXiv:1905.02244 (h-swish).
    """
    return nn.Sequential(
        conv_norm_act(spatial_dims, in_channels, in_channels, groups=in_channels, act="LEAKYRELU"),
        conv_norm_act(spatial_dims, in_channels, out_channels, kernel_size=1, act=None),
        nn.Hardswish(),
    )


class EAS(nn.Module):
    """Context at several distances: `(B, C, *S)` → `(B, C, *S)`. Fig. 3.

    An atrous pyramid whose 1×1 path is replaced by channel attention: ECA, three 3×3 convolutions dilated by 6, 12 and
    18, and image pooling, concatenated and projected by 1×1. The pooled path has no batch normalisation: a batch of one
    leaves it a single value. Chen et al., *Rethinking atrous convolution*, 2017, arXiv:1706.05587.
    """

    def __init__(self, spatial_dims: int, channels: int) -> None:
        super().__init__()
        branch = max(channels // 4, 1)
        self.eca = ECA(channels)
        self.dilated = nn.ModuleList(
            conv_norm_act(spatial_dims, channels, branch, dilation=dilation) for dilation in DILATIONS
        )
        self.pooled = nn.Linear(channels, branch)
        joined = channels + (len(DILATIONS) + 1) * branch
        self.project = conv_norm_act(spatial_dims, joined, channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        paths = [self.eca(x)]
        for dilated in self.dilated:
            paths.append(dilated(x))
        pooled = F.relu(self.pooled(x.flatten(2).mean(-1)))
        paths.append(pooled.unsqueeze(-1).expand(-1, -1, x[0, 0].numel()).unflatten(-1, x.shape[2:]))
        return self.project(torch.cat(paths, dim=1))


class ECA(nn.Module):
    """Scales each channel by what its neighbours among the channels say: `(B, C, *S)` → `(B, C, *S)`.

    Global average, a 1-D convolution across channels, sigmoid. Its kernel size is the odd number at or next above
    |log₂(C)/γ + b/γ|, truncated, γ = 2, b = 1. Wang et al., *ECA-Net*, 2020, doi:10.1109/CVPR42600.2020.01155.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        nearest = int(abs((math.log2(channels) + 1) / 2))
        size = nearest if nearest % 2 else nearest + 1
        self.conv = nn.Conv1d(1, 1, kernel_size=size, padding=size // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.flatten(2)
        weight = torch.sigmoid(self.conv(pixels.mean(-1).unsqueeze(1))).transpose(1, 2)
        return (pixels * weight).view_as(x)
