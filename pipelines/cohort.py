"""A bundle's inference on a whole cohort: which studies are due, who does them, and the tables that grow meanwhile."""

import contextlib
import logging
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from sliceweave.pipelines.cohort_jobs import Crew, Job, Lost, Outcome
from sliceweave.pipelines.cohort_recipe import Recipe
from sliceweave.pipelines.cohort_workers import Workers
from sliceweave.pipelines.conduct import conduct
from sliceweave.pipelines.errors import input_error_in
from sliceweave.pipelines.model import Model
from sliceweave.pipelines.record_folder import RecordFolder
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import StudyFacts
from sliceweave.pipelines.study_report import fail_study
from sliceweave.pipelines.volume_checks import memory_bytes

logger = logging.getLogger(__name__)

Engine = Callable[[Recipe, Sequence[Job]], Generator[Outcome, None, None]]

WORKER_BYTES = 4_000_000_000
_OUT = "OUT"


def run_cohort(recipe: Recipe, engine: Engine) -> None:
    """Does every study of which there is no result by this model yet. OUT is this run's alone until it ends.

    Args:
        engine: gives each job once, with what became of it.

    Raises:
        InputError: as the bundle's own run; or another run is writing there.
        SystemExit: as `conduct`.
    """
    folder = RecordFolder(Path(recipe.options["output_dir"]))
    try:
        if folder.exists():
            folder.claim(f"choose another {_OUT}")  # before it is read: nobody adds to it from then on
        _run(recipe, engine)
    except Exception as error:
        raise input_error_in(error) or error from None
    finally:
        folder.release()


def _run(recipe: Recipe, engine: Engine) -> None:
    parser = recipe.parser()
    report: Report = parser.get_parsed_content("report")
    model: Model = parser.get_parsed_content("model")
    due = parser.get_parsed_content("dataset::data")
    record, strict = parser.get_parsed_content("record"), parser.get_parsed_content("strict")
    report.claim(_OUT)

    def work() -> None:
        report.start(_OUT)
        jobs = [Job(report.number_of(case["study_id"]), case) for case in due]
        try:
            with contextlib.closing(engine(recipe, jobs)) as outcomes, _bar(len(jobs)) as bar:
                for job, outcome in outcomes:
                    _take(report, model, job, outcome)
                    bar.update()
        except BaseException:  # Ctrl-C too: workers have written what nobody has heard of
            report.catch_up()
            raise
        finally:
            report.claim(_OUT)  # clears what lost workers left half written

    conduct(work, report, strict, record)


def _take(report: Report, model: Model, job: Job, outcome: bytes | Lost) -> None:
    if isinstance(outcome, Lost):
        fail_study(report, StudyFacts(job.case["study_id"], "", model.name, model.version), outcome.reason)
    else:
        report.take(outcome)


def _bar(studies: int) -> "tqdm[Any]":
    return tqdm(total=studies, desc="studies", unit="study", disable=None)


def local_engine(crew: Crew) -> Engine:
    """Processes of this machine, no more than there are studies."""

    def outcomes(recipe: Recipe, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        with Workers(recipe, replace(crew, workers=min(crew.workers, len(jobs)))) as workers:
            yield from workers.outcomes(jobs)

    return outcomes


def crew_of_machine(workers: int | None, timeout_s: float, has_device: bool) -> Crew:
    """One worker for each GPU; without any, one for each core as far as there are 4 GB of memory for each.

    Args:
        workers: how many instead; they share the cores, and the GPUs in turn.
        has_device: whether the user says which device, so that GPUs are not dealt out.
    """
    gpus = () if has_device else _gpus()
    cores = cores_here()
    count = workers or len(gpus) or max(1, min(cores, int(memory_bytes() // WORKER_BYTES)))
    logger.info("%d workers", count)
    return Crew(count, max(1, cores // count), gpus, timeout_s)


def cores_here() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> tuple[str, ...]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    count = torch.cuda.device_count()
    return tuple(visible.split(",")[:count]) if visible else tuple(map(str, range(count)))
