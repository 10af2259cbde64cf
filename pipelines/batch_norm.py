"""Batch normalisation's running statistics, taken anew with the weights held still."""

import copy
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.utils import CommonKeys
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from sliceweave.pipelines.options import whole_number
from sliceweave.pipelines.processes import share_buffers


class FreshStatistics:
    """Handler of a trainer: after each epoch, running means and variances over training batches and today's weights.

    What training leaves is an average over weights that have moved on since. Where they move fast, as early in a short
    training, or where the activations of a few samples stand far out, the network is another one in evaluation than it
    was in training. To be attached before what validates and saves. Networks without batch normalisation are let be, so
    are norms that hold their statistics in training.

    Args:
        network: whose statistics.
        batches: what the trainer is fed; repeated from the epoch's beginning.
        count: how many batches; 0 leaves the statistics as training does.
        device: where the network is.

    Raises:
        InputError: a count that is not a whole number from 0.
    """

    def __init__(
        self, network: torch.nn.Module, batches: Iterable[Mapping[Any, Any]], count: int, device: torch.device | str
    ) -> None:
        self.network = network
        self.batches = batches
        self.count = whole_number(count, "statistics_batches", least=0)
        self.device = torch.device(device)

    def attach(self, engine: Engine) -> None:
        if self.count:
            engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: self.refresh())

    def refresh(self) -> None:
        """Takes the statistics anew."""
        images = (batch[CommonKeys.IMAGE] for batch in islice(self.batches, self.count))
        self.network.train()
        steady = [layer for layer in self.network.modules() if isinstance(layer, _BatchNorm) and not layer.training]
        kept = [copy.deepcopy(layer.state_dict()) for layer in steady]
        update_bn(images, self.network, self.device)
        for layer, state in zip(steady, kept, strict=True):
            layer.load_state_dict(state)
        share_buffers(self.network)
