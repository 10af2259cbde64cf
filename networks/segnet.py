"""SegNet, a comparator of the haematoma and lung papers.

Badrinarayanan, Kendall, Cipolla: *SegNet: a deep convolutional encoder–decoder architecture for image segmentation*,
2017, doi:10.1109/TPAMI.2016.2644615, Figs. 2 and 3.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from sliceweave.networks.blocks import VGG16_CONVOLUTIONS, check_shape, conv, conv_chain, two_dimensional_only
from sliceweave.networks.skeleton import crop_like, pad_to_multiple


class SegNet(nn.Module):
    """Logits of SegNet: `(B, in_channels, H, W)` → `(B, out_channels, H, W)`, any size, 2D only.

    VGG16's five stages, each followed by max pooling that remembers where the maxima stood; the mirrored decoder puts
    its values back there (`max_unpool`) and convolves. The decoder's last convolution is the classifier.

    Args:
        widths: channels of the five stages.

    Raises:
        ValueError: `spatial_dims` is not 2.

    Departs from the paper: it is trained from scratch, where the paper starts from VGG16's weights; edges are
    replicated to a multiple of 32.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, widths: Sequence[int] = (64, 128, 256, 512, 512)
    ) -> None:
        super().__init__()
        two_dimensional_only("SegNet", spatial_dims)
        check_shape(spatial_dims, widths, stages=5)
        counts = VGG16_CONVOLUTIONS
        down = zip([in_channels, *widths[:-1]], widths, counts, strict=True)
        up = zip(widths[:0:-1], widths[-2::-1], counts[:0:-1], strict=True)
        last = conv_chain(2, [widths[0]] * counts[0], bias=True).append(conv(2, widths[0], out_channels))
        self.encoder = nn.ModuleList(conv_chain(2, [i] + [o] * count, bias=True) for i, o, count in down)
        self.decoder = nn.ModuleList([*(conv_chain(2, [i] * count + [o], bias=True) for i, o, count in up), last])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = pad_to_multiple(image, 1 << len(self.encoder))
        places: list[torch.Tensor] = []
        for stage in self.encoder:
            x, place = F.max_pool2d(stage(x), 2, return_indices=True)
            places.append(place)
        for level, stage in enumerate(self.decoder):
            x = stage(max_unpool(x, places[-1 - level]))
        return crop_like(x, image)


def max_unpool(x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Values put where `places` says that 2×2 pooling found its maxima, zeros elsewhere: `(B, C, H, W)` → 2H, 2W.

    Written with `scatter`, which can be deterministic on CUDA; torch's own unpooling refuses to be.
    """
    batch, channels, height, width = x.shape
    full = x.new_zeros(batch, channels, 4 * height * width)
    return full.scatter(2, places.flatten(2), x.flatten(2)).view(batch, channels, 2 * height, 2 * width)
