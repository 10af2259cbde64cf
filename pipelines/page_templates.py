"""The templates that lie beside this module, filled in."""

import functools
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

_HERE = Path(__file__).parent


def filled_in(template: str, **values: Any) -> str:
    """A template with every value escaped, but for markup that is none of the user's."""
    return _environment().get_template(template).render(values)


def part(name: str) -> Markup:
    """A file of ours that goes into a page as it is."""
    return Markup((_HERE / name).read_text("utf-8"))


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
