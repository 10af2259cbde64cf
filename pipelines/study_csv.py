"""The CSV in which a user names studies: `study_id,image[,label][,patient][,split]`."""

import os
from pathlib import Path
from typing import NamedTuple

from sliceweave.pipelines.cells import guard
from sliceweave.pipelines.csv_rows import read_csv_rows
from sliceweave.pipelines.errors import InputError


class StudyRow(NamedTuple):
    """One line of the CSV, its paths made independent of the current folder."""

    study_id: str
    image: Path
    label: Path | None
    patient: str = ""
    split: str = ""


def read_study_csv(path: Path) -> list[StudyRow]:
    """The rows in the CSV's order; paths are relative to the CSV's folder and need not exist.

    Raises:
        InputError: not a UTF-8 CSV, columns missing, no rows, or a row without id or image.
    """
    rows = [_study_row(row, path, number) for number, row in read_csv_rows(path, ("study_id", "image"), ("label",))]
    if not rows:
        raise InputError(f"'{path}' has no rows; expected one line per study below the header study_id,image[,label]")
    return rows


def strip_guard(text: str) -> str:
    """The text as it was before our CSV writer guarded it; a `'` that no writer of ours would put there stays."""
    return text[1:] if guard(text[1:]) == text else text


def _study_row(row: dict[str, str], path: Path, number: int) -> StudyRow:
    names = ("study_id", "image", "label", "patient", "split")
    study_id, image, label, patient, split = (strip_guard(row.get(name, "")).strip() for name in names)
    if not study_id or not image:
        raise InputError(f"'{path}' line {number} has an empty study_id or image; fill it in or remove the line")
    return StudyRow(study_id, _beside(path, image), _beside(path, label) if label else None, patient, split)


def _beside(csv_path: Path, name: str) -> Path:
    return csv_path.parent / os.path.expanduser(name)
