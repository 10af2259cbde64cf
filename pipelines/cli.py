"""The console command `sliceweave`. Its commands stand in cli_*.py, heavy imports inside: help is instant."""

import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from sliceweave.pipelines.cli_bundles import bundle, networks, render
from sliceweave.pipelines.cli_calibration import calibrate
from sliceweave.pipelines.cli_cohort import cohort
from sliceweave.pipelines.cli_compare import compare
from sliceweave.pipelines.cli_data import phantom, prepare
from sliceweave.pipelines.cli_dicom import dicom
from sliceweave.pipelines.cli_evaluate import evaluate
from sliceweave.pipelines.cli_figures import contours, curves, figures
from sliceweave.pipelines.cli_page import page
from sliceweave.pipelines.cli_paint import paint
from sliceweave.pipelines.cli_records import rebuild
from sliceweave.pipelines.cli_volumes import strata, volumes
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
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("sliceweave").setLevel(logging.INFO)


for command in (
    phantom,
    paint,
    prepare,
    volumes,
    evaluate,
    strata,
    contours,
    figures,
    curves,
    page,
    cohort,
    rebuild,
    dicom,
    compare,
    calibrate,
    bundle,
    render,
    networks,
):
    app.command()(command)


def main() -> None:
    """Entry point: a user's mistake is one line on stderr and status 1."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: waiting threads leave the cores to neighbours
    try:
        app()
    except InputError as error:
        sys.exit(f"error: {error}")
