"""What a worker of a cohort writes: records only. Lock and tables are those of the process that gives it studies."""

import time
from pathlib import Path
from typing import final

from sliceweave.pipelines.file_stamps import FileStamp
from sliceweave.pipelines.record_folder import RecordFolder
from sliceweave.pipelines.records import compose
from sliceweave.pipelines.rows import StudyFacts, StudyRows, failed_rows
from sliceweave.pipelines.run_record import now_text


@final
class RecordWriter:
    """Takes the place of a run's `Report` where another process, which claimed the folder, keeps that.

    Attributes:
        number: the next study's place in the tables.
        written: the record written last; empty where whoever reads it emptied it, and before the first.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(str(directory))
        self.number = 0
        self.written = b""
        self._folder = RecordFolder(self.directory)
        self._began_s = time.time()

    def start(self) -> None:
        """Nothing: the tables are another's."""

    def forget(self, study_id: str) -> None:
        """As `Report.forget`."""
        self._folder.forget(study_id)

    def add(self, rows: StudyRows, image: Path | None = None, beside: str | None = None) -> None:
        """Writes the record of a study. Raises InputError where it cannot. Arguments as `Report.add`."""
        stamp = FileStamp.of(image, self._began_s) if image else None
        text = compose(rows, self.number, now_text(), stamp, beside)
        self._folder.write(rows.study_id, text)
        self.written = text

    def fail(self, facts: StudyFacts, reason: str) -> None:
        """Writes the record of a study that could not be measured. Raises InputError as `add` does."""
        self.add(failed_rows(facts, reason))
