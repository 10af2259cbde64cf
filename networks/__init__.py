"""The papers' networks: mathematics only, no files, no transforms, no configuration."""

from sliceweave.networks.self_attention_unet import SelfAttentionUNet

__all__ = ["SelfAttentionUNet"]
