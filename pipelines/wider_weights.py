"""Weights of one network as another begins with them that sees more slices, or has twice as many channels."""

from collections.abc import Mapping

import torch
from torch.nn.modules.conv import _ConvTransposeNd

State = Mapping[str, torch.Tensor]

_UNEVEN = 0.2
_SEED = 0


def for_slabs(state: State, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights for single slices as a network for slabs takes them: it begins by seeing the middle slice alone."""
    wide = dict(state)
    for name, own in network.state_dict().items():
        if name in state and state[name].shape == (*own.shape[:1], 1, *own.shape[2:]) != own.shape:
            wide[name] = torch.zeros_like(own)
            wide[name][:, own.shape[1] // 2] = state[name][:, 0]
    return wide


def for_twice_the_widths(state: State, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights as a network of twice the channels takes them: each channel stands twice, so that it begins as they are.

    What read a channel reads its two in unequal shares, else the two would be alike for ever. Position encodings, which
    half of the channels have of frequencies in between, differ a little. Where a layer is not twice as wide (hidden
    ones of few channels are rounded), what is new begins as the network has it, and unread. Chen, Goodfellow, Shlens:
    *Net2Net*, 2016, arXiv:1511.05641.
    """
    generator = torch.Generator().manual_seed(_SEED)
    transposed = {name for name, module in network.named_modules() if isinstance(module, _ConvTransposeNd)}
    wide = dict(state)
    for name, own in network.state_dict().items():
        if name in state and state[name].shape != own.shape:
            output, read = (1, 0) if name.rpartition(".")[0] in transposed else (0, 1)
            values = _more(state[name], own, output)
            if own.dim() > 1 and own.shape[read] == 2 * values.shape[read]:
                values = values.repeat_interleave(2, read) * _shares(values, read, generator)
            elif own.dim() > 1:
                values = _more(values, torch.zeros_like(own), read)
            # a head has twice the channels now: its products are twice as large, their deviation √2 times
            wide[name] = values / 2**0.5 if name.endswith("w_q.weight") else values
    return wide


def _more(values: torch.Tensor, own: torch.Tensor, axis: int) -> torch.Tensor:
    """Values along an axis each twice, or followed by the network's own up to its size."""
    count = values.shape[axis]
    if own.shape[axis] == 2 * count:
        return values.repeat_interleave(2, axis)
    others = tuple(slice(count, None) if a == axis else slice(size) for a, size in enumerate(values.shape))
    return torch.cat([values, own[others]], axis)


def _shares(values: torch.Tensor, read: int, generator: torch.Generator) -> torch.Tensor:
    """Of each channel's two, one after the other along the axis that is read; together 1."""
    first = 0.5 + _UNEVEN * (2 * torch.rand(values.shape, generator=generator) - 1)
    return torch.stack([first, 1 - first], read + 1).flatten(read, read + 1)
