"""The papers' networks and what they are compared with: mathematics only, no files, no transforms, no configuration."""

from sliceweave.networks.eas_unet import EASUNet
from sliceweave.networks.fcn8s import FCN8s
from sliceweave.networks.inception_res_unet import InceptionResUNet
from sliceweave.networks.lg_net import LGNet
from sliceweave.networks.ra_unet import RAUNet
from sliceweave.networks.res_unet import ResUNet
from sliceweave.networks.segnet import SegNet
from sliceweave.networks.self_attention_unet import SelfAttentionUNet
from sliceweave.networks.u2net import U2Net, u2net_lite
from sliceweave.networks.unet import UNet

__all__ = [
    "EASUNet",
    "FCN8s",
    "InceptionResUNet",
    "LGNet",
    "RAUNet",
    "ResUNet",
    "SegNet",
    "SelfAttentionUNet",
    "U2Net",
    "UNet",
    "u2net_lite",
]
