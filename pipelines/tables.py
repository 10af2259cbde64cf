"""CSV tables that are whole at every moment and give back any text exactly.

Files are UTF-8 without a byte-order mark, with newlines ``\\n``; see ``cells`` for what stands in a cell.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import final

import pandas as pd

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.cells import Cell, format_cell, printable, unguard
from sliceweave.pipelines.columns import TEXT_COLUMNS
from sliceweave.pipelines.errors import InputError


def read_table(path: Path | str) -> pd.DataFrame:
    """Table of a report with its text as it was before writing: ids like ``007``, ``1e5`` or ``NA`` stay text.

    Empty text reads as "", a number that is not there as NaN.

    Raises:
        InputError: the file is missing or is not a CSV table.
    """
    text_types = dict.fromkeys(TEXT_COLUMNS, str)
    try:
        table = pd.read_csv(path, dtype=text_types, keep_default_na=False, na_values=[""])
    except OSError as error:
        raise InputError(f"{path}: expected a CSV table, got: {error.strerror or error}; check the path") from error
    except ValueError as error:
        raise InputError(f"{path}: expected a CSV table, but {' '.join(str(error).split())}") from error
    for column in TEXT_COLUMNS.intersection(table.columns):
        table[column] = table[column].fillna("").map(unguard)
    return table


def check_numbers(table: pd.DataFrame, columns: Iterable[str], name: str) -> None:
    """Raises InputError where a cell of these columns holds something else than a number; an empty one may stand there.

    Args:
        name: what the table is called in the message.
    """
    for column in table.columns.intersection([*columns]):
        cells = table[column].dropna()
        if len(odd := cells[pd.to_numeric(cells, errors="coerce").isna()]):
            raise InputError(f"{name}: expected a number as {column}, found {odd.iloc[0]!r}; correct the table")


def check_single(table: pd.DataFrame, name: str) -> None:
    """Raises InputError where a study has several rows of one label."""
    twice = table[table.duplicated(["study_id", "label"])]
    if len(twice):
        study_id, label = twice[["study_id", "label"]].iloc[0]
        raise InputError(f"{name}: study {study_id} has two rows for label {label!r}; remove one")


@final
class Table:
    """One CSV file, held in memory as the finished lines of each study and rewritten whole."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self._columns = tuple(columns)
        self._lines: dict[str, bytes] = {}

    def put(self, study_id: str, rows: Iterable[Mapping[str, Cell]]) -> None:
        """Sets the rows of a study: in place where it had some, else at the end. Each row fills every column."""
        self.put_cells(study_id, ([format_cell(row[column]) for column in self._columns] for row in rows))

    def put_cells(self, study_id: str, rows: Iterable[Iterable[str]]) -> None:
        """Sets the rows of a study as ``put`` does, from finished cells in the order of the columns."""
        self._lines[printable(study_id)] = b"".join(map(_csv_line, rows))

    def arrange(self, study_ids: Iterable[str]) -> None:
        """Puts these studies first, in this order, whether they have rows yet or not."""
        places = {printable(study_id): b"" for study_id in study_ids}
        self._lines = {**places, **self._lines}

    def save(self) -> None:
        """Replaces the file in one step. Raises InputError where it cannot, and the old file stays."""
        write_atomically(self.path, b"".join([_csv_line(self._columns), *self._lines.values()]))

    def load(self) -> list[dict[str, str]]:
        """Takes over the rows of the file. Returns them with text unguarded and numbers as written.

        Raises:
            InputError: the file is missing or is not a table of these columns; the message names the line.
        """
        rows = self._parse(self._read())
        self._lines = {}
        for row in rows:
            study_id = unguard(row["study_id"])
            self._lines[study_id] = self._lines.get(study_id, b"") + _csv_line(row.values())
        return [_unguarded(row) for row in rows]

    def _read(self) -> str:
        try:
            text = self.path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}; {_REMEDY}") from error
        except UnicodeDecodeError as error:
            raise self._unusable(1, f"expected UTF-8 text, found byte {error.object[error.start]:#04x}") from error
        if not text.endswith("\n"):
            raise self._unusable(text.count("\n") + 1, "the file is cut short")
        return text

    def _parse(self, text: str) -> list[dict[str, str]]:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows: list[dict[str, str]] = []
        try:
            for cells in reader:
                self._check_line(cells, reader.line_num, is_header=not rows)
                rows.append(dict(zip(self._columns, cells, strict=True)))
        except csv.Error as error:
            raise self._unusable(reader.line_num, str(error)) from error
        return rows[1:]

    def _check_line(self, cells: list[str], line: int, is_header: bool) -> None:
        if is_header and tuple(cells) != self._columns:
            raise self._unusable(line, f"expected the columns {','.join(self._columns)}, found {','.join(cells)}")
        if len(cells) != len(self._columns):
            raise self._unusable(line, f"expected {len(self._columns)} cells, found {len(cells)}")
        for column, cell in zip(self._columns, cells, strict=True):
            if not is_header and column not in TEXT_COLUMNS and not _is_number(cell):
                raise self._unusable(line, f"expected a number as {column}, found {cell!r}")

    def _unusable(self, line: int, what: str) -> InputError:
        return InputError(f"{self.path}, line {line}: {what}; {_REMEDY}")


_NEEDS_QUOTES = re.compile(r'["\r\n]')
_REMEDY = "restore the file, or write to an empty output folder"


def _unguarded(row: Mapping[str, str]) -> dict[str, str]:
    return {column: unguard(cell) if column in TEXT_COLUMNS else cell for column, cell in row.items()}


def _is_number(cell: str) -> bool:
    if cell in ("", "True", "False"):
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _csv_line(cells: Iterable[str]) -> bytes:
    cells = list(cells)
    line = ",".join(cells)
    if len(cells) > 1 and line.count(",") < len(cells) and not _NEEDS_QUOTES.search(line):
        return f"{line}\n".encode()
    buffer = io.StringIO(newline="")
    # A writer quotes the characters of its line end: with \r\n a lone CR inside a cell is quoted on every Python.
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n").encode() + b"\n"
