"""The command that makes the report page."""

from pathlib import Path
from typing import Annotated

import typer


def page(
    results: Annotated[
        Path, typer.Argument(help="Folder of a run: volumes.csv, <id>_mask.nii.gz, <id>.png, run.json.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Gets report.html and report_files/; RESULTS itself if left out.", show_default=False),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER|GLOB|CSV",
            help="The studies' images, for slices one can go through; those of the run, if they are still where it "
            "found them, when left out.",
            show_default=False,
        ),
    ] = None,
    viewer: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|auto",
            help="Also a page per study that holds NiiVue and the whole scan. FILE is niivue.umd.js or the archive "
            "that `npm pack @niivue/niivue` gives; auto takes what lies in this folder.",
            show_default=False,
        ),
    ] = None,
    viewer_limit: Annotated[float, typer.Option(min=1, help="MB a page with a whole scan may have.")] = 200,
    workers: Annotated[int, typer.Option(min=1, help="Studies drawn at once.")] = 2,
) -> None:
    """Make the report page: a table to sort and search, the slices of each study, figures, and how it all was made.

    \b
    report.html    opens from the disk, without a server, and loads nothing
                   from elsewhere
    report_files/  its pictures; carry both together, with <id>.png and
                   figures/ (--out DIR brings everything into one folder)

    Pictures in RESULTS/figures are shown. A rerun draws only slices whose mask
    has changed or that are missing. The page holds study ids, paths and
    pictures of patients: treat it as you treat those.
    """
    from sliceweave.pipelines.page import MOST_NOTES, PageOptions, build_page
    from sliceweave.pipelines.page_viewer import Viewer

    chosen = Viewer.found(viewer, viewer_limit) if viewer else None
    outcome = build_page(results, PageOptions(out, images, chosen, workers))
    for note in outcome.notes[:MOST_NOTES]:
        typer.echo(note, err=True)
    if len(outcome.notes) > MOST_NOTES:
        typer.echo(f"and {len(outcome.notes) - MOST_NOTES} more", err=True)
    typer.echo(f"{outcome.studies} studies in {outcome.page}")
