"""Cerebral haematoma: residual U-Net with self-attention at the bottom and channel–spatial attention on the skips.

Li, Yu, Hu, Ke, Yu: *Cerebral hematoma segmentation and bleeding volume measurement based on self-attention mechanism*
(in Chinese), Fig. 1.
"""

from collections.abc import Collection, Sequence

import torch
from torch import nn

from sliceweave.networks.attention import ChannelAttention, SelfAttention, SpatialAttention
from sliceweave.networks.blocks import UpConcat, check_parts, conv_norm_act, residual_block
from sliceweave.networks.skeleton import EncoderDecoder

PARTS = ("SA", "CA", "SPA")


class DecoderStage(nn.Module):
    """Attention on the skip, bilinear upsampling, concatenation, two convolutions: `(B, C, *S)` → `(B, C_out, *2S)`."""

    def __init__(self, attention: nn.Module, up: nn.Module, convs: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.up = up
        self.convs = convs

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        return self.convs(self.up(x, self.attention(skip)))


class SelfAttentionUNet(nn.Module):
    """Logits of the paper's network in 2D or 3D: `(B, in_channels, *S)` → `(B, out_channels, *S)`, any size S.

    Four (`len(widths)`) residual stages, each followed by max pooling; multi-head self-attention at the bottom; each
    skip passes channel attention, then spatial attention; each decoder stage is upsampling, concatenation and two
    convolutions. The last stage already ends in `out_channels` maps, which carry no ReLU; a 3×3 convolution turns them
    into logits.

    Args:
        in_channels: slices in the slab (2.5D), or 1.
        widths: channels of the encoder stages; the paper's by default.
        parts: which of the ablation's modules are built: `SA` self-attention, `CA` channel, `SPA` spatial attention.

    Raises:
        ValueError: an unknown part.

    Departs from the paper: in nothing it states. It leaves open, and here is: two convolutions a decoder stage, the
    first of the last stage `widths[0]` wide; edges replicated to a multiple of 2^len(widths), logits cropped back.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (64, 128, 256, 512),
        parts: Collection[str] = PARTS,
    ) -> None:
        super().__init__()
        chosen = check_parts(parts, PARTS)
        ins = [in_channels, *widths[:-1]]
        outs = [out_channels, *widths[:-1]]
        levels = reversed(range(len(widths)))
        self.u = EncoderDecoder(
            encoder=[residual_block(spatial_dims, i, o) for i, o in zip(ins, widths, strict=True)],
            bottom=SelfAttention(widths[-1]) if "SA" in chosen else nn.Identity(),
            decoder=[
                DecoderStage(
                    skip_attention(spatial_dims, widths[level], chosen),
                    UpConcat(spatial_dims),
                    decoder_convs(spatial_dims, widths[level], outs[level], last=level == 0),
                )
                for level in levels
            ],
            head=nn.Conv2d(out_channels, out_channels, 3, padding=1)
            if spatial_dims == 2
            else nn.Conv3d(out_channels, out_channels, 3, padding=1),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.u(image)


def skip_attention(spatial_dims: int, channels: int, parts: Collection[str]) -> nn.Sequential:
    """Channel attention, then spatial attention, as far as they are among the parts; otherwise the identity."""
    channel = [ChannelAttention(channels)] if "CA" in parts else []
    spatial = [SpatialAttention(spatial_dims)] if "SPA" in parts else []
    return nn.Sequential(*channel, *spatial)


def decoder_convs(spatial_dims: int, width: int, out_channels: int, last: bool) -> nn.Sequential:
    """Two convolutions from the concatenated `2·width` channels; the last stage's own result is not rectified.

    A rectified single-channel map could die (all zero, no gradient) and take the network with it.
    """
    middle = width if last else out_channels
    return nn.Sequential(
        conv_norm_act(spatial_dims, 2 * width, middle),
        conv_norm_act(spatial_dims, middle, out_channels, act=not last),
    )
