"""The console command `sliceweave`. Heavy imports stand inside the commands, so that help is instant."""

import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from sliceweave.pipelines.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Medical image segmentation that ends in millilitres. Runs are started with `python -m monai.bundle run`; "
    "`sliceweave bundle TASK` prints the folder to name there.",
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sliceweave {version('sliceweave')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)


@app.command()
def bundle(task: Annotated[str, typer.Argument(help="hematoma, …")]) -> None:
    """Print the folder of a task's bundle: B=$(sliceweave bundle hematoma)."""
    from sliceweave.pipelines.bundles import bundle_root

    typer.echo(bundle_root(task))


@app.command()
def render(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit status 1 if a file is stale.")] = False,
) -> None:
    """Write every bundle's stage files from bundles/shared and bundles/TASK/task.yaml."""
    from sliceweave.pipelines.bundles import rendered, stale, tasks

    paths = [path for task in tasks() for path in stale(task)]
    for path in paths:
        typer.echo(f"{'stale' if check else 'written'}: {path}")
        if not check:
            path.write_text(rendered(path), "utf-8")
    raise typer.Exit(1 if check and paths else 0)


@app.command()
def phantom(
    task: Annotated[str, typer.Argument(help="hematoma (or head).")],
    directory: Annotated[Path, typer.Argument(help="Gets images/, labels/ and truth.csv.")],
    studies: Annotated[int, typer.Option(min=1, help="How many studies.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Study i of a seed is always the same.")] = 0,
    tilt: Annotated[float, typer.Option(min=-45, max=45, help="Gantry tilt in degrees.")] = 0.0,
    oblique: Annotated[bool, typer.Option("--oblique", help="Slices oblique to the head.")] = False,
    uneven: Annotated[bool, typer.Option("--uneven", help="Slice gaps that change, with <id>.geometry.json.")] = False,
) -> None:
    """Generate labelled studies with known volumes; a rerun makes only what is missing."""
    from sliceweave.pipelines.phantom import write_phantoms
    from sliceweave.pipelines.phantom_grid import PhantomOptions

    write_phantoms(task, directory, studies, seed, PhantomOptions(tilt_deg=tilt, oblique=oblique, uneven=uneven))
    typer.echo(f"{studies} studies in {directory}/images, their volumes in {directory}/truth.csv")


@app.command()
def networks(
    task: Annotated[
        str | None, typer.Option(help="Only this paper's: hematoma, lung_infection, …; comparator for those in none.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write a CSV table here; print nothing.")
    ] = None,
) -> None:
    """List every network of the papers' tables: name, table, row, parameters (counted, and as printed where the paper
    prints them), and GFLOPs for one image of the paper's size (input: channels × pixels).

    A multiplication and an addition count as two operations; only convolutions and matrix products are counted.

    To build one: sliceweave.networks.catalogue.build("liver_tumor/ra_unet").
    """
    from sliceweave.pipelines.network_table import as_text, network_rows, write_networks

    if csv:
        write_networks(csv, task)
    else:
        typer.echo(as_text(network_rows(task)))


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and status 1."""
    try:
        app()
    except InputError as error:
        sys.exit(f"error: {error}")
