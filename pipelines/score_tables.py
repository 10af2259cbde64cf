"""The tables of an evaluation: ``cases.csv``, ``summary.csv`` and, if a study failed, ``failed.csv``."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import final

from sliceweave.pipelines.atomic import make_folder, remove
from sliceweave.pipelines.columns import CASE_COLUMNS, FAILED_COLUMNS, SUMMARY_COLUMNS
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.score_summary import summary_rows
from sliceweave.pipelines.scoring import CaseScore
from sliceweave.pipelines.tables import Table

logger = logging.getLogger(__name__)

_OURS = ("summary.csv", "failed.csv")
_MADE_OF_CASES = ("strata.csv", "tables.md", *(f"table_{number}.csv" for number in range(1, 13)))


@final
class ScoreTables:
    """Tables that hold whole studies only and can be read at any moment, also after a kill.

    ``start`` comes before the first ``add``. ``summary.csv`` is there only once ``finish`` has written it, and
    ``failed.csv`` only if a study has failed.
    """

    def __init__(self, directory: Path | str, option: str = "--output_dir") -> None:
        """Writes nothing yet; the option is the one that names the folder, for a message."""
        self._option = option
        self.directory = Path(str(directory))
        self.cases: dict[str, CaseScore] = {}
        self.failed: dict[str, str] = {}

    def start(self) -> None:
        """Makes the folder, an empty ``cases.csv``, and away with what an earlier run left.

        Raises:
            InputError: the folder cannot be written to.
        """
        self.cases, self.failed = {}, {}
        self._cases = Table(self.directory / "cases.csv", CASE_COLUMNS)
        self._failed = Table(self.directory / "failed.csv", FAILED_COLUMNS)
        self._summary = Table(self.directory / "summary.csv", SUMMARY_COLUMNS)
        make_folder(self.directory, f"choose another folder with {self._option}")
        replaced = self._cases.path.exists()
        if replaced:
            logger.warning("%s: the tables of an earlier run are replaced", self.directory)
        for name in (*_OURS, *(_MADE_OF_CASES if replaced else ())):
            remove(self.directory / name)
        self._cases.save()

    def add(self, study_id: str, score: CaseScore) -> None:
        """Writes the rows of a study, one per label. Raises InputError if the table cannot be written."""
        self._put(study_id, score)
        self._cases.save()

    def complete(self, names: Sequence[str]) -> None:
        """Gives every study a row for each of these labels, in this order (see `CaseScore.with_labels`)."""
        for study_id, score in self.cases.items():
            self._put(study_id, score.with_labels(names))
        self._cases.save()

    def fail(self, study_id: str, reason: str) -> None:
        """Writes why a study has no scores. Raises InputError if the table cannot be written."""
        self.failed[study_id] = reason
        self._failed.put(study_id, [{"study_id": study_id, "reason": reason}])
        self._failed.save()

    def finish(self) -> list[Row]:
        """Writes the summary over all studies scored; its rows. Raises InputError if it cannot be written."""
        rows = summary_rows(list(self.cases.values()))
        self._summary.put("", rows)
        self._summary.save()
        return rows

    def _put(self, study_id: str, score: CaseScore) -> None:
        self.cases[study_id] = score
        facts: Row = {"study_id": study_id, "mean_iou": score.mean_iou}
        rows = [{**facts, "label": name, **label.metrics} for name, label in score.labels.items()]
        self._cases.put(study_id, rows)
