"""How a run over a cohort begins and ends, whatever does the work between."""

import logging
from collections.abc import Callable

from sliceweave.pipelines.options import yes_or_no
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.run_record import RunRecord

logger = logging.getLogger(__name__)


def conduct(work: Callable[[], None], report: Report, strict: bool, record: RunRecord | None) -> None:
    """Does the work of a run whose report is claimed, then says how many studies were measured and how many failed.

    Args:
        strict: whether a failed study makes the exit status 1.
        record: what is written of the run, and whether it ends with a report page.

    Raises:
        SystemExit: with status 1, `strict` and a study of this run has failed; with 130, the user stopped the run.
    """
    strict = yes_or_no(strict, "strict")
    try:
        if record is not None:
            record.begin(report.directory)
        work()
    except KeyboardInterrupt:
        logger.warning("stopped; the rows in %s are whole, and a run that resumes goes on", report.directory)
        raise SystemExit(130) from None
    finally:
        report.close()
    failed = report.failed()
    if record is not None:
        _close(record, report, len(failed))
    logger.info("%d studies in %s, %d failed", report.studies(), report.directory / "volumes.csv", len(failed))
    if strict and not report.others.issuperset(failed):
        raise SystemExit(1)


def _close(record: RunRecord, report: Report, failed: int) -> None:
    record.finish(report.directory, report.studies(), failed)
    if record.page:
        from sliceweave.pipelines.page import page_of_run

        page_of_run(report.directory, record.dataset_dir)
