"""FCN-8s, a comparator of the haematoma paper.

Long, Shelhamer, Darrell: *Fully convolutional networks for semantic segmentation*, 2015,
doi:10.1109/CVPR.2015.7298965, Fig. 3.
"""

from collections.abc import Sequence

import torch
from torch import nn

from sliceweave.networks.blocks import VGG16_CONVOLUTIONS, check_shape, conv, conv_chain, two_dimensional_only
from sliceweave.networks.skeleton import crop_like, max_pool, pad_to_multiple


class FCN8s(nn.Module):
    """Logits of FCN-8s: `(B, in_channels, H, W)` → `(B, out_channels, H, W)`, any size, 2D only.

    VGG16's five stages, each followed by max pooling; its fully connected layers as a 7×7 (fc6) and a 1×1 (fc7)
    convolution with dropout; a 1×1 convolution scores fc7, pool4 and pool3; the scores are upsampled by 2, 2 and 8
    and added where their sizes meet.

    Args:
        widths: channels of the five stages, then, one number, of both fc6 and fc7.

    Raises:
        ValueError: `spatial_dims` is not 2.

    Departs from the paper: the network is trained from scratch, so batch normalisation follows each convolution of the
    encoder and the scores do not start at zero; padding that keeps the size stands in place of a margin of 100 pixels;
    the upsampling by 8 starts bilinear but is learned, as the other two are; edges are replicated to a multiple of 32.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int] = (64, 128, 256, 512, 512, 4096),
    ) -> None:
        super().__init__()
        two_dimensional_only("FCN8s", spatial_dims)
        check_shape(spatial_dims, widths, stages=6)
        *stages, hidden = widths
        self.encoder = nn.ModuleList(
            nn.Sequential(conv_chain(2, [i] + [o] * count, bias=True), max_pool(2))
            for i, o, count in zip([in_channels, *stages[:-1]], stages, VGG16_CONVOLUTIONS, strict=True)
        )
        self.fc = nn.Sequential(
            *(conv(2, stages[-1], hidden, kernel_size=7), nn.ReLU(), nn.Dropout(0.5)),
            *(conv(2, hidden, hidden, kernel_size=1), nn.ReLU(), nn.Dropout(0.5)),
        )
        self.score_fc = conv(2, hidden, out_channels, kernel_size=1)
        self.score_pool4 = conv(2, stages[-2], out_channels, kernel_size=1)
        self.score_pool3 = conv(2, stages[-3], out_channels, kernel_size=1)
        self.up_fc = bilinear_transposed(out_channels, 2)
        self.up_pool4 = bilinear_transposed(out_channels, 2)
        self.up_pool3 = bilinear_transposed(out_channels, 8)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = pad_to_multiple(image, 1 << len(self.encoder))
        pools: list[torch.Tensor] = []
        for stage in self.encoder:
            x = stage(x)
            pools.append(x)
        score = self.up_fc(self.score_fc(self.fc(x))) + self.score_pool4(pools[-2])
        score = self.up_pool4(score) + self.score_pool3(pools[-3])
        return crop_like(self.up_pool3(score), image)


def bilinear_transposed(channels: int, factor: int) -> nn.ConvTranspose2d:
    """A learned upsampling `(B, C, H, W)` → `(B, C, factor·H, factor·W)` that starts as the bilinear one."""
    layer = nn.ConvTranspose2d(channels, channels, 2 * factor, stride=factor, padding=factor // 2, bias=False)
    tent = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels)[:, :, None, None] * torch.outer(tent, tent))
    return layer
