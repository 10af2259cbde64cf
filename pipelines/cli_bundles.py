"""Commands around bundles and networks: where they are, what they are rendered from, which networks there are."""

from pathlib import Path
from typing import Annotated

import typer

from sliceweave.pipelines.cli_parts import Task


def bundle(
    task: Task,
) -> None:
    """Print the folder of a task's bundle: B=$(sliceweave bundle hematoma)."""
    from sliceweave.pipelines.bundles import bundle_root

    typer.echo(bundle_root(task))


def render(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit status 1 if a file is stale.")] = False,
) -> None:
    """Write every bundle's configs/*, docs/README.md, docs/data_license.txt and LICENSE from bundles/shared and the
    bundle's task.yaml and docs/about.md.
    """
    from sliceweave.pipelines.bundles import rendered, stale, tasks

    paths = [path for task in tasks() for path in stale(task)]
    for path in paths:
        typer.echo(f"{'stale' if check else 'written'}: {path}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rendered(path), "utf-8")
    raise typer.Exit(1 if check and paths else 0)


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
