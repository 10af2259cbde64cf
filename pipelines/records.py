"""The record of one study: a small JSON text that holds all the tables say of it, to the last digit.

Numbers stand in it rounded as in the tables, so that tables made from records are the same byte for byte.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sliceweave.pipelines.cells import Cell, format_number, guard, printable
from sliceweave.pipelines.columns import LESION_COLUMNS, SLICE_COLUMNS, VOLUME_COLUMNS
from sliceweave.pipelines.file_stamps import FileStamp
from sliceweave.pipelines.rows import StudyRows

FORMAT = 1
TABLE_COLUMNS = {"volumes": VOLUME_COLUMNS, "lesions": LESION_COLUMNS, "slices": SLICE_COLUMNS}
_STATUSES = ("ok", "failed")

Lines = Sequence[Sequence[str]]


class _Number(str):
    """A number as it stands in the file."""

    @classmethod
    def of(cls, token: str) -> "_Number":
        return cls(format_number(float(token)) if "e" in token else token)


@dataclass(frozen=True)
class StudyRecord:
    """What is known of one study.

    Attributes:
        number: its place in the tables; they are sorted by it.
        model_version: with the fingerprint of weights and settings; empty where rows of several versions stand.
        image: size and times of the image's file when it was measured; None where it may have changed since.
        tables: finished cells of each table's rows.
        beside: digits that change with the files that belong to the image; None in records that do not say.
    """

    study_id: str
    number: int
    status: str
    model: str
    model_version: str
    image_sha256: str
    image: FileStamp | None
    tables: Mapping[str, Lines]
    beside: str | None = None

    def is_of(self, model: str, model_version: str, image_sha256: str | None) -> bool:
        """Whether it is ok and of this model version, and of this image if one is named."""
        image = self.image_sha256 if image_sha256 is None else image_sha256
        return self.status == "ok" and (self.model, self.model_version, self.image_sha256) == (
            model,
            model_version,
            image,
        )


def compose(
    rows: StudyRows, number: int, written: str, image: FileStamp | None = None, beside: str | None = None
) -> bytes:
    """The record's text.

    Args:
        written: time of day, for the reader.
        image: what file the study was measured from.
        beside: digits that change with the files that belong to it.
    """
    first: dict[str, Any] = {name: _value(value) for name, value in rows.volumes[0].items()} if rows.volumes else {}
    versions = {row["model_version"] for row in rows.volumes}
    facts = {name: first.get(name) for name in ("status", "reason", "source", "image_sha256", "model", "seconds")}
    content = {
        "record": FORMAT,
        "study_id": printable(rows.study_id),
        "number": number,
        **facts,
        "model_version": first.get("model_version") if len(versions) == 1 else "",
        "flags": [flag for flag in str(first.get("flags") or "").split(";") if flag],
        "written": written,
        "image": None if image is None else image.as_json(),
        "beside": beside,
        **{name: _split(TABLE_COLUMNS[name], getattr(rows, name)) for name in TABLE_COLUMNS},
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def parse(text: bytes) -> StudyRecord:
    """What a record says.

    Raises:
        ValueError: it is none of ours; says what is wrong.
    """
    content = _DECODER.decode(text.decode("utf-8"))
    if not isinstance(content, dict) or content.get("record") != str(FORMAT):
        raise ValueError(f"expected a record of format {FORMAT}")
    facts = {name: content.get(name) or "" for name in ("study_id", "status", "model", "model_version", "image_sha256")}
    if not all(isinstance(fact, str) for fact in facts.values()) or facts["status"] not in ("", *_STATUSES):
        raise ValueError("expected text, and the status ok or failed")
    tables = {name: _lines(content.get(name), columns) for name, columns in TABLE_COLUMNS.items()}
    image, beside = FileStamp.of_json(content["image"]), content.get("beside")
    return StudyRecord(**facts, number=int(content["number"]), image=image, tables=tables, beside=beside)


def _split(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> dict[str, Any]:
    return {"columns": columns, "rows": [[_value(row[column]) for column in columns] for row in rows]}


def _value(cell: Cell) -> str | bool | int | float | None:
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, str):
        return printable(cell)
    if isinstance(cell, np.bool_):
        return bool(cell)
    if isinstance(cell, int | np.integer):
        return int(cell)
    return float(format_number(cell)) if math.isfinite(cell) else None


def _lines(table: Any, columns: Sequence[str]) -> Lines:
    """The rows' cells in the order of these columns; empty where the record has no such column."""
    named = table.get("columns") if isinstance(table, dict) else None
    if not isinstance(named, list) or not isinstance(table.get("rows"), list):
        raise ValueError("expected tables of columns and rows")
    if any(not isinstance(row, list) or len(row) != len(named) for row in table["rows"]):
        raise ValueError("expected as many cells as columns")
    if tuple(named) == tuple(columns):
        return [[_cell(value) for value in row] for row in table["rows"]]
    found = [named.index(column) if column in named else None for column in columns]
    return [["" if at is None else _cell(row[at]) for at in found] for row in table["rows"]]


def _cell(value: Any) -> str:
    if isinstance(value, _Number):
        return value
    if isinstance(value, str):
        return guard(value)
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value)
    raise ValueError(f"expected a text or a number in a cell, got {type(value).__name__}")


def _no_constant(name: str) -> None:
    raise ValueError(f"expected numbers, got {name}")


_DECODER = json.JSONDecoder(parse_float=_Number.of, parse_int=_Number.of, parse_constant=_no_constant)
