"""Single slices of CT-ICH, as an `index.csv` beside them lists them: `file,patient,slice,types`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sliceweave.pipelines.cases import SourceFiles
from sliceweave.pipelines.csv_rows import read_csv_rows
from sliceweave.pipelines.ct_ich_windows import mask_reader, read_hu
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.pictures import picture_file
from sliceweave.pipelines.slice_pictures import PictureSlice

SlicesOf = Callable[[tuple[float, float]], list[PictureSlice]]
_COLUMNS = frozenset(("file", "patient", "slice"))


@dataclass(frozen=True)
class _Row:
    """One line of the index; a slice without types shows no haemorrhage and may lack its mask."""

    where: str
    picture: Path
    patient: str
    slice: str
    types: str

    @property
    def mask(self) -> Path:
        return self.picture.with_name(f"{self.picture.stem}_mask.png")


def find_indexed_slices(files: SourceFiles) -> list[tuple[str, SlicesOf]]:
    """Each patient in all indexes, with what gives the slices, seen in a window; their files are claimed.

    Calling it raises InputError where a line, a picture or a mask cannot be used.
    """
    by_patient: dict[str, list[_Row]] = {}
    damaged: list[tuple[str, SlicesOf]] = []
    for path, _ in files.named(r"index\.csv"):
        try:
            rows = [_row(path, number, row) for number, row in read_csv_rows(path, sorted(_COLUMNS))]
        except InputError as error:
            if any(path.parent.glob("*_mask.png")):  # it is such an index, and not another kind of CSV
                damaged.append((path.parent.name, partial(_refuse, str(error))))
            continue
        for row in rows:
            by_patient.setdefault(row.patient, []).append(row)
        files.take([path] if rows else [])
        files.take(picture for row in rows for picture in (row.picture, row.mask))
    return [*((patient, partial(_slices, rows)) for patient, rows in sorted(by_patient.items())), *damaged]


def _refuse(reason: str, _window_hu: tuple[float, float]) -> list[PictureSlice]:
    raise InputError(reason)


def _row(path: Path, number: int, row: dict[str, str]) -> _Row:
    patient = row["patient"].strip()
    padded = f"{int(patient):03d}" if patient.isdecimal() else patient
    picture = path.with_name(Path(row["file"].strip()).name or "-")  # beside the index, whatever it says
    return _Row(f"{path} line {number}", picture, padded, row["slice"].strip(), row.get("types", ""))


def _slices(rows: list[_Row], window_hu: tuple[float, float]) -> list[PictureSlice]:
    return [_slice(row, window_hu) for row in rows]


def _slice(row: _Row, window_hu: tuple[float, float]) -> PictureSlice:
    if not row.patient or not row.slice.isdecimal():
        raise InputError(f"{row.where}: expected a patient and a slice number, got '{row.patient}' and '{row.slice}'")
    if not row.picture.is_file():
        raise InputError(f"{row.where}: expected the picture {row.picture}, found none; copy it there")
    has_mask = row.mask.is_file()
    if not has_mask and row.types.strip():
        raise InputError(f"{row.where}: expected the mask {row.mask}, found none; copy it there, or empty its types")
    picture = picture_file(row.picture)
    mask = mask_reader(row.mask, above=0) if has_mask else None
    return PictureSlice(int(row.slice), picture, partial(read_hu, picture, None, window_hu), mask)
