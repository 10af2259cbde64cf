"""Cerebral haematoma: residual U-Net with self-attention at the bottom and channel–spatial attention on the skips.

Li, Yu, Hu, Ke, Yu: *Cerebral hematoma segmentation and bleeding volume measurement based on self-attention mechanism*
(in Chinese), Fig. 1.
"""

import math
from collections.abc import Collection, Sequence
from typing import cast

import torch
from monai.networks.blocks import UnetResBlock
from torch import nn

from sliceweave.networks.attention import SelfAttention
from sliceweave.networks.blocks import (
    AttendedJoint,
    Concat,
    DecoderStage,
    check_parts,
    check_shape,
    conv,
    conv_norm_act,
    linear_up,
)
from sliceweave.networks.position_encoding import PositionEncoding
from sliceweave.networks.skeleton import EncoderDecoder, crop_like, max_pool
from sliceweave.networks.skip_attention import ChannelAttention, SpatialAttention

PARTS = ("SA", "CA", "SPA")


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
        steady_end: the last map's norm keeps its statistics in training: a batch's own tell how much of it bleeds, so
            that the same pixel has other logits in other company. A network that knows nothing yet learns slower so.

    Raises:
        ValueError: an unknown part.

    Departs from the paper: its ablation starts from plain U-Net, `parts` from this network without its modules. It
    leaves open, and here is: a head that begins as the identity with a prior; up to 8 heads, whose result is added to
    the map; reduction 16 and a 7×7 kernel in the skips' attention; two convolutions a decoder stage, the first of the
    last stage `widths[0]` wide; edges replicated to a multiple of 2^len(widths), logits cropped back.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (64, 128, 256, 512),
        parts: Collection[str] = PARTS,
        steady_end: bool = False,
    ) -> None:
        super().__init__()
        self.steady_end = steady_end
        check_shape(spatial_dims, widths)
        chosen = check_parts(parts, PARTS)
        ins = [in_channels, *widths[:-1]]
        outs = [out_channels, *widths[:-1]]
        self.u = EncoderDecoder(
            down=max_pool(spatial_dims),
            encoder=[
                UnetResBlock(spatial_dims, i, o, kernel_size=3, stride=1, norm_name="batch", act_name="relu")
                for i, o in zip(ins, widths, strict=True)
            ],
            bottom=bottom_attention(widths[-1]) if "SA" in chosen else nn.Identity(),
            decoder=[
                DecoderStage(
                    linear_up(spatial_dims),
                    AttendedJoint(skip_attention(spatial_dims, widths[level], chosen), Concat()),
                    decoder_convs(spatial_dims, widths[level], outs[level], last=level == 0),
                )
                for level in reversed(range(len(widths)))
            ],
        )
        self.head = begun_with_prior(conv(spatial_dims, out_channels, out_channels))
        self.train()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return crop_like(self.head(self.u(image)[-1]), image)

    def train(self, mode: bool = True) -> "SelfAttentionUNet":
        super().train(mode)
        if self.steady_end:
            [*cast(DecoderStage, self.u.decoder[-1]).convs.children()][-1].eval()
        return self


def begun_with_prior(head: nn.Module, probability: float = 0.05) -> nn.Module:
    """The head, begun as the identity plus the log-odds of a probability (Lin et al. 2017, arXiv:1708.02002).

    The maps before it are normalised, so that its few numbers alone set scale and level of the logits, and an
    optimiser that moves each by its learning rate a step would take thousands of steps over it.
    """
    weight, bias = head.parameters()
    nn.init.dirac_(weight)
    nn.init.constant_(bias, math.log(probability / (1 - probability)))
    return head


def bottom_attention(channels: int) -> nn.Sequential:
    """Position encoding, then multi-head self-attention; the number of heads is the largest divisor of C up to 8."""
    heads = max(n for n in range(1, 9) if channels % n == 0)
    return nn.Sequential(PositionEncoding(), SelfAttention(channels, heads))


def skip_attention(spatial_dims: int, channels: int, parts: Collection[str]) -> nn.Sequential:
    """Channel attention, then spatial attention, as far as they are among the parts; otherwise the identity."""
    channel = [ChannelAttention(channels)] if "CA" in parts else []
    spatial = [SpatialAttention(spatial_dims)] if "SPA" in parts else []
    return nn.Sequential(*channel, *spatial)


def decoder_convs(spatial_dims: int, width: int, out_channels: int, last: bool) -> nn.Sequential:
    """Two convolutions from the concatenated `2·width` channels; the last stage's own result is not rectified: a
    single-channel map could die (all zero, no gradient) and take the network with it.
    """
    middle = width if last else out_channels
    return nn.Sequential(
        conv_norm_act(spatial_dims, 2 * width, middle),
        conv_norm_act(spatial_dims, middle, out_channels, act=None if last else "RELU"),
    )
