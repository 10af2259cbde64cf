"""The command that calibrates volumes."""

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    volumes: Annotated[
        Path, typer.Argument(metavar="VOLUMES.csv", help="Of an inference with --tta True over labelled studies.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", dir_okay=False, help="Gets the calibration, as JSON.")],
    data: Annotated[list[str], typer.Option(metavar="NAME", help="What the studies are; several times for several.")],
    coverage: Annotated[float, typer.Option(help="Share of new volumes that intervals are to hold.")] = 0.9,
) -> None:
    """Make a calibration, with which inference gives intervals: --tta True --calibration FILE.

    \b
    python -m monai.bundle run ... --dataset_dir LABELLED --output_dir RESULTS --tta True
    sliceweave calibrate RESULTS/volumes.csv --out calibration.json --data "our scanner, 2024"
    python -m monai.bundle run ... --dataset_dir NEW --output_dir NEWS --tta True --calibration calibration.json

    Split conformal: the score of a study is |reference - volume| / (spread +
    0.5 ml). Its studies must be none that the network was trained on, all by one
    model, and of one kind: generated (by sliceweave phantom), painted or real.
    It applies to scans of that kind alone, and to that model. Coverage is
    marginal: on average over such studies, not for each. With fewer than
    ceil(1/(1 - coverage)) - 1 studies there is no interval.
    """
    from sliceweave.pipelines.calibration import calibrated
    from sliceweave.pipelines.tables import read_table

    typer.echo(calibrated(read_table(volumes), coverage, data, out, str(volumes)))
