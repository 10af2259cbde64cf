"""Options as typed for a bundle's run: none is ignored because it is misspelt."""

import inspect
import sys
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from itertools import dropwhile
from typing import Any

from sliceweave.pipelines.errors import InputError


def refuse_unknown_options() -> None:
    """Ends a run started by `python -m monai.bundle run` with an option that neither MONAI nor a config file has.

    MONAI adds whatever is typed to the config, where nothing asks for it.

    Raises:
        InputError: there is one.
    """
    from monai.bundle import ConfigParser, run

    if getattr(sys.modules["__main__"].__spec__, "name", "") != "monai.bundle.__main__" or sys.argv[1:2] != ["run"]:
        return
    typed = parse_options([*dropwhile(lambda text: not text.startswith("--"), sys.argv[2:])])  # first what is to run
    known = {*inspect.signature(run).parameters, "bundle_root"}
    for name in ("config_file", "args_file", "meta_file"):
        if name in typed:
            known |= {str(key) for key in ConfigParser.load_config_files(typed[name])}
    for name in typed:
        check_known(name.lstrip("+~"), known)


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


def check_known(name: str, known: Collection[str]) -> None:
    """Raises InputError unless the name's first part is known; says which one it may have meant."""
    first = name.replace("#", "::").split("::")[0]
    if first not in known:
        near = get_close_matches(first, known, 1)
        advice = f"; did you mean --{near[0]}?" if near else ""
        raise InputError(f"the bundle's config has no option --{first}{advice}")
