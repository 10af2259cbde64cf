"""The settings of a comparison beside its results: other settings are never mixed with those."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.errors import InputError

FILE = "settings.json"
_LEFT_BY_A_START = {"lock"}
_DIFFERENCES_NAMED = 3

Settings = Mapping[str, Any]


def is_begun(folder: Path) -> bool:
    """Whether a comparison has begun in the folder."""
    return (folder / FILE).exists()


def keep_settings(folder: Path, settings: Settings) -> None:
    """Writes `settings.json` into a new folder; in one that has it, checks that it says the same.

    Raises:
        InputError: it says something else, or the folder holds what no comparison wrote.
    """
    path = folder / FILE
    if not path.exists():
        if any(entry.name not in _LEFT_BY_A_START for entry in folder.iterdir()):
            raise InputError(f"{folder} is not empty and was not made by compare; name another --out")
        write_atomically(path, json.dumps(settings, indent=1).encode())
        return
    if differing := list(differences(_read(path), json.loads(json.dumps(settings)))):
        more = f" and {len(differing) - _DIFFERENCES_NAMED} more" if len(differing) > _DIFFERENCES_NAMED else ""
        raise InputError(
            f"{folder} was begun with other settings: {', '.join(differing[:_DIFFERENCES_NAMED])}{more}; "
            "repeat those, or name another --out"
        )


def differences(before: Settings, now: Settings) -> Iterator[str]:
    """Each value that differs, as `epochs was 2, is 3`."""
    old, new = dict(_leaves(before)), dict(_leaves(now))
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield f"{name} was {_shown(old, name)}, is {_shown(new, name)}"


def _leaves(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}::")
        else:
            yield prefix + name, value


def _shown(settings: Settings, name: str) -> str:
    return json.dumps(settings[name]) if name in settings else "not there"


def _read(path: Path) -> Settings:
    try:
        settings = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); restore it, or name another --out") from error
    if not isinstance(settings, dict):
        raise InputError(f"{path}: expected the settings that compare wrote; restore it, or name another --out")
    return settings
