"""Pixel size and slice thickness of pictures, which say neither: from a CSV by patient, or from the user's options."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sliceweave.pipelines.cases import PrepareOptions, SourceFiles
from sliceweave.pipelines.csv_rows import read_csv_rows
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry_checks import LARGEST_SPACING_MM, SMALLEST_SPACING_MM

SPACING_FILE = "spacing.csv"
PATIENT, PIXEL, THICKNESS = _COLUMNS = ("patient", "pixel_size_mm", "slice_thickness_mm")


class SliceSpacing(NamedTuple):
    """Side of a square pixel and distance of neighbouring slices; None where nobody says."""

    pixel_mm: float | None
    thickness_mm: float | None


@dataclass(frozen=True)
class SpacingTable:
    """Spacing by patient, and the one of all who are not named."""

    by_patient: Mapping[str, SliceSpacing]
    default: SliceSpacing

    def of(self, patient: str) -> SliceSpacing:
        """What is known of a patient, each number the CSV's where it has one."""
        row = self.by_patient.get(_key(patient), SliceSpacing(None, None))
        return SliceSpacing(row.pixel_mm or self.default.pixel_mm, row.thickness_mm or self.default.thickness_mm)

    def ct_mm(self, patient: str) -> tuple[float, float]:
        """Pixel size and slice thickness, without which a CT has no volume.

        Raises:
            InputError: one of them is unknown.
        """
        pixel_mm, thickness_mm = self.of(patient)
        if pixel_mm is None or thickness_mm is None:
            missing = "pixel size" if pixel_mm is None else "slice thickness"
            expected = f"{SPACING_FILE} ({','.join(_COLUMNS)}) or --pixel-size and --slice-thickness"
            raise InputError(f"no {missing} for patient {patient}: expected {expected}")
        return pixel_mm, thickness_mm


def spacing_table(files: SourceFiles, options: PrepareOptions, thickness_mm: float | None = None) -> SpacingTable:
    """The spacing that the user's CSV gives, else `spacing.csv` in the data set's root, which is claimed, else options.

    Args:
        thickness_mm: of a data set whose authors state it, where the user says nothing else.

    Raises:
        InputError: the CSV cannot be used.
    """
    own = files.root / SPACING_FILE
    path = options.spacing_csv or (own if own.is_file() else None)
    files.take([own])
    default = SliceSpacing(options.pixel_mm, options.thickness_mm or thickness_mm)
    return SpacingTable(_read(path) if path else {}, default)


def _read(path: Path) -> dict[str, SliceSpacing]:
    table: dict[str, SliceSpacing] = {}
    for number, row in read_csv_rows(path, (PATIENT, PIXEL), (THICKNESS,)):
        where = f"{path} line {number}"
        patient = _key(row[PATIENT])
        if not patient or patient in table:
            raise InputError(f"{where}: expected one line for each patient, got '{row[PATIENT]}' again; remove one")
        table[patient] = SliceSpacing(_length_mm(row, PIXEL, where), _length_mm(row, THICKNESS, where))
    return table


def _length_mm(row: Mapping[str, str], column: str, where: str) -> float | None:
    text = row.get(column, "").strip()
    if not text:
        return None
    try:
        length_mm = float(text)
    except ValueError:
        length_mm = math.nan
    if not SMALLEST_SPACING_MM <= length_mm <= LARGEST_SPACING_MM:
        expected = f"{column} in mm, {SMALLEST_SPACING_MM} to {LARGEST_SPACING_MM:g}"
        raise InputError(f"{where}: expected {expected}, got '{text}'; write a decimal point, no unit")
    return length_mm


def _key(patient: str) -> str:
    """A patient's name as it is compared: spreadsheets strip the zeros off 049."""
    name = patient.strip()
    return str(int(name)) if name.isdecimal() else name
