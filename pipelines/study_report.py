"""Where the results of a study go: the files beside the tables, and what takes its rows."""

import logging
from pathlib import Path
from typing import Protocol

from sliceweave.pipelines.atomic import remove
from sliceweave.pipelines.reading import sidecar_path
from sliceweave.pipelines.rows import StudyFacts, StudyRows
from sliceweave.pipelines.studies import file_stem

logger = logging.getLogger(__name__)


class StudyReport(Protocol):
    """What a study's results are written to: a run's `Report`, or a cohort worker's `RecordWriter`."""

    directory: Path

    def start(self) -> None: ...

    def forget(self, study_id: str) -> None: ...

    def add(self, rows: StudyRows, image: Path | None = None, beside: str | None = None) -> None: ...

    def fail(self, facts: StudyFacts, reason: str) -> None: ...


def output_paths(report: StudyReport, study_id: str) -> tuple[Path, Path]:
    """Where a study's mask and picture go."""
    stem = file_stem(study_id)
    return report.directory / f"{stem}_mask.nii.gz", report.directory / f"{stem}.png"


def dicom_paths(directory: Path, stem: str) -> tuple[Path, Path]:
    """Where the DICOM SEG and SR of a study go, if they are wanted."""
    return directory / f"{stem}_seg.dcm", directory / f"{stem}_sr.dcm"


def fail_study(report: StudyReport, facts: StudyFacts, reason: str) -> None:
    """Writes the row of a study without numbers; what an earlier run left of the study must not stand beside it."""
    mask, picture = output_paths(report, facts.study_id)
    stem = file_stem(facts.study_id)
    for path in (mask, sidecar_path(mask), picture, *dicom_paths(report.directory, stem)):
        remove(path)
    report.fail(facts, reason)
    logger.warning("%s failed: %s", facts.study_id, reason)
