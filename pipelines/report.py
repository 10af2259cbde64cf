"""The report of a run: a record for each study, and `volumes.csv`, `lesions.csv`, `slices.csv` made of them."""

import logging
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import final

from sliceweave.pipelines.atomic import remove
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.earlier_tables import earlier_rows
from sliceweave.pipelines.file_stamps import FileStamp
from sliceweave.pipelines.options import yes_or_no
from sliceweave.pipelines.record_folder import RecordFolder
from sliceweave.pipelines.records import TABLE_COLUMNS, StudyRecord, compose, parse
from sliceweave.pipelines.rows import StudyFacts, StudyRows, failed_rows
from sliceweave.pipelines.run_record import now_text
from sliceweave.pipelines.tables import Table

_SHARE_UNSAVED = 50

logger = logging.getLogger(__name__)


@final
class Report:
    """Records, and three tables that hold whole studies only and can be read at any moment, also after a kill.

    ``start`` comes before the first ``add`` and ``close`` after the last; between them no other process can start
    here. Rows stand in the order in which studies were first added; a study added again replaces its rows where they
    stand. A study counts once its record is there. The tables follow at once while there are few, later after every
    fiftieth part of them, so that a cohort costs time in proportion to its size.

    Attributes:
        others: ids of studies with rows that are not this run's, see ``expect``.
    """

    def __init__(self, directory: Path | str, resume: bool | str = False) -> None:
        """Writes nothing yet; with ``resume`` reads what an earlier run finished.

        Raises:
            InputError: results of a version without records are damaged or not ours.
        """
        self.directory = Path(str(directory))
        self._folder = RecordFolder(self.directory)
        self._tables = {name: Table(self.directory / f"{name}.csv", columns) for name, columns in TABLE_COLUMNS.items()}
        self._records: dict[str, StudyRecord] = {}
        self._numbers: dict[str, int] = {}
        self._taken_over: dict[str, bytes] = {}
        self._resumes = yes_or_no(resume, "resume")
        self._began_s = time.time()
        self._unsaved = 0
        self.others: set[str] = set()
        if self._resumes:
            self._read()

    def claim(self, option: str = "--output_dir") -> None:
        """Creates the folder and keeps other processes from it, until ``close``.

        Args:
            option: what names the folder on the command line.

        Raises:
            InputError: the folder cannot be written to, or another run is writing there.
        """
        self._folder.claim(f"choose another folder with {option}")

    def start(self, option: str = "--output_dir") -> None:
        """Claims the folder and creates its tables: empty, whatever stood there before, or as resumed.

        Raises:
            InputError: as ``claim``.
        """
        self.claim(option)
        if not self._resumes:
            if os.path.exists(self._tables["volumes"].path):
                told = "%s: the tables of an earlier run are replaced; masks and pictures of studies it alone had stay"
                logger.warning(told, self.directory)
            self._folder.clear()
            for name in self._tables:
                remove(self.directory / f"{name}.parquet")
        for study_id, text in self._taken_over.items():
            self._folder.write(study_id, text)
        self._taken_over = {}
        # volumes.csv first: its old rows must not vouch for the other tables once those are new.
        self._save(("volumes", "lesions", "slices"))

    def close(self) -> None:
        """Brings the tables up to date and lets other processes write. Raises InputError where that fails."""
        try:
            if self._unsaved and self._folder.is_claimed:
                self._save()
        finally:
            self._folder.release()

    def add(self, rows: StudyRows, image: Path | None = None, beside: str | None = None) -> None:
        """Writes the record of a study, and the tables if it is time. Raises InputError where it cannot; all files
        then stay readable.

        Args:
            image: the file it was measured from; where it stays as it is, a resumed run need not read it again.
            beside: digits that change with the files that belong to the image, see ``stood_beside``.
        """
        if not self._folder.is_claimed:
            self.claim()
        stamp = FileStamp.of(image, self._began_s) if image else None
        text = compose(rows, self.number_of(rows.study_id), now_text(), stamp, beside)
        self._folder.write(rows.study_id, text)
        self.take(text)

    def forget(self, study_id: str) -> None:
        """Removes the record of a study whose files are about to change: a run that is killed then does it again.

        Its rows stay in the tables until ``add``. Raises InputError where it cannot be removed.
        """
        self._folder.forget(study_id)

    def expect(self, study_ids: Iterable[str]) -> None:
        """Says which studies a run is about; of others in the tables it tells, and they make no run fail."""
        self.others = self._records.keys() - {printable(study_id) for study_id in study_ids}
        if self.others:
            first = min(self.others)
            told = "%s: %d studies in the tables are not in this run, such as %s; their rows stay until %s is removed"
            logger.warning(told, self.directory, len(self.others), first, self._folder.path_of(first))

    def number_of(self, study_id: str) -> int:
        """A study's place in the tables: where it stood, else behind all others; it is kept from now on."""
        name = printable(study_id)
        if name not in self._numbers:
            self._numbers[name] = 1 + next(reversed(self._numbers.values()), 0)
            for table in self._tables.values():
                table.put_cells(name, ())
        return self._numbers[name]

    def take(self, text: bytes) -> None:
        """Takes a study's record, which stands in the folder, into the tables, and writes those if it is time.

        Raises:
            InputError: they cannot be written; all files then stay readable.
        """
        self._take(parse(text))
        self._unsaved += 1
        if self._unsaved * _SHARE_UNSAVED >= len(self._records):
            self._save()

    def catch_up(self) -> None:
        """Takes whatever records stand in the folder. Raises InputError where they cannot be read."""
        for record in self._folder.read()[0].values():
            self._take(record)
        self._unsaved += 1

    def fail(self, facts: StudyFacts, reason: str) -> None:
        """Writes the row of a study that could not be measured. Raises InputError as ``add`` does."""
        self.add(failed_rows(facts, reason))

    def done(self, study_id: str, model: str, model_version: str, image_sha256: str | None = None) -> bool:
        """Whether all rows of the study are ok and of this model version, and of this image if one is named."""
        record = self._records.get(printable(study_id))
        return record is not None and record.is_of(model, model_version, image_sha256)

    def measured(self, study_id: str) -> bool:
        """Whether the study has rows with numbers, of whatever version."""
        record = self._records.get(printable(study_id))
        return record is not None and record.status == "ok"

    def known_sha256(self, study_id: str, image: Path) -> str:
        """The image's hash as it was recorded, if the file has not been changed since; else an empty text."""
        record = self._records.get(printable(study_id))
        if record is None or record.image is None or record.image != FileStamp.of(image):
            return ""
        return record.image_sha256

    def stood_beside(self, study_id: str, beside: str) -> bool:
        """Whether the files that belong to the image were these when it was measured; yes where no record says."""
        record = self._records.get(printable(study_id))
        return record is None or record.beside in (None, beside)

    def studies(self) -> int:
        """How many studies have rows."""
        return len(self._records)

    def failed(self) -> list[str]:
        """Ids of the studies that could not be measured."""
        return [study_id for study_id, record in self._records.items() if record.status == "failed"]

    def _read(self) -> None:
        if not self._folder.exists() and os.path.exists(self._tables["volumes"].path):
            self._take_over()
            return
        records, wrong = self._folder.read()
        for line in wrong:
            logger.warning("%s; it counts for nothing", line)
        for record in records.values():
            self._take(record)
        self._unsaved = len(records)  # a run that was killed may have left the tables behind its records

    def _take_over(self) -> None:
        for number, rows in enumerate(earlier_rows(self.directory), start=1):
            text = compose(rows, number, now_text())
            self._taken_over[rows.study_id] = text
            self._take(parse(text))

    def _take(self, record: StudyRecord) -> None:
        self._records[record.study_id] = replace(record, tables={})
        self._numbers[record.study_id] = record.number
        for name, table in self._tables.items():
            table.put_cells(record.study_id, record.tables[name])

    def _save(self, order: tuple[str, ...] = ("lesions", "slices", "volumes")) -> None:
        for name in order:
            self._tables[name].save()
        self._unsaved = 0
