"""What several commands have in common: their TASK, and their end on Ctrl-C."""

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

from sliceweave.pipelines.bundles import tasks

Task = Annotated[str, typer.Argument(help=f"One of {', '.join(tasks())}.")]


@contextlib.contextmanager
def ending_on_ctrl_c(said: str) -> Iterator[None]:
    """Status 130 and one line, `interrupted: …`, instead of a KeyboardInterrupt."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"interrupted: {said}", err=True)
        raise typer.Exit(130) from None


def goes_on(out: object) -> str:
    """What a command says whose finished work in a folder is not done again."""
    return f"what is finished is kept in {out}; the same command goes on"
