"""Lung infection: U-Net with multi-level residual convolution, local–global attention and feature fusion (LG-Net).

Lu, Yuan, Xu: *Research on lung CT image segmentation algorithm based on the improved U-Net network*, 2023 (in Chinese,
2095-2163(2023)07-0179-08), Figs 3 to 7.
"""

from collections.abc import Collection, Sequence

import torch
from torch import nn

from sliceweave.networks.blocks import (
    AttendedJoint,
    Concat,
    DecoderStage,
    Residual,
    check_parts,
    check_shape,
    conv,
    conv_norm_act,
    double_conv,
    linear_up,
)
from sliceweave.networks.feature_fusion import FeatureFusion
from sliceweave.networks.lg_attention import LGAttention
from sliceweave.networks.skeleton import EncoderDecoder, crop_like, max_pool

PARTS = ("MLR", "LGA", "FF", "RSE")


class LGNet(nn.Module):
    """Logits of the paper's network in 2D or 3D: `(B, in_channels, *S)` → `(B, out_channels, *S)`, any size S.

    Args:
        in_channels: slices in the slab (2.5D), or 1.
        widths: channels of the encoder stages and, last, of the bottom; the paper's frame is U-Net's.
        parts: `MLR` multi-level residual convolution (else U-Net's stage), `LGA` LG-attention on the skips, `FF`
            feature fusion (else concatenation), `RSE` its channel weights (else a 1×1 convolution). None: a U-Net.
        key_pooling: for each skip, full size first, by how much PCM's keys are pooled per axis; 1 is exact, 0 leaves
            the skip as it is. The paper's (1, 1, 1, 1) in 2D by default, (0, 0, 2, 2) in 3D.

    Raises:
        ValueError: an unknown part, RSE without FF, not as many poolings as skips.

    Departs from the paper: in nothing it states but a pixel's attention map, which it calls HW/4 × HW/4; that is the
    affinity, and f* has the size of the skip. It leaves open, and here is: a stage is the multi-level block alone, the
    bottom too, with 1×1 shortcuts and a bare 1×1 fusion; one PCM for quadrants and whole, of ŷ = ReLU(map), θ an eighth
    as wide; FF's branches as wide as the skip, L₂'s RSE widening to the deep map, weight maps through a sigmoid; two
    convolutions after each joint, as in U-Net; edges replicated to a multiple of 2^(len(widths) − 1), logits cropped
    back.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        parts: Collection[str] = PARTS,
        key_pooling: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_shape(spatial_dims, widths)
        chosen = check_parts(parts, PARTS)
        if "RSE" in chosen and "FF" not in chosen:
            raise ValueError("parts: RSE stands within FF, choose both or leave it out")
        pooling = skip_pooling(spatial_dims, len(widths) - 1, key_pooling)
        stage = MultiLevelResidual if "MLR" in chosen else double_conv

        def joint(level: int) -> nn.Module:
            attended = "LGA" in chosen and pooling[level] > 0
            attention = LGAttention(spatial_dims, widths[level], pooling[level]) if attended else nn.Identity()
            fuse = (
                FeatureFusion(spatial_dims, widths[level], widths[level + 1], rse="RSE" in chosen)
                if "FF" in chosen
                else Concat()
            )
            return AttendedJoint(attention, fuse)

        self.u = EncoderDecoder(
            down=max_pool(spatial_dims),
            encoder=[stage(spatial_dims, i, o) for i, o in zip([in_channels, *widths[:-2]], widths[:-1], strict=True)],
            bottom=stage(spatial_dims, widths[-2], widths[-1]),
            decoder=[
                DecoderStage(
                    linear_up(spatial_dims),
                    joint(level),
                    double_conv(spatial_dims, widths[level] + widths[level + 1], widths[level]),
                )
                for level in reversed(range(len(widths) - 1))
            ],
        )
        self.head = conv(spatial_dims, widths[0], out_channels, kernel_size=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return crop_like(self.head(self.u(image)[-1]), image)


def skip_pooling(spatial_dims: int, skips: int, key_pooling: Sequence[int] | None) -> Sequence[int]:
    """One key pooling for each skip, the default filled in."""
    if key_pooling is None:
        return [1] * skips if spatial_dims == 2 else [0] * (skips - 2) + [2] * min(skips, 2)
    if len(key_pooling) != skips or any(n != int(n) or n < 0 for n in key_pooling):
        raise ValueError(f"key_pooling: expected {skips} whole numbers, one for each skip, got {list(key_pooling)}")
    return key_pooling


class MultiLevelResidual(nn.Module):
    """Three residual units in sequence, their results fused: `(B, C_in, *S)` → `(B, C, *S)`. Fig. 4."""

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            Residual(
                trunk=conv_norm_act(spatial_dims, i, out_channels),
                shortcut=conv_norm_act(spatial_dims, i, out_channels, kernel_size=1, act=None),
            )
            for i in (in_channels, out_channels, out_channels)
        )
        self.fuse = conv(spatial_dims, 3 * out_channels, out_channels, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        results: list[torch.Tensor] = []
        for unit in self.units:
            x = unit(x)
            results.append(x)
        return self.fuse(torch.cat(results, dim=1))
