"""What is typed as `NAME=PATH`."""

import os
from collections.abc import Sequence
from pathlib import Path

from sliceweave.pipelines.errors import InputError


def named_paths(texts: Sequence[str], what: str) -> dict[str, Path]:
    """`UNet=runs/unet` as path by name, in that order; a path alone is called by its folder.

    Args:
        what: names the argument in messages, such as `--models`.

    Raises:
        InputError: a name twice, or nothing behind the name.
    """
    paths: dict[str, Path] = {}
    for text in texts:
        name, path = _parts(text)
        if not name or not path:
            raise InputError(f"{what} is NAME=PATH, got '{text}'")
        if name in paths:
            raise InputError(f"{what}: two are called '{name}'; give each its own name: NAME=PATH")
        paths[name] = Path(os.path.expanduser(path))
    return paths


def _parts(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if equals and not os.path.exists(text):
        return name.strip(), path.strip()
    resolved = Path(text).resolve()
    return (resolved.parent.name if resolved.is_file() else resolved.name), text
