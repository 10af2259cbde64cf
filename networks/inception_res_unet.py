"""Left ventricle in echocardiography: pre-activated residual U-Net with Inception and self-attention.

Heng, Yan, Xie: *Improved ResUNet for automatic segmentation of left ventricle in echocardiographic images*, 2025 (in
Chinese, 2095-2163(2025)12-0062-07), Figs 3 to 5, Table 1.
"""

from collections.abc import Collection, Sequence

import torch
from monai.networks.layers.factories import Pad, Pool
from torch import nn

from sliceweave.networks.attention import SelfAttention
from sliceweave.networks.blocks import (
    Concat,
    DecoderStage,
    Residual,
    act_conv,
    check_levels,
    check_parts,
    check_shape,
    conv,
    transposed_up,
)
from sliceweave.networks.skeleton import EncoderDecoder, crop_like

PARTS = ("Inception", "SA", "LeakyReLU")


class InceptionResUNet(nn.Module):
    """Logits of the paper's network in 2D or 3D: `(B, in_channels, *S)` → `(B, out_channels, *S)`, any size S.

    Nine residual blocks, five down (strided, each closed by an Inception module) and four up (each closed by
    self-attention), as Table 1 lists them.

    Args:
        in_channels: 3 in the paper.
        widths: channels of blocks 1 to 5; the paper's by default.
        parts: `Inception` modules, `SA` self-attention, `LeakyReLU` in place of ReLU.
        attention_levels: where the decoder attends, 0 at full size. All levels in 2D, as in the paper; the two deepest
            in 3D.

    Raises:
        ValueError: an unknown part, a level that does not exist, Inception with less than 4 channels.

    Departs from the paper: Table 1 gives the strides of blocks 2 to 5 as 1, 1, 2, where trunk and shortcut would not
    meet; here the trunk's first convolution and the shortcut have stride 2, its second stride 1. The sizes printed for
    its up layers are those after concatenation. The paper leaves open, and here is: a single head (it tells
    self-attention from multi-head attention), Q, K and V as wide as the map, the result added to it; Inception without
    normalisation and activation, its pooling with replicated edges; edges of the image replicated to a multiple of
    2^(len(widths) − 1), logits cropped back.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        parts: Collection[str] = PARTS,
        attention_levels: Collection[int] | None = None,
    ) -> None:
        super().__init__()
        chosen = check_parts(parts, PARTS)
        check_shape(spatial_dims, widths)
        levels = range(len(widths) - 1)
        if attention_levels is None:
            attention_levels = levels if spatial_dims == 2 else levels[-2:]
        attended = check_levels("attention_levels", attention_levels, len(levels))
        act = "LEAKYRELU" if "LeakyReLU" in chosen else "RELU"
        ins = [in_channels, *widths[:-1]]

        def encoder_block(level: int) -> nn.Module:
            block = residual_block(spatial_dims, ins[level], widths[level], act, stride=1 if level == 0 else 2)
            inception = [Inception(spatial_dims, widths[level])] if "Inception" in chosen else []
            return nn.Sequential(block, *inception)

        def decoder_block(level: int) -> nn.Module:
            block = residual_block(spatial_dims, 2 * widths[level], widths[level], act)
            attention = [SelfAttention(widths[level])] if "SA" in chosen and level in attended else []
            return nn.Sequential(block, *attention)

        self.u = EncoderDecoder(
            down=nn.Identity(),
            encoder=[encoder_block(level) for level in levels],
            bottom=encoder_block(len(widths) - 1),
            decoder=[
                DecoderStage(
                    transposed_up(spatial_dims, widths[level + 1], widths[level]), Concat(), decoder_block(level)
                )
                for level in reversed(levels)
            ],
        )
        self.head = conv(spatial_dims, widths[0], out_channels, kernel_size=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return crop_like(self.head(self.u(image)[-1]), image)


def residual_block(spatial_dims: int, in_channels: int, out_channels: int, act: str, stride: int = 1) -> nn.Module:
    """Two pre-activated 3×3 convolutions plus a 3×3 shortcut: `(B, C_in, *S)` → `(B, C_out, *S / stride)`. Fig. 3."""
    return Residual(
        trunk=nn.Sequential(
            act_conv(spatial_dims, in_channels, out_channels, act, stride),
            act_conv(spatial_dims, out_channels, out_channels, act),
        ),
        shortcut=conv(spatial_dims, in_channels, out_channels, stride=stride),
    )


class Inception(nn.Module):
    """Four views of a map, concatenated: `(B, C, *S)` → `(B, C, *S)`. Fig. 4.

    1×1, 3×3 and 5×5 convolutions and 3×3 average pooling (edges replicated) followed by a 1×1 convolution, each to C/4
    channels; what C leaves over 4 goes to the 1×1 branch. Szegedy et al., *Going deeper with convolutions*, 2015,
    doi:10.1109/CVPR.2015.7298594.
    """

    def __init__(self, spatial_dims: int, channels: int) -> None:
        super().__init__()
        if channels < 4:
            raise ValueError(f"widths: Inception has four branches, so expected 4 channels or more, got {channels}")
        quarter = channels // 4
        self.conv1 = conv(spatial_dims, channels, channels - 3 * quarter, kernel_size=1)
        self.conv3 = conv(spatial_dims, channels, quarter, kernel_size=3)
        self.conv5 = conv(spatial_dims, channels, quarter, kernel_size=5)
        self.pool = nn.Sequential(
            Pad[Pad.REPLICATIONPAD, spatial_dims](1),
            Pool[Pool.AVG, spatial_dims](3, stride=1),
            conv(spatial_dims, channels, quarter, kernel_size=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.conv1(x), self.conv3(x), self.conv5(x), self.pool(x)], dim=1)
