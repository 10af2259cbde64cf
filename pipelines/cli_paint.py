"""The command that paints haemorrhage into head CT."""

from pathlib import Path
from typing import Annotated

import typer

from sliceweave.pipelines.cli_parts import ending_on_ctrl_c, goes_on
from sliceweave.pipelines.errors import InputError


def paint(
    heads: Annotated[
        Path, typer.Argument(help="Head CT without haemorrhage: a folder, a file, or a CSV study_id,image.")
    ],
    directory: Annotated[Path, typer.Argument(help="Gets images/, labels/, truth.csv and painting.json.")],
    studies: Annotated[int, typer.Option(min=1, help="How many studies, head after head.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Study i of a seed is always the same.")] = 0,
    kinds: Annotated[
        str,
        typer.Option(
            metavar="KIND[=ODDS],…",
            help="intraparenchymal, ventricular, subarachnoid, subdural, epidural; all if left out.",
        ),
    ] = "",
    share_healthy: Annotated[float, typer.Option(min=0, max=1, help="Share of studies without blood.")] = 0.2,
    patients: Annotated[str, typer.Option(metavar="ID,…", help="Only these heads.")] = "",
    part: Annotated[
        str, typer.Option(metavar="FIRST:LAST", help="Only these of the sorted heads: 0:16 to train, 16: to validate.")
    ] = "",
    plain: Annotated[bool, typer.Option("--plain", help="Blood only: no hard negatives, no other appearance.")] = False,
    outlined: Annotated[
        bool, typer.Option("--outlined", help="Labels as readers draw them: wider by 0.7 mm, gaps of 4 mm closed.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Studies painted at once.")] = 2,
) -> None:
    """Paint haemorrhage with exact truth into head CT that has none; a rerun makes only what is missing.

    Bleedings of one to three kinds, calcifications, dense sinuses and craniotomies that are none, and the look of
    other scanners. A voxel's label is 1 where at least half of it is blood, or inside a reader's line; volumes in
    truth.csv are exact.

    Heads of one patient on both sides of a split would give away the answer: paint training and validation into
    different heads, with --part or --patients.
    """
    from sliceweave.pipelines.painted_study import PaintOptions
    from sliceweave.pipelines.painting import PaintJob, chosen_heads, write_painted
    from sliceweave.pipelines.painting_options import kind_odds
    from sliceweave.pipelines.prepare_options import listed

    options = PaintOptions(kind_odds(kinds), share_healthy, not plain, outlined)
    job = PaintJob(chosen_heads(heads, listed(patients), part), studies, seed, options)
    with ending_on_ctrl_c(goes_on(directory)):
        reasons = write_painted(job, directory, workers)
    done = studies - len(reasons)
    typer.echo(f"{done} studies in {directory}/images, what is known of them in {directory}/truth.csv")
    if reasons:
        lines = [f"{name}: {reason}" for name, reason in sorted(reasons.items())]
        raise InputError("; ".join([f"{len(reasons)} of {studies} studies cannot be painted", *lines[:5]]))
