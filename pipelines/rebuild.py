"""The tables of a results folder made anew from its records, at any time, also while a run is writing there."""

import importlib
from dataclasses import dataclass
from pathlib import Path

from sliceweave.pipelines.atomic import atomic_file
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.record_folder import RECORDS, RecordFolder
from sliceweave.pipelines.records import TABLE_COLUMNS
from sliceweave.pipelines.tables import Table, read_table

_ORDER = ("lesions", "slices", "volumes")


@dataclass(frozen=True)
class Rebuilt:
    """How many studies the tables hold, how many of them failed, and a line for each file that is no record."""

    studies: int
    failed: int
    wrong: list[str]


def rebuild_tables(results: Path) -> Rebuilt:
    """Writes ``volumes.csv``, ``lesions.csv`` and ``slices.csv`` from the records; an empty `records` folder gives
    tables without rows.

    Raises:
        InputError: no records, or the tables cannot be written.
    """
    folder = RecordFolder(results)
    if not folder.path.is_dir():
        raise InputError(f"{results}: expected the folder of a run, with {RECORDS}/ in it; give that folder")
    records, wrong = folder.read()
    for name in _ORDER:
        table = Table(results / f"{name}.csv", TABLE_COLUMNS[name])
        for study_id, record in records.items():
            table.put_cells(study_id, record.tables[name])
        table.save()
    failed = sum(record.status == "failed" for record in records.values())
    return Rebuilt(len(records), failed, wrong)


def write_parquet(results: Path) -> None:
    """Writes each table as Parquet beside its CSV: text as text, numbers as numbers, nothing where there is none.

    Raises:
        InputError: pyarrow is not installed, or a file cannot be written.
    """
    try:
        importlib.import_module("pyarrow")
    except ImportError as error:
        raise InputError('Parquet needs pyarrow: pip install "sliceweave[parquet]"') from error
    for name in _ORDER:
        table = read_table(results / f"{name}.csv")
        with atomic_file(results / f"{name}.parquet") as file:
            table.to_parquet(file, engine="pyarrow", index=False)
