"""Results of a version that kept no records: its three tables are taken over, study by study."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from sliceweave.pipelines.cells import Cell
from sliceweave.pipelines.columns import TEXT_COLUMNS
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.records import TABLE_COLUMNS
from sliceweave.pipelines.rows import Row, StudyRows
from sliceweave.pipelines.tables import Table


def earlier_rows(results: Path) -> list[StudyRows]:
    """The rows of each study that ``volumes.csv`` holds, in its order; that table was written last.

    Raises:
        InputError: a table is damaged, missing, or not one of ours.
    """
    tables = {name: Table(results / f"{name}.csv", columns) for name, columns in TABLE_COLUMNS.items()}
    volumes = tables["volumes"].load()
    _check_labels(tables["volumes"].path, volumes)
    # A run killed in its first moments leaves volumes.csv without rows and without its companions.
    wanted = {name: table for name, table in tables.items() if volumes or table.path.exists()}
    rows = {name: _by_study(table.load()) for name, table in wanted.items()}
    return [
        StudyRows(study_id, *(rows.get(name, {}).get(study_id, []) for name in TABLE_COLUMNS))
        for study_id in rows["volumes"]
    ]


def _by_study(rows: Iterable[Mapping[str, str]]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["study_id"]].append({column: _value(column, cell) for column, cell in row.items()})
    return dict(found)


def _value(column: str, cell: str) -> Cell:
    if column in TEXT_COLUMNS:
        return cell
    if cell in ("", "True", "False"):
        return {"": None, "True": True, "False": False}[cell]
    return int(cell) if cell.lstrip("-").isdigit() else float(cell)


def _check_labels(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    seen = set()
    for row in rows:
        key = row["study_id"], row["label"]
        if row["status"] not in ("ok", "failed"):
            raise InputError(f"{path}: study {key[0]}: expected status ok or failed, found {row['status']!r}")
        if key in seen:
            raise InputError(f"{path}: study {key[0]} has two rows for label {key[1]!r}; remove one")
        seen.add(key)
