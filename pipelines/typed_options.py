"""Options as typed for a bundle's run: none is ignored because it is misspelt."""

import inspect
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from itertools import dropwhile
from typing import Any

from sliceweave.pipelines.errors import InputError


def refuse_unknown_options() -> None:
    """Ends a run started by `python -m monai.bundle run` with an option that neither MONAI nor a config file has.

    MONAI adds whatever is typed to the config, where nothing asks for it.

    Raises:
        InputError: there is one, or a plain value for what is no plain option.
    """
    from monai.bundle import ConfigParser, run

    if getattr(sys.modules["__main__"].__spec__, "name", "") != "monai.bundle.__main__" or sys.argv[1:2] != ["run"]:
        return
    typed = parse_options([*dropwhile(lambda text: not text.startswith("--"), sys.argv[2:])])  # first what is to run
    config: dict[str, Any] = dict.fromkeys((*inspect.signature(run).parameters, "bundle_root"))
    for name in ("config_file", "args_file", "meta_file"):
        if name in typed:
            config |= ConfigParser.load_config_files(typed[name])
    for name, value in typed.items():
        check_option(name, value, config)


def parse_options(typed: Sequence[str]) -> dict[str, Any]:
    """Values by name of `--name value`, `--name=value` or `--name`, which is True; read as `monai.bundle` reads them.

    Raises:
        InputError: a value without a name.
    """
    from fire.parser import DefaultParseValue

    options: dict[str, Any] = {}
    waiting = ""
    for text in typed:
        if text.startswith("--"):
            name, _, value = text[2:].partition("=")
            waiting = name.replace("-", "_")
            options[waiting] = DefaultParseValue(value) if "=" in text else True
            waiting = "" if "=" in text else waiting
        elif waiting:
            options[waiting] = DefaultParseValue(text)
            waiting = ""
        else:
            raise InputError(f"expected the bundle's options as --NAME VALUE, got '{text}'")
    return options


def check_option(name: str, value: Any, config: Mapping[str, Any]) -> None:
    """Whether a config has an option as it was typed, `part::of_it` too, and whether it can have such a value.

    Raises:
        InputError: there is none (with the one that it may have meant); or it is a component, whose parts are options,
            and the value is neither a component nor a reference to one.
    """
    first, *parts = name.lstrip("+~").replace("#", "::").split("::")
    if first not in config:
        plain = [known for known, content in config.items() if parts or not isinstance(content, dict)]
        near = get_close_matches(first, plain, 1)
        advice = f"; did you mean --{near[0]}?" if near else ""
        raise InputError(f"the bundle's config has no option --{first}{advice}")
    is_plain = isinstance(value, bool | int | float) or (isinstance(value, str) and value[:1] not in ("$", "@", "%"))
    if name in config and isinstance(config[name], dict) and is_plain:
        raise InputError(f"--{name} is a component of the bundle, got {value}; set its parts, as --{name}::PART VALUE")
