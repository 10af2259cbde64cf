"""Weights and training state on disk: written whole or not at all, loaded or refused in one line."""

import filecmp
import hashlib
import io
import json
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Evaluator, Trainer
from monai.handlers import CheckpointLoader

from sliceweave.pipelines.acceleration import keep_freed_memory, serves_channels_last
from sliceweave.pipelines.atomic import make_folder, write_atomically
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.options import yes_or_no
from sliceweave.pipelines.wider_weights import for_slabs, for_twice_the_widths

logger = logging.getLogger(__name__)

_DECLARATION = "sliceweave"
_SETTINGS = "settings"
_SAFETENSORS = ".safetensors"


def save_atomically(content: Any, path: Path) -> None:
    """`torch.save` to a path that is never half written.

    Raises:
        InputError: it cannot be written.
    """
    make_folder(path.parent, "choose another folder")
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load_weights(
    network: torch.nn.Module,
    path: str,
    device: torch.device | str = "cpu",
    settings: Mapping[str, Any] | None = None,
    widen: bool = False,
) -> torch.nn.Module:
    """The network on its device with the state dict of `path` in it: a torch file, or `.safetensors`.

    Nothing in the file is executed.

    Args:
        settings: this run's `spatial_dims`, `slab`, `widths`, …, compared with what the weights say of themselves.
            Weights that say nothing (from elsewhere) are judged by their shapes alone.
        widen: whether weights for single slices may go into a network for slabs, and any into one of twice the widths
            (see `wider_weights`).

    Raises:
        InputError: no such file, not a state dict, one made for another mode or for a network of another shape, or
            weights that are no numbers.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no weights there: train them, name another file, or the bundle with --bundle_root")
    try:
        state = _read_state(path)
    except InputError:
        raise
    except Exception as error:  # from UnpicklingError to TypeError, torch raises what it likes
        # torch's own advice there is to trust the file and to run what is in it
        reason = "it is damaged or holds code" if isinstance(error, UnpicklingError) else _said(error)
        kinds = "expected a state_dict of tensors in .pt or .safetensors"
        raise InputError(f"{path}: not the weights of any network, {kinds}: {reason}") from error
    made_for = declared_settings(state)
    if widen and settings and made_for.get("slab") == 1 and mode_of(settings) == "2.5d":
        state, made_for = for_slabs(state, network), {**made_for, "slab": settings["slab"]}
    if widen and settings and [2 * width for width in made_for.get("widths", ())] == settings.get("widths"):
        state, made_for = for_twice_the_widths(state, network), {**made_for, "widths": settings["widths"]}
    _check_mode(path, made_for, settings or {})
    differing = {name: made_for[name] for name in made_for if settings and settings.get(name) != made_for[name]}
    advice = "".join(f' --{name} "{json.dumps(value)}"' for name, value in differing.items())
    try:
        network.load_state_dict(state)
    except Exception as error:
        raise _other_weights(path, network, error, f"; they were made with{advice}" if advice else "") from error
    if not all(bool(values.isfinite().all()) for values in network.state_dict().values()):
        raise InputError(
            f"{path}: holds weights that are NaN or infinite, as a training that diverged leaves; name others"
        )
    if advice:
        logger.warning("%s was trained with%s; this run goes on with other values", path, advice)
    return on_device(network, device)


def _read_state(path: str) -> Any:
    if not path.endswith(_SAFETENSORS):
        return torch.load(path, map_location="cpu", weights_only=True)
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        advice = 'pip install "sliceweave[safetensors]"'
        raise InputError(f"{path}: weights of this kind need safetensors: {advice}") from error
    return load_file(path)


def declared_settings(state: Any) -> dict[str, Any]:
    """What weights written by `BestWeights` say of themselves; nothing for others."""
    metadata = getattr(state, "_metadata", None)
    found = metadata.get(_DECLARATION, {}) if isinstance(metadata, Mapping) else {}
    return dict(found)


def declared_in(path: str) -> dict[str, Any]:
    """What the weights in a file say of themselves; nothing where it holds none: loading them will say why."""
    try:
        return declared_settings(_read_state(path))
    except Exception:  # torch raises what it likes
        return {}


def declare(state: Mapping[str, Any], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state dict with its settings among the metadata that `torch.save` keeps and `load_state_dict` ignores."""
    declared = OrderedDict(state)
    declared._metadata = {**getattr(state, "_metadata", {}), _DECLARATION: dict(settings)}  # type: ignore[attr-defined]
    return declared


def has_other_weights(checkpoint: str, bundle_root: str) -> bool:
    """Whether a file holds other weights than any that the bundle came with; not where there is no such file."""
    given, shipped = Path(checkpoint), (Path(bundle_root) / "models").glob("*.pt")
    return given.is_file() and not any(filecmp.cmp(given, weights, shallow=False) for weights in shipped)


def mode_of(settings: Mapping[str, Any]) -> str:
    """`2d`, `2.5d` or `3d`; empty if the settings do not say."""
    if "spatial_dims" not in settings:
        return ""
    return "3d" if settings["spatial_dims"] == 3 else "2.5d" if settings.get("slab", 1) > 1 else "2d"


