"""U-Net, which every paper is compared with, in 2D and 3D.

Ronneberger, Fischer, Brox: *U-Net: convolutional networks for biomedical image segmentation*, 2015,
doi:10.1007/978-3-319-24574-4_28, Fig. 1. In 3D: Çiçek et al., *3D U-Net*, 2016, doi:10.1007/978-3-319-46723-8_49.
"""

from collections.abc import Sequence

import torch
from torch import nn

from sliceweave.networks.blocks import Concat, DecoderStage, check_shape, conv, double_conv, transposed_up
from sliceweave.networks.skeleton import EncoderDecoder, crop_like, max_pool


class UNet(nn.Module):
    """Logits of U-Net: `(B, in_channels, *S)` → `(B, out_channels, *S)`, any size S.

    Two convolutions a stage; max pooling halves the map, a transposed convolution doubles it and gives as many
    channels as the skip, which is concatenated; a 1×1 convolution makes the logits. At the default widths in 2D, from
    one channel to one, 31,042,369 parameters: the U-Net of the liver paper's table.

    Args:
        widths: channels of the stages, the bottom's last.

    Departs from the paper: padded convolutions keep the size, so that no skip is cropped; batch normalisation stands
    after each of them; edges are replicated to a multiple of 2^(len(widths) − 1).
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, widths: Sequence[int] = (64, 128, 256, 512, 1024)
    ) -> None:
        super().__init__()
        check_shape(spatial_dims, widths)
        stages = [
            double_conv(spatial_dims, i, o, bias=True) for i, o in zip([in_channels, *widths[:-1]], widths, strict=True)
        ]
        self.u = EncoderDecoder(
            down=max_pool(spatial_dims),
            encoder=stages[:-1],
            bottom=stages[-1],
            decoder=[
                DecoderStage(
                    transposed_up(spatial_dims, widths[level + 1], widths[level]),
                    Concat(),
                    double_conv(spatial_dims, 2 * widths[level], widths[level], bias=True),
                )
                for level in reversed(range(len(widths) - 1))
            ],
        )
        self.head = conv(spatial_dims, widths[0], out_channels, kernel_size=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return crop_like(self.head(self.u(image)[-1]), image)
