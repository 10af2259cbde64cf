"""What all networks of a comparison share, and what a bundle is told so that it trains and scores one of them."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.bundle import ConfigParser

from sliceweave.pipelines.bundles import Config, bundle_root, task_settings
from sliceweave.pipelines.contenders import Contender
from sliceweave.pipelines.errors import InputError, reason_of

_BUILDER = "sliceweave.networks.catalogue.build"
_SHAPE = ("spatial_dims", "in_channels", "out_channels")
_SET_BY_COMPARE = {
    **dict.fromkeys(("network_def", "network", "network_settings"), "--networks"),
    **dict.fromkeys(("cases", "dataset_dir", "validation_share", "split"), "--data and --split"),
    **dict.fromkeys(("output_dir", "cache_dir", "checkpoint", "last_state", "resume"), "--out"),
    "epochs": "--epochs",
    "seed": "--seeds",
    "widths": "--width-share",
}


@dataclass(frozen=True)
class Conditions:
    """The recipe of a bundle as all networks are trained by it.

    Args:
        compact: whether `compact.yaml` is laid over `train.yaml`.
        overrides: values of the bundle's configuration that replace its own.
        epochs: of every training; None for the recipe's.
        width_share: by what every network's own widths are multiplied; None for what `compact` does to the bundle's
            own network.

    Raises:
        InputError: there is no such task.
    """

    task: str
    compact: bool = False
    overrides: Mapping[str, Any] | None = None
    epochs: int | None = None
    width_share: float | None = None

    @property
    def share(self) -> float:
        """By what the widths are multiplied."""
        if self.width_share is not None:
            return self.width_share
        settings = task_settings(self.task)
        return settings["compact"]["widths"][0] / settings["train"]["widths"][0] if self.compact else 1.0

    def stages(self, is_3d: bool = False) -> list[str]:
        """The bundle's files of a training, in the order in which they merge."""
        return ["train", *(["compact"] if self.compact else []), *(["3d"] if is_3d else [])]

    def files(self, stages: Sequence[str]) -> list[str]:
        return [str(bundle_root(self.task).absolute() / "configs" / f"{stage}.yaml") for stage in stages]

    def configuration(self, is_3d: bool = False) -> Config:
        """The recipe as it will be used, unresolved.

        Raises:
            InputError: an override of what is not there, or of what a comparison sets itself.
        """
        merged = ConfigParser(ConfigParser.load_config_files(self.files(self.stages(is_3d))))
        for name, value in (self.overrides or {}).items():
            _check_override(name, merged.get())
            _put(merged, name, value)
        if self.epochs is not None:
            merged["epochs"] = self.epochs
        config: Config = merged.get()
        return config

    def training(self, contender: Contender) -> Config:
        """What is laid over the recipe to train one network; where from, where to and the seed come on top."""
        recipe = self.configuration(contender.is_3d)
        overlay = {**(self.overrides or {}), "epochs": recipe["epochs"], **self._network(contender, recipe)}
        if recipe["loss"].get("_target_") != "DeepSupervisionLoss":
            # Of a network with side outputs each counts alike; to any other it makes no difference.
            overlay["train::trainer::loss_function"] = {
                "_target_": "DeepSupervisionLoss",
                "loss": "@loss",
                "weight_mode": "same",
            }
        return overlay

    def evaluation(self, contender: Contender) -> Config:
        """What is laid over `evaluate.yaml` to score one network: the shipped weights' settings give way."""
        recipe = self.configuration(contender.is_3d)
        shipped = task_settings(self.task)["evaluate"]
        (path,) = self.files(["evaluate"])
        settled = [name for name in ConfigParser.load_config_file(path) if name not in shipped]
        overrides = {
            name: value
            for name, value in (self.overrides or {}).items()
            if not any(_is_within(name, other) or _is_within(other, name) for other in settled)
        }
        return {**{name: recipe[name] for name in shipped}, **overrides, **self._network(contender, recipe)}

    def parameters(self, contender: Contender) -> int:
        """How many parameters the network has, counted without memory for them.

        Raises:
            InputError: it cannot be built of these parts, at these widths or in these dimensions.
        """
        parser = ConfigParser(self.configuration(contender.is_3d))
        for name, value in self.training(contender).items():
            _put(parser, name, value)
        try:
            with torch.device("meta"):
                network = parser.get_parsed_content("network_def")
        except Exception as error:  # from MONAI's RuntimeError to a network's ZeroDivisionError
            raise InputError(f"{contender.name} cannot be built at these settings: {reason_of(error)}") from error
        return sum(parameter.numel() for parameter in network.parameters())

    def _network(self, contender: Contender, recipe: Config) -> Config:
        """The network's definition in place of the bundle's, and its widths where the weights declare them."""
        own = recipe["network_def"]
        options = {name: own[name] for name in own if contender.takes(name) and not name.startswith("_")}
        definition = {"_target_": _BUILDER, "name": contender.entry.name, **{name: own[name] for name in _SHAPE}}
        options = {name: value for name, value in options.items() if name not in (*_SHAPE, "widths", "parts")}
        widths = contender.widths(self.share)
        widened = {} if widths is None else {"widths": "@widths"}
        return {
            **({} if widths is None else {"widths": widths}),
            "network_def": {**definition, **widened, **options, **contender.options},
        }


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """`["plane_size=[64,64]", "loss::gamma=0.3"]` as values by name.

    Raises:
        InputError: not NAME=VALUE.
    """
    overrides = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(f"--set is NAME=VALUE, like --set \"plane_size=[64,64]\"; got '{text}'")
        overrides[name.strip()] = _value(value.strip())
    return overrides


def _value(text: str) -> Any:
    named = {"true": True, "false": False, "null": None, "none": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _is_within(name: str, other: str) -> bool:
    return f"{name}::".startswith(f"{other}::")


def _put(parser: ConfigParser, name: str, value: Any) -> None:
    try:
        parser[name] = value
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"--set {name}: there is no such place in the bundle's configuration") from error


def _check_override(name: str, config: Config) -> None:
    """Raises InputError for a name that is not the bundle's, or that a comparison sets itself."""
    top = name.split("::")[0]
    if top in _SET_BY_COMPARE:
        raise InputError(f"--set {name}: a comparison sets that itself; give {_SET_BY_COMPARE[top]}")
    if top not in config:
        raise InputError(f"--set {name}: the bundle's configuration has no '{top}'; see its configs/train.yaml")


def parse_seeds(text: str) -> list[int]:
    """`3` as 0, 1, 2; `3,7` as these, each once.

    Raises:
        InputError: anything else.
    """
    numbers = [part.strip() for part in text.split(",") if part.strip()]
    if not numbers or not all(number.isdecimal() for number in numbers) or (numbers == ["0"] and "," not in text):
        raise InputError(f"--seeds is how many (3), or which (3,7 or 7,); got '{text}'")
    return list(dict.fromkeys(map(int, numbers))) if "," in text else list(range(int(text)))
