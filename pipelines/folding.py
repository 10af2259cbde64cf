"""Batch normalisation folded into the convolutions before it: in evaluation it only scales and shifts their result."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from monai.networks.blocks import UnetResBlock
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval


class _Place(NamedTuple):
    """A layer, and where it hangs."""

    parent: nn.Module
    name: str

    @property
    def layer(self) -> nn.Module:
        return getattr(self.parent, self.name)


def fold_batch_norms(network: nn.Module) -> int:
    """Changes a network in evaluation mode in place, and gives the number of normalisations that are gone.

    Its results stay the same but for rounding (some 1e-6 of the largest). Folded is what directly follows a convolution
    in an `nn.Sequential` or in MONAI's `UnetResBlock`; a normalisation that stands before its convolution stays.

    Raises:
        ValueError: the network is in training mode, in which the statistics are those of each batch.
    """
    if network.training:
        raise ValueError("batch normalisation is folded in evaluation mode only: call network.eval() first")
    pairs = [pair for module in network.modules() for pair in _neighbours(module)]
    folded = 0
    for before, after in pairs:
        conv, norm = before.layer, after.layer
        if isinstance(conv, _ConvNd) and isinstance(norm, _BatchNorm) and norm.running_var is not None:
            fused = fuse_conv_bn_eval(conv, norm, transpose=isinstance(conv, _ConvTransposeNd))
            setattr(before.parent, before.name, fused)
            setattr(after.parent, after.name, nn.Identity())
            folded += 1
    return folded


def _neighbours(module: nn.Module) -> Iterator[tuple[_Place, _Place]]:
    """Layers of which the second takes what the first gives, and nobody else does."""
    if _is_chain(module):
        yield from pairwise(_links(module))
    if isinstance(module, UnetResBlock):
        for number in "123":
            if hasattr(module, f"conv{number}"):
                yield list(_links(getattr(module, f"conv{number}")))[-1], _Place(module, f"norm{number}")


def _links(chain: nn.Module) -> Iterator[_Place]:
    """The layers of a chain, those of chains within it in their place."""
    for name, child in chain.named_children():
        if _is_chain(child):
            yield from _links(child)
        else:
            yield _Place(chain, name)


def _is_chain(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward
