"""The command that makes tables from records."""

import logging
from pathlib import Path
from typing import Annotated

import typer


def rebuild(
    results: Annotated[Path, typer.Argument(help="Folder of a run, with records/ in it.")],
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Also volumes.parquet and so on (needs the extra parquet).")
    ] = False,
) -> None:
    """Make volumes.csv, lesions.csv and slices.csv anew from a run's records.

    records/ holds one file for each study; the tables are made of them and can be
    made again whenever they are lost, edited or behind, also while the run goes
    on. A study whose record is taken away is gone from the tables, and a run with
    --resume does it again.

    A file that is no record is named and left out, and the exit status is 1 then.
    """
    from sliceweave.pipelines.rebuild import rebuild_tables, write_parquet

    rebuilt = rebuild_tables(results)
    for line in rebuilt.wrong:
        logging.getLogger(__name__).warning("%s; left out", line)
    if parquet:
        write_parquet(results)
    typer.echo(f"{rebuilt.studies} studies in {results / 'volumes.csv'}, {rebuilt.failed} failed")
    raise typer.Exit(1 if rebuilt.wrong else 0)
