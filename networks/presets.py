"""MONAI's networks at the widths of the papers they come from, fit for any input size, in 2D and 3D.

Each function gives a network `(B, in_channels, *S)` → logits `(B, out_channels, *S)`, in training mode too.
"""

import math
from collections.abc import Sequence

import torch
from monai.networks import nets
from torch import nn

from sliceweave.networks.skeleton import crop_like, pad_to_multiple


class AnySize(nn.Module):
    """A network that wants sizes divisible by `multiple`, for any size S: `(B, C, *S)` → `(B, C', *S)`.

    Edges are replicated and the result is cropped; where the network gives a list, the result is its first tensor.
    """

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits = self.network(pad_to_multiple(image, self.multiple))
        return crop_like(logits[0] if isinstance(logits, list) else logits, image)


def attention_unet(
    spatial_dims: int, in_channels: int, out_channels: int, widths: Sequence[int] = (64, 128, 256, 512, 1024)
) -> AnySize:
    """Attention U-Net at U-Net's widths.

    Oktay et al., *Attention U-Net: learning where to look for the pancreas*, 2018, arXiv:1804.03999.

    Departs from the paper: in what MONAI's does, chiefly strided convolutions in place of max pooling, gates fed from
    the upsampled map, no deep supervision.
    """
    strides = [2] * (len(widths) - 1)
    return AnySize(nets.AttentionUnet(spatial_dims, in_channels, out_channels, widths, strides), 1 << len(strides))


def unet_plus_plus(
    spatial_dims: int, in_channels: int, out_channels: int, widths: Sequence[int] = (32, 64, 128, 256, 512)
) -> AnySize:
    """U-Net++ without deep supervision; five widths.

    Zhou et al., *UNet++: a nested U-Net architecture for medical image segmentation*, 2018,
    doi:10.1007/978-3-030-00889-5_1.

    Departs from the paper: MONAI's has transposed convolutions that halve the channels below the first level.
    """
    network = nets.BasicUNetPlusPlus(
        spatial_dims, in_channels, out_channels, [*widths, widths[0]], act="RELU", norm="BATCH"
    )
    for head in ("final_conv_0_1", "final_conv_0_2", "final_conv_0_3"):
        setattr(network, head, nn.Identity())  # their results go unused: weights without gradients stop DDP
    return AnySize(network, 1 << (len(widths) - 1))


def residual_unet_3d(
    spatial_dims: int, in_channels: int, out_channels: int, widths: Sequence[int] = (64, 128, 256, 512)
) -> AnySize:
    """The liver paper's "3D U-Net": residual units and strided convolutions; 2D is possible.

    The widths are those each of 3D U-Net's four steps ends with, which gives 18.9 million parameters where it has 19.1.
    Çiçek et al., *3D U-Net: learning dense volumetric segmentation from sparse annotation*, 2016,
    doi:10.1007/978-3-319-46723-8_49.

    Departs from the paper: from Çiçek's in residual units and strides in place of pooling, as the liver paper's
    introduction describes it (its results speak of pooling), and in MONAI's instance normalisation and PReLU.
    """
    strides = [2] * (len(widths) - 1)
    network = nets.UNet(spatial_dims, in_channels, out_channels, widths, strides, num_res_units=2)
    return AnySize(network, 1 << len(strides))


def seg_res_net(
    spatial_dims: int, in_channels: int, out_channels: int, widths: Sequence[int] = (32, 64, 128, 256)
) -> AnySize:
    """SegResNet without its autoencoder: four widths, each twice the one before.

    Myronenko, *3D MRI brain tumor segmentation using autoencoder regularization*, 2018, arXiv:1810.11654.

    Raises:
        ValueError: the widths are not four that double.

    Departs from the paper: groups of the normalisation are 8 where the first width divides by 8.
    """
    if list(widths) != [widths[0] << level for level in range(4)]:
        raise ValueError(f"SegResNet's four widths double: expected e.g. (32, 64, 128, 256), got {tuple(widths)}")
    network = nets.SegResNet(
        spatial_dims, widths[0], in_channels, out_channels, norm=("GROUP", {"num_groups": math.gcd(8, widths[0])})
    )
    return AnySize(network, 1 << (len(widths) - 1))


def dyn_unet(
    spatial_dims: int, in_channels: int, out_channels: int, widths: Sequence[int] = (32, 64, 128, 256, 320)
) -> AnySize:
    """nnU-Net's plain network without deep supervision, 3×3 convolutions at every level.

    Isensee et al., *nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation*, 2021,
    doi:10.1038/s41592-020-01008-z.

    Departs from the paper: strides, kernels and depth do not follow the data's spacing and size.
    """
    downs = len(widths) - 1
    network = nets.DynUNet(
        spatial_dims,
        in_channels,
        out_channels,
        kernel_size=[3] * len(widths),
        strides=[1] + [2] * downs,
        upsample_kernel_size=[2] * downs,
        filters=widths,
    )
    return AnySize(network, 1 << downs)
