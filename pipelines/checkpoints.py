"""Weights and training state on disk: written whole or not at all, loaded or refused in one line."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Evaluator, Trainer
from monai.handlers import CheckpointLoader

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.options import yes_or_no


def save_atomically(content: Any, path: Path) -> None:
    """`torch.save` to a path that is never half written.

    Raises:
        InputError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load_weights(network: torch.nn.Module, path: str, device: torch.device | str = "cpu") -> torch.nn.Module:
    """The network on its device with the state dict of `path` in it.

    Raises:
        InputError: no such file, not a state dict, or one made for a network of another shape.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no weights there: train them, or name a file with --checkpoint")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # from UnpicklingError to TypeError, torch raises what it likes
        detail = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: not the weights of this {type(network).__name__} (widths, slab?): {detail}"
        ) from error
    return on_device(network, device)


def on_device(network: torch.nn.Module, device: torch.device | str) -> torch.nn.Module:
    """The network on its device.

    Raises:
        InputError: there is no such device here.
    """
    try:
        return network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: not to be used here: {str(error).splitlines()[0]}; try cpu") from error


def fingerprint(path: str, settings: object = None) -> str:
    """Eight hex digits that change with the weights or the settings, or `none` where there is no file."""
    if not Path(path).is_file():
        return "none"
    return hashlib.sha256(Path(path).read_bytes() + repr(settings).encode()).hexdigest()[:8]


def state_of(item: Any) -> Any:
    """The state dict of anything that has one, without DistributedDataParallel's wrapper."""
    return getattr(item, "module", item).state_dict()


class BestWeights:
    """Handler of a validation engine: keeps the network's state dict in `path` whenever the key metric improves."""

    def __init__(self, network: torch.nn.Module, path: str) -> None:
        self.network = network
        self.path = Path(path)

    def attach(self, engine: Evaluator) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Evaluator) -> None:
        if engine.state.best_metric_epoch == engine.state.epoch and engine.state.rank == 0:
            save_atomically(state_of(self.network), self.path)


class TrainingState:
    """Handler of a trainer: all it needs to go on stands in `path` after each epoch, and is read back on `resume`.

    Args:
        objects: what has a state dict (network, optimiser, scheduler); the trainer itself is added.
        validator: the engine whose best metric so far is kept too.
    """

    def __init__(self, path: str, objects: Mapping[str, Any], validator: Evaluator, resume: bool = False) -> None:
        self.path = Path(path)
        self.objects = {**objects, "validator": validator}
        self.resume = yes_or_no(resume, "resume")
        validator.state_dict_user_keys.extend(["best_metric", "best_metric_epoch"])

    def attach(self, engine: Trainer) -> None:
        self.objects["trainer"] = engine
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        if self.resume and self.path.is_file():
            engine.add_event_handler(Events.STARTED, self.load)

    def load(self, engine: Trainer) -> None:
        """Takes the state up again.

        Raises:
            InputError: it belongs to a network or optimiser of another shape.
        """
        try:
            CheckpointLoader(str(self.path), self.objects, map_location={"cuda:0": "cpu"})(engine)
        except (RuntimeError, ValueError, KeyError) as error:
            detail = " ".join(str(error).split())[:200]
            raise InputError(f"{self.path}: not a training of this configuration, cannot resume: {detail}") from error

    def __call__(self, engine: Trainer) -> None:
        if engine.state.rank == 0:
            save_atomically({name: state_of(item) for name, item in self.objects.items()}, self.path)
