"""U²-Net, a comparator of the lung paper: a U whose every stage is itself a U.

Qin et al.: *U²-Net: going deeper with nested U-structure for salient object detection*, 2020,
doi:10.1016/j.patcog.2020.107404, Figs. 2 and 5, Table 1.
"""

from collections.abc import Sequence

import torch
from torch import nn

from sliceweave.networks.blocks import (
    Concat,
    DecoderStage,
    MultiScaleFusion,
    Residual,
    check_shape,
    conv_norm_act,
    linear_up,
    two_dimensional_only,
)
from sliceweave.networks.skeleton import EncoderDecoder, crop_like, max_pool

POOLS = (5, 4, 3, 2, 0)  # within RSU-7, -6, -5, -4 and the dilated -4F
INNER_SHARES = (2, 4, 4, 4, 2, 2)  # of a block's width within it: 64 / 32, 128 / 32, …


class U2Net(nn.Module):
    """Logits of U²-Net: `(B, in_channels, H, W)` → `(B, out_channels, H, W)`, any size, 2D only.

    Encoder stages RSU-7, -6, -5, -4, -4F, each followed by max pooling, and one more RSU-4F at the bottom; the decoder
    mirrors them with bilinear upsampling and concatenation. A 3×3 convolution gives the side output of each of the six
    scales; these are fused. In training mode the result is a list: `[fused, finest side, …, coarsest side]`.

    Args:
        widths: channels of the five encoder stages and of the bottom.
        inner_widths: channels M within their blocks, by default in the paper's shares of `widths`, 32 to 256. The last
            decoder stage has `widths[0] // 4`, the others as the encoder stage of their size.

    Raises:
        ValueError: `spatial_dims` is not 2.

    Departs from the paper: edges are replicated to a multiple of 32, where the authors' code rounds sizes up at each
    pooling.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (64, 128, 256, 512, 512, 512),
        inner_widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        two_dimensional_only("U2Net", spatial_dims)
        check_shape(spatial_dims, widths, stages=6)
        inner_widths = inner_widths or [w // share for w, share in zip(widths, INNER_SHARES, strict=True)]
        check_shape(spatial_dims, inner_widths, stages=6)
        ins, inner_up = [in_channels, *widths], [widths[0] // 4, *inner_widths[1:]]
        outs = [widths[0], *widths[: len(POOLS) - 1]]
        below = [*outs[1:], widths[-1]]
        self.u = EncoderDecoder(
            down=max_pool(2),
            encoder=[rsu(ins[k], inner_widths[k], widths[k], pools) for k, pools in enumerate(POOLS)],
            bottom=rsu(ins[-2], inner_widths[-1], widths[-1], pools=0),
            decoder=[
                DecoderStage(linear_up(2), Concat(), rsu(below[k] + widths[k], inner_up[k], outs[k], POOLS[k]))
                for k in reversed(range(len(POOLS)))
            ],
        )
        self.fusion = MultiScaleFusion(2, [widths[-1], *reversed(outs)], out_channels, kernel_size=3)

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        logits = [crop_like(scale, image) for scale in self.fusion(self.u(image))]
        if self.training:
            return logits
        return logits[0]


def u2net_lite(spatial_dims: int, in_channels: int, out_channels: int) -> U2Net:
    """The authors' small U²-Net†: 64 channels after every block, 16 within."""
    return U2Net(spatial_dims, in_channels, out_channels, widths=[64] * 6, inner_widths=[16] * 6)


def rsu(in_channels: int, inner: int, out_channels: int, pools: int) -> nn.Sequential:
    """A residual U-block, Fig. 2e: `(B, C_in, H, W)` → `(B, C_out, H, W)`; with `pools` 0 it is the dilated RSU-4F."""
    u = PooledU(out_channels, inner, pools) if pools else DilatedU([out_channels, inner, inner, inner, inner])
    return nn.Sequential(conv_norm_act(2, in_channels, out_channels, bias=True), Residual(u, nn.Identity()))


class DilatedU(nn.Module):
    """A U that dilates its convolutions by 1, 2, 4, … where others pool: `(B, C, H, W)` → `(B, C, H, W)`.

    `widths` are those of the input, which is also that of the result, and of the encoder's convolutions.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        depth = len(widths) - 1
        self.encoder = nn.ModuleList(
            conv_norm_act(2, widths[k], widths[k + 1], dilation=1 << k, bias=True) for k in range(depth)
        )
        self.decoder = nn.ModuleList(
            conv_norm_act(2, 2 * widths[k + 1], widths[k], dilation=1 << k, bias=True)
            for k in reversed(range(depth - 1))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips: list[torch.Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for level, stage in enumerate(self.decoder):
            x = stage(torch.cat([x, skips[-2 - level]], dim=1))
        return x


class PooledU(nn.Module):
    """The U within RSU-7…RSU-4, `pools` + 2 convolutions deep: `(B, C, H, W)` → `(B, C, H, W)`."""

    def __init__(self, channels: int, inner: int, pools: int) -> None:
        super().__init__()
        widths = [channels] + [inner] * pools
        self.u = EncoderDecoder(
            down=max_pool(2),
            encoder=[conv_norm_act(2, widths[k], inner, bias=True) for k in range(pools)],
            bottom=DilatedU([inner, inner, inner]),
            decoder=[
                DecoderStage(linear_up(2), Concat(), conv_norm_act(2, 2 * inner, widths[k], bias=True))
                for k in reversed(range(pools))
            ],
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return crop_like(self.u(x)[-1], x)
