"""ResUNet, which the echocardiography network improves on.

Zhang, Liu, Wang: *Road extraction by deep residual U-Net*, 2018, doi:10.1109/LGRS.2018.2802944, Fig. 2 and Table I.
"""

from collections.abc import Sequence

import torch
from torch import nn

from sliceweave.networks.blocks import (
    Concat,
    DecoderStage,
    Residual,
    act_conv,
    check_shape,
    conv,
    linear_up,
    two_dimensional_only,
)
from sliceweave.networks.skeleton import EncoderDecoder, crop_like


class ResUNet(nn.Module):
    """Logits of ResUNet: `(B, in_channels, H, W)` → `(B, out_channels, H, W)`, any size, 2D only.

    Three residual units down, one as the bridge, three up, then a 1×1 convolution. A unit is two pre-activated 3×3
    convolutions beside a 1×1 shortcut; from the second on, a stride of two takes the place of pooling. Each decoder
    unit follows an upsampling and the concatenation with the encoder's map of that size.

    Args:
        widths: channels of the encoder's units, the bridge's last.

    Raises:
        ValueError: `spatial_dims` is not 2.

    Departs from the paper: in nothing it states. It leaves open, and here is: bilinear upsampling; edges replicated to
    a multiple of 2^(len(widths) − 1).
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, widths: Sequence[int] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        two_dimensional_only("ResUNet", spatial_dims)
        check_shape(spatial_dims, widths)
        units = [residual_unit(widths[k], widths[k + 1], stride=2) for k in range(len(widths) - 1)]
        self.u = EncoderDecoder(
            down=nn.Identity(),
            encoder=[first_unit(in_channels, widths[0]), *units[:-1]],
            bottom=units[-1],
            decoder=[
                DecoderStage(linear_up(2), Concat(), residual_unit(widths[level + 1] + widths[level], widths[level]))
                for level in reversed(range(len(widths) - 1))
            ],
        )
        self.head = conv(2, widths[0], out_channels, kernel_size=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return crop_like(self.head(self.u(image)[-1]), image)


def residual_unit(in_channels: int, out_channels: int, stride: int = 1) -> Residual:
    """Fig. 1b with a projection: `(B, C_in, H, W)` → `(B, C_out, H / stride, W / stride)`."""
    return Residual(
        trunk=nn.Sequential(
            act_conv(2, in_channels, out_channels, stride=stride), act_conv(2, out_channels, out_channels)
        ),
        shortcut=conv(2, in_channels, out_channels, kernel_size=1, stride=stride),
    )


def first_unit(in_channels: int, out_channels: int) -> Residual:
    """The unit that meets the image, whose first convolution no normalisation and no ReLU precede."""
    return Residual(
        trunk=nn.Sequential(conv(2, in_channels, out_channels), act_conv(2, out_channels, out_channels)),
        shortcut=conv(2, in_channels, out_channels, kernel_size=1),
    )