def _check_mode(path: str, made_for: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    theirs, ours = mode_of(made_for), mode_of(settings)
    if theirs and ours and theirs != ours:
        raise InputError(
            f"{path}: weights for mode {theirs}, but this run is {ours}: merge {theirs}.yaml after the stage's file, "
            "or name other weights with --checkpoint"
        )


def _other_weights(path: str, network: torch.nn.Module, error: Exception, advice: str = "") -> InputError:
    return InputError(
        f"{path}: not the weights of this {type(network).__name__}{advice or ' (widths, slab?)'}: {_said(error)}"
    )


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def on_device(network: torch.nn.Module, device: torch.device | str) -> torch.nn.Module:
    """The network on its device.

    Raises:
        InputError: there is no such device here.
    """
    try:
        return network.to(device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: not to be used here: {str(error).splitlines()[0]}; try cpu") from error


def for_training(
    network: torch.nn.Module,
    device: torch.device | str,
    start_from: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> torch.nn.Module:
    """The network on its device, its channels last where that layout serves.

    Args:
        start_from: weights to begin with, of single slices also where this network sees slabs; None for random ones.
        settings: as `load_weights` takes them.

    Raises:
        InputError: there is no such device here, or the weights are not there or another network's.
    """
    keep_freed_memory()
    if start_from is not None:
        load_weights(network, start_from, settings=settings, widen=True)
    if serves_channels_last(network):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return on_device(network, device)


def fingerprint(path: str, settings: object = None) -> str:
    """Eight hex digits that change with the weights or the settings, or `none` where there is no file."""
    if not Path(path).is_file():
        return "none"
    return hashlib.sha256(Path(path).read_bytes() + repr(settings).encode()).hexdigest()[:8]


def state_of(item: Any) -> Any:
    """The state dict of anything that has one, without DistributedDataParallel's wrapper."""
    return getattr(item, "module", item).state_dict()


class BestWeights:
    """Handler of a validation engine: keeps the network's state dict in `path` whenever the key metric improves.

    Args:
        settings: what the weights say of themselves (see `load_weights`): plain numbers, texts and lists.
    """

    def __init__(self, network: torch.nn.Module, path: str, settings: Mapping[str, Any] | None = None) -> None:
        self.network = network
        self.path = Path(path)
        self.settings = dict(settings or {})

    def attach(self, engine: Evaluator) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Evaluator) -> None:
        if engine.state.best_metric_epoch == engine.state.epoch and engine.state.rank == 0:
            save_atomically(declare(state_of(self.network), self.settings), self.path)


class TrainingState:
    """Handler of a trainer: all it needs to go on stands in `path` after each epoch, and is read back on `resume`.

    Args:
        objects: what has a state dict (network, optimiser, scheduler); the trainer and its gradient scaler are added.
        validator: the engine whose best metric so far is kept too.
        settings: options, in one mapping or several, that a resumed training shares with its beginning.
    """

    def __init__(
        self,
        path: str,
        objects: Mapping[str, Any],
        validator: Evaluator,
        resume: bool = False,
        settings: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.path = Path(path)
        self.objects = {**objects, "validator": validator}
        self.resume = yes_or_no(resume, "resume")
        self.settings = {name: value for options in settings for name, value in options.items()}
        validator.state_dict_user_keys.extend(["best_metric", "best_metric_epoch"])

    def attach(self, engine: Trainer) -> None:
        self.objects["trainer"] = engine
        engine.add_event_handler(Events.STARTED, self.begin)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def begin(self, engine: Trainer) -> None:
        """Takes in the gradient scaler, which a trainer makes anew in each run, and goes on where it has to."""
        if engine.scaler is not None:
            self.objects["scaler"] = engine.scaler
        if self.resume and self.path.is_file():
            self.load(engine)

    def load(self, engine: Trainer) -> None:
        """Takes the state up again.

        Raises:
            InputError: it is damaged, or belongs to a training with other settings, other steps in an epoch, or a
                network or optimiser of another shape.
        """
        try:
            self._check_same(torch.load(self.path, "cpu", weights_only=True, mmap=True), engine)
            CheckpointLoader(str(self.path), self.objects, map_location={"cuda:0": "cpu"})(engine)
        except (RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
            detail = " ".join(str(error).split())[:300]
            raise InputError(
                f"{self.path}: not a training of this configuration, cannot resume: {detail}; "
                "give what it began with, or start anew with another --output_dir"
            ) from error

    def _check_same(self, saved: Mapping[str, Any], engine: Trainer) -> None:
        """Raises ValueError where settings or steps differ: they would silently be kept as they were."""
        theirs = {**saved.get(_SETTINGS, self.settings), "steps in an epoch": saved["trainer"]["epoch_length"]}
        ours = {**self.settings, "steps in an epoch": engine.state.epoch_length}
        if differing := [name for name in ours if ours[name] != theirs.get(name)]:
            raise ValueError(", ".join(f"{name} was {theirs.get(name)}, is {ours[name]}" for name in differing))

    def __call__(self, engine: Trainer) -> None:
        if engine.state.rank == 0:
            states = {name: state_of(item) for name, item in self.objects.items()}
            save_atomically({**states, _SETTINGS: self.settings}, self.path)
