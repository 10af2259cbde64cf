"""The running average of the weights during training, which is validated and kept in their stead."""

from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler

from sliceweave.pipelines.options import share_of_one
from sliceweave.pipelines.processes import share_buffers


class WeightAverage:
    """Handler of a trainer: an exponential moving average of a network, or the network itself.

    In the beginning a step has a larger share, 9 / (9 + its number), so that the random weights of the start soon have
    none, however short the training.

    Args:
        network: what is trained.
        share: of each step's weights in the average; 0 for no average.

    Attributes:
        network: what to validate and to keep.

    Raises:
        InputError: a share that is not in 0…1.
    """

    def __init__(self, network: torch.nn.Module, share: float = 0.0) -> None:
        self.trained = network
        self.share = share_of_one(share, "ema_share")
        self.handler = EMAHandler(network, self.share, handle_buffers="update") if self.share else None
        self.network: torch.nn.Module = self.handler.ema_model if self.handler else network

    def attach(self, engine: Engine) -> None:
        if self.handler is not None:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._set_share)  # before the handler takes it
            self.handler.attach(engine, event=Events.ITERATION_COMPLETED)
            for network in (self.trained, self.network):
                engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _, network=network: share_buffers(network))

    def _set_share(self, engine: Engine) -> None:
        share = max(self.share, 9 / (9 + engine.state.iteration))
        engine.state.ema_momentum = share  # type: ignore[attr-defined]

    def state_dict(self) -> dict[str, Any]:
        """The average's weights; nothing where there is no average."""
        return self.network.state_dict() if self.handler else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.handler is not None:
            self.network.load_state_dict(state)


def handler_of(average: WeightAverage) -> WeightAverage:
    """The average itself, in the form in which MONAI's tools expect a handler in a config: as a component."""
    return average
