"""Feature fusion of the lung paper's decoder, with its residual squeeze and excitation."""

import torch
from monai.networks.blocks import ChannelSELayer
from torch import nn

from sliceweave.networks.blocks import conv, conv_norm_act


class FeatureFusion(nn.Module):
    """The joint that weighs shallow and deep features: `(B, D, *S)`, skip `(B, C, *S)` → `(B, C + D, *S)`. Fig. 6.

    The weights lie in 0…1, which the paper leaves open: left without bounds they multiply up from level to level, and
    the statistics that batch normalisation keeps for inference follow no batch any more.
    """

    def __init__(self, spatial_dims: int, shallow: int, deep: int, rse: bool) -> None:
        super().__init__()

        def branch(kernel_size: int, out_channels: int) -> nn.Sequential:
            return nn.Sequential(
                conv_norm_act(spatial_dims, shallow + deep, shallow, kernel_size=1),
                conv(spatial_dims, shallow, shallow, kernel_size),
                RSE(spatial_dims, shallow, out_channels) if rse else conv(spatial_dims, shallow, out_channels, 1),
            )

        self.l1 = branch(3, shallow)
        self.l2 = branch(5, deep)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        both = torch.cat([skip, x], dim=1)
        return torch.cat([skip * torch.sigmoid(self.l1(both)), x * torch.sigmoid(self.l2(both))], dim=1)


class RSE(nn.Module):
    """A residual whose channels are weighed: `(B, C_in, *S)` → `(B, C, *S)`, y = x + u·s. Fig. 7.

    x is a 1×1 convolution of the input; u = BN(dropout(conv 3×3(x))); s = σ(W₂·ReLU(W₁·GAP(u))), W₁ reducing C to ⌊C/6⌋
    (at least 1).
    """

    def __init__(self, spatial_dims: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.change = conv(spatial_dims, in_channels, out_channels, kernel_size=1)
        self.trunk = conv_norm_act(spatial_dims, out_channels, out_channels, act=None, adn_ordering="DN", dropout=0.1)
        self.weigh = ChannelSELayer(spatial_dims, out_channels, r=min(6, out_channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.change(x)
        return x + self.weigh(self.trunk(x))
