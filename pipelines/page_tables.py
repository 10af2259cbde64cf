"""What the report page takes from the tables of a results folder."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sliceweave.pipelines.cells import format_number
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.studies import file_stem
from sliceweave.pipelines.tables import check_numbers, read_table

Row = Mapping[Hashable, Any]


@dataclass(frozen=True)
class Column:
    """A column of ``volumes.csv`` as the page shows it."""

    name: str
    title: str
    is_number: bool = True


COLUMNS = (
    Column("label", "Structure", is_number=False),
    Column("volume_ml", "Volume, ml"),
    Column("volume_low_ml", "Low, ml"),
    Column("volume_high_ml", "High, ml"),
    Column("coverage", "Coverage"),
    Column("spread_ml", "Spread, ml"),
    Column("reference_volume_ml", "Reference, ml"),
    Column("abc2_ml", "ABC/2, ml"),
    Column("lesions", "Lesions"),
    Column("largest_lesion_ml", "Largest, ml"),
    Column("slices", "Slices"),
    Column("max_area_mm2", "Largest area, mm²"),
    Column("side", "Side", is_number=False),
)
LESION_COLUMNS = (
    Column("label", "Structure", is_number=False),
    Column("lesion", "Lesion"),
    Column("volume_ml", "ml"),
    Column("slices", "Slices"),
    Column("a_mm", "A, mm"),
    Column("b_mm", "B, mm"),
    Column("c_mm", "C, mm"),
)
_COUNTS = frozenset(("lesions", "lesion", "slices"))


@dataclass(frozen=True)
class StudyTables:
    """All rows about one study: a volumes row per label, its lesions, its areas slice by slice."""

    study_id: str
    volumes: Sequence[Row]
    lesions: Sequence[Row] = ()
    areas_mm2: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        """What its files are called."""
        return file_stem(self.study_id)

    @property
    def is_measured(self) -> bool:
        return text_of(self.volumes[0].get("status", "ok")) != "failed"

    @property
    def image_sha256(self) -> str:
        """Hash of the image that was measured; empty where the table has none."""
        return text_of(self.volumes[0].get("image_sha256", ""))


def read_studies(results: Path) -> list[StudyTables]:
    """The studies of ``volumes.csv`` in its order, with what the two other tables say where they are there.

    Raises:
        InputError: there is no such table.
    """
    volumes_path = results / "volumes.csv"
    if not volumes_path.is_file():
        raise InputError(f"{results}: expected the folder of a run, with a volumes.csv; found none")
    numbers = [column.name for column in COLUMNS if column.is_number]
    volumes = _rows_by_study(volumes_path, numbers)
    lesions, slices = (_rows_by_study(results / f"{name}.csv") for name in ("lesions", "slices"))
    return [
        StudyTables(study_id, rows, lesions.get(study_id, ()), _areas_mm2(slices.get(study_id, ())))
        for study_id, rows in volumes.items()
    ]


def shown_columns(studies: Sequence[StudyTables]) -> list[Column]:
    """The columns in which any study has a value; the structure's name only where there are several."""
    rows = [row for study in studies for row in study.volumes if study.is_measured]
    used = [column for column in COLUMNS if any(text_of(row.get(column.name)) for row in rows)]
    several = len({text_of(row.get("label")) for row in rows}) > 1
    return [column for column in used if several or column.name != "label"]


def text_of(value: Any) -> str:
    """The cell as the table has it; nothing for a number that is not there."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else format_number(float(value))


def shown_text(value: Any, column: Column) -> str:
    """The cell as the page shows it: amounts from ten on with one decimal, from one on with two, else with three."""
    text = text_of(value)
    if not (text and column.is_number):
        return text
    number = float(text)
    if column.name in _COUNTS:
        return str(round(number))
    if column.name == "coverage":
        return f"{100 * number:g} %"
    return f"{number:.{1 if abs(number) >= 10 or not number else 2 if abs(number) >= 1 else 3}f}"


def _rows_by_study(path: Path, numbers: Sequence[str] = ()) -> dict[str, list[Row]]:
    if not path.is_file():
        return {}
    table = read_table(path)
    if "study_id" not in table.columns:
        raise InputError(f"{path}: expected a column study_id, found {', '.join(map(str, table.columns))}")
    check_numbers(table, numbers, str(path))
    rows: dict[str, list[Row]] = {}
    for row in table.to_dict("records"):
        rows.setdefault(str(row["study_id"]), []).append(row)
    return rows


def _areas_mm2(rows: Sequence[Row]) -> dict[str, list[float | None]]:
    areas: dict[str, list[float | None]] = {}
    for row in rows:
        area_mm2 = row["area_mm2"]
        areas.setdefault(str(row["label"]), []).append(None if pd.isna(area_mm2) else round(float(area_mm2), 1))
    return areas
