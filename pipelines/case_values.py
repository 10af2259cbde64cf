"""What figures show of tables of cases: one value of each study and model, and what is missing said as such."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.tables import check_single, read_table

Cases = Mapping[str, pd.DataFrame]

KEYS = ("study_id", "label")
_TABLES = ("cases.csv", "volumes.csv")
_SAME_REFERENCE = 1e-4  # tables hold six digits


def read_cases(paths: Mapping[str, Path]) -> dict[str, pd.DataFrame]:
    """The table of each model; for a folder the `cases.csv` in it, else its `volumes.csv`.

    Raises:
        InputError: no such table, or it cannot be shown (see `check_table`); the message names the file.
    """
    tables = {}
    for name, path in paths.items():
        file = next((path / table for table in _TABLES if (path / table).is_file()), path)
        if file.is_dir():
            raise InputError(f"{file}: expected {' or '.join(_TABLES)} in the folder, found neither; name the table")
        tables[name] = read_table(file)
        check_table(tables[name], str(file))
    return tables


def check_table(table: pd.DataFrame, name: str) -> None:
    """Raises InputError where a table has no study_id and label, no rows, or two rows of one study and label."""
    if missing := [key for key in KEYS if key not in table]:
        found = ", ".join(map(str, table.columns)) or "(none)"
        raise InputError(
            f"{name}: expected the columns study_id,label and metrics or volumes as sliceweave evaluate writes them, "
            f"found no {' and no '.join(missing)} among {found}"
        )
    if table.empty:
        raise InputError(f"{name}: the table holds no cases; nothing to draw")
    check_single(table, name)


def labels_of(cases: Cases) -> list[str]:
    """The labels in the order in which they come; the empty one of a study that failed is none."""
    labels = (label for table in cases.values() for label in table["label"])
    return [label for label in dict.fromkeys(labels) if label]


def has_column(cases: Cases, column: str) -> bool:
    """Whether some table has a number in that column."""
    return any(column in table and table[column].notna().any() for table in cases.values())


def values_of(cases: Cases, column: str, label: str) -> pd.DataFrame:
    """One row per study of any table, one column per model; NaN where a model has no finite value.

    Raises:
        InputError: the column holds text.
    """
    study_ids = list(dict.fromkeys(study_id for table in cases.values() for study_id in table["study_id"]))
    values = {name: _column(name, table, column, label).reindex(study_ids) for name, table in cases.items()}
    return pd.DataFrame(values, index=study_ids, dtype=float)


def reference_of(cases: Cases, label: str) -> "pd.Series[float]":
    """The reference volume (ml) of each study; NaN where no table has one.

    Raises:
        InputError: two tables give a study different ones, so the models were not measured against the same truth.
    """
    given = values_of(cases, "reference_volume_ml", label)
    lowest, highest = given.min(axis=1), given.max(axis=1)
    differing = highest - lowest > _SAME_REFERENCE * (1 + highest.abs())
    if differing.any():
        study_id = given.index[differing][0]
        volumes = " and ".join(f"{lowest_or_highest[study_id]:g}" for lowest_or_highest in (lowest, highest))
        raise InputError(
            f"study {study_id}, label {label!r}: the tables give the reference volumes {volumes} ml; "
            "compare models that were measured against the same reference"
        )
    return lowest


def missing_counts(values: pd.DataFrame) -> str:
    """How many studies each model has no value of, such as ``U-Net 2, SegNet 1``; nothing if none is missing."""
    counts = values.isna().sum()
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


def _column(name: str, table: pd.DataFrame, column: str, label: str) -> "pd.Series[float]":
    rows = table[table["label"] == label].set_index("study_id")
    if column not in rows:
        return pd.Series(np.nan, rows.index)
    if not is_numeric_dtype(table[column]):
        text = next(value for value in table[column] if isinstance(value, str))
        raise InputError(f"{name}: expected numbers in the column {column}, found {text!r}")
    return rows[column].astype(float).replace([np.inf, -np.inf], np.nan)
