"""The report of a run: ``volumes.csv``, ``lesions.csv`` and ``slices.csv`` in the output folder."""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, final

from sliceweave.pipelines.atomic import make_folder
from sliceweave.pipelines.cells import Cell, printable
from sliceweave.pipelines.columns import LESION_COLUMNS, SLICE_COLUMNS, VOLUME_COLUMNS
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.options import yes_or_no
from sliceweave.pipelines.rows import StudyFacts, StudyRows, failed_rows
from sliceweave.pipelines.tables import Table


class _Stamp(NamedTuple):
    """What a volumes row says about how it came about."""

    status: str
    model: str
    model_version: str
    image_sha256: str


logger = logging.getLogger(__name__)


@final
class Report:
    """Three tables that hold whole studies only and can be read at any moment, also after a kill.

    ``start`` comes before the first ``add``, and one process at a time may write to a folder. Rows stand in the order
    in which studies were first added; a study added again replaces its rows where they stand. A study counts once its
    ``volumes.csv`` rows are there: that table is written last.
    """

    def __init__(self, directory: Path | str, resume: bool | str = False) -> None:
        """Writes nothing yet; with ``resume`` reads what an earlier run finished.

        Raises:
            InputError: an earlier table is damaged or not one of ours.
        """
        self.directory = Path(str(directory))
        self._volumes = Table(self.directory / "volumes.csv", VOLUME_COLUMNS)
        self._lesions = Table(self.directory / "lesions.csv", LESION_COLUMNS)
        self._slices = Table(self.directory / "slices.csv", SLICE_COLUMNS)
        self._stamps: dict[str, set[_Stamp]] = {}
        self._resumes = yes_or_no(resume, "resume")
        if self._resumes and os.path.exists(self._volumes.path):
            self._take_over()

    def start(self, option: str = "--output_dir") -> None:
        """Creates the folder and its tables: empty, whatever stood there before, or as resumed.

        Args:
            option: what names the folder on the command line.

        Raises:
            InputError: the folder cannot be written to.
        """
        make_folder(self.directory, f"choose another folder with {option}")
        if not self._resumes and os.path.exists(self._volumes.path):
            logger.warning("%s: the tables of an earlier run are replaced", self.directory)
        # Here volumes.csv comes first: its old rows must not vouch for the other tables once those are new.
        for table in (self._volumes, self._lesions, self._slices):
            table.save()

    def add(self, rows: StudyRows) -> None:
        """Writes the rows of a study. Raises InputError if a table cannot be written; all tables then stay readable."""
        self._lesions.put(rows.study_id, rows.lesions)
        self._slices.put(rows.study_id, rows.slices)
        self._volumes.put(rows.study_id, rows.volumes)
        self._stamps[printable(rows.study_id)] = _stamps(rows.volumes)
        for table in (self._lesions, self._slices, self._volumes):
            table.save()

    def fail(self, facts: StudyFacts, reason: str) -> None:
        """Writes the row of a study that could not be measured. Raises InputError as ``add`` does."""
        self.add(failed_rows(facts, reason))

    def done(self, study_id: str, model: str, model_version: str, image_sha256: str | None = None) -> bool:
        """Whether all rows of the study are ok and of this model version, and of this image if one is named."""
        stamps = self._stamps.get(printable(study_id), set())
        return bool(stamps) and all(
            stamp == ("ok", model, model_version, stamp.image_sha256 if image_sha256 is None else image_sha256)
            for stamp in stamps
        )

    def studies(self) -> int:
        """How many studies have rows."""
        return len(self._stamps)

    def failed(self) -> list[str]:
        """Ids of the studies that could not be measured."""
        return [study_id for study_id, stamps in self._stamps.items() if any(s.status == "failed" for s in stamps)]

    def _take_over(self) -> None:
        rows = self._volumes.load()
        _check_labels(self._volumes.path, rows)
        for row in rows:
            self._stamps.setdefault(row["study_id"], set()).update(_stamps([row]))
        for table in (self._lesions, self._slices):
            # A run killed in its first moments leaves volumes.csv without rows and without its companions.
            if rows or os.path.exists(table.path):
                table.load()
            table.keep_only(self._stamps)


def _stamps(rows: Iterable[Mapping[str, Cell]]) -> set[_Stamp]:
    return {_Stamp(*(str(row[column]) for column in _Stamp._fields)) for row in rows}


def _check_labels(path: Path, rows: Iterable[Mapping[str, str]]) -> None:
    seen = set()
    for row in rows:
        key = row["study_id"], row["label"]
        if row["status"] not in ("ok", "failed"):
            raise InputError(f"{path}: study {key[0]}: expected status ok or failed, found {row['status']!r}")
        if key in seen:
            raise InputError(f"{path}: study {key[0]} has two rows for label {key[1]!r}; remove one")
        seen.add(key)
