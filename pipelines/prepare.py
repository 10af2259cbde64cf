"""`prepare`: a data set as it is distributed becomes one plain layout of images, labels and patient-level splits."""

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles
from sliceweave.pipelines.conversion import Converter, source_digest
from sliceweave.pipelines.errors import InputError, logged_reason
from sliceweave.pipelines.patients import Drawing, drawn, on_their_sides, one_of_each_name, patient_of, settle
from sliceweave.pipelines.plain_volumes import cases_of_rows
from sliceweave.pipelines.prepare_outcome import GONE, Outcome
from sliceweave.pipelines.prepare_tasks import PrepareTask
from sliceweave.pipelines.prepared_folder import PreparedFolder
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.splits import SPLITS
from sliceweave.pipelines.study_csv import read_study_csv

_SAVE_EVERY_S = 5.0
_GONE: Row = {"status": GONE, "reason": "no longer in the source"}

logger = logging.getLogger(__name__)


def find_cases(task: PrepareTask, source: Path, options: PrepareOptions, dest: Path | None = None) -> list[Case]:
    """All studies of a folder, a file or a CSV (`study_id,image[,label][,patient][,split]`); ids are unique.

    Args:
        dest: a folder that is passed over, should it lie within the source.

    Raises:
        InputError: nothing that the task knows is there, the CSV is none, or an option contradicts the data set.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist; expected the folder of a data set, or a CSV of studies")
    if source.suffix.lower() == ".csv":
        cases = cases_of_rows(read_study_csv(source), options)
    else:
        files = SourceFiles(source, dest)
        cases = [case for find in task.finders for case in find(files, options)]
    if not cases:
        raise InputError(f"{source} holds nothing that '{task.name}' is made of; `sliceweave prepare --help` lists it")
    return one_of_each_name(cases)


def check(
    task: PrepareTask, source: Path, options: PrepareOptions, workers: int = 2, dest: Path | None = None
) -> Outcome:
    """Reads every study through and writes nothing; `dest` as for `find_cases`."""
    source = _absolute(source)
    cases, refused = settle(find_cases(task, source, options, _absolute(dest) if dest else None), {})
    work = _Work(Converter(task, options, folder=None), (source,), {}, refused)
    rows = dict(work.done(cases, workers))
    return Outcome([rows[case.study_id] for case in cases])


def prepare(
    task: PrepareTask, source: Path, dest: Path, options: PrepareOptions, drawing: Drawing, workers: int = 2
) -> Outcome:
    """Converts what is missing in the destination; what cannot be used is a row with a reason, and the others go on.

    Raises:
        InputError: nothing to convert, or the destination cannot be used.
    """
    source, dest = _absolute(source), _absolute(dest)
    converter = Converter(task, options, dest)
    folder = PreparedFolder(dest, _settings(task, source, options, drawing), converter.columns)
    cases, refused = settle(find_cases(task, source, options, dest), folder.sides)
    held = {study_id: row for study_id, row in folder.rows.items() if folder.holds(row)}
    work = _Work(converter, (source, dest), held, refused, dict(folder.sources))
    found, saved = [case.study_id for case in cases], time.monotonic()
    rows = _without_the_gone(folder.rows, found)
    digests = {case.study_id: source_digest(case) for case in cases}
    folder.make()
    try:
        for study_id, row in work.done(cases, workers):
            rows[study_id], folder.sources[study_id] = row, digests[study_id]
            if time.monotonic() - saved > _SAVE_EVERY_S:
                folder.save(_in_order(rows, found))
                saved = time.monotonic()
        folder.sides = drawn(list(rows.values()), folder.sides, drawing)  # once all is done, and never of a part
    finally:
        folder.save(_in_order(rows, found))
    return Outcome(on_their_sides(_in_order(rows, found), folder.sides))


class _Work:
    """The conversion of many cases, a few at once.

    Args:
        places: what a reason must not name in full, for a path may hold a patient's name.
        finished: rows of an earlier run whose files are in place.
        refused: reasons of studies that are not to be used, by id.
        sources: what the files of those rows were (see `source_digest`), where that is known.
    """

    def __init__(
        self,
        converter: Converter,
        places: Sequence[Path],
        finished: Mapping[str, Row],
        refused: Mapping[str, str],
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self._converter = converter
        known = [path for place in places for path in (place, place.resolve())]
        self._roots = [f"{root}{os.sep}" for root in (*known, *(path.parent for path in known))]
        self._finished = finished
        self._refused = refused
        self._sources = sources or {}

    def done(self, cases: Sequence[Case], workers: int) -> Iterator[tuple[str, Row]]:
        """(id, row) of each case as soon as it is finished."""
        with ThreadPoolExecutor(workers) as pool, tqdm(total=len(cases), desc="studies", unit="study") as progress:
            futures = {pool.submit(self._row, case): case for case in cases}
            try:
                for future in as_completed(futures):
                    case = futures.pop(future)
                    progress.update()
                    yield case.study_id, self._named(case, future)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _row(self, case: Case) -> Row:
        if case.study_id in self._refused:
            raise InputError(self._refused[case.study_id])
        earlier = self._finished.get(case.study_id)
        source = self._sources.get(case.study_id, "")
        if earlier is not None and self._converter.is_current(case, earlier, source):
            return earlier
        return self._converter.convert(case)

    def _named(self, case: Case, future: Future[Row]) -> Row:
        names: Row = {"study_id": case.study_id, "patient": patient_of(case), "split": case.split}
        error = future.exception()
        if error is None:
            row = {"status": "ok", "reason": ""} | future.result() | names
            return row | {"notes": self._without_roots(str(row["notes"] or ""))}
        if not isinstance(error, Exception):
            raise error
        reason = self._without_roots(logged_reason(error))
        return dict.fromkeys(self._converter.columns) | names | {"status": "failed", "reason": reason}

    def _without_roots(self, text: str) -> str:
        for root in self._roots:
            text = text.replace(root, "")
        return text


def _absolute(path: Path) -> Path:
    """ITK changes the working directory for a moment when it is loaded, and threads must not notice."""
    return Path(os.path.abspath(path))


def _settings(task: PrepareTask, source: Path, options: PrepareOptions, drawing: Drawing) -> dict[str, object]:
    said = {name: value for name, value in asdict(options).items() if name != "spacing_csv"}
    said["recode"] = {str(value): label for value, label in options.recode.items()}
    said["window_hu"] = list(options.window_hu) if options.window_hu else None
    return {
        "task": task.name,
        "labels": {str(value): name for value, name in task.labels.items()},
        "source": _digest(source),
        "options": said | {"names": list(options.names)},
        "split": [drawing.shares[split] for split in SPLITS],
        "seed": drawing.seed,
    }


def _digest(path: Path) -> str:
    """Twelve digits that tell two source folders apart without naming either."""
    return hashlib.sha256(str(path.resolve()).encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _without_the_gone(rows: Mapping[str, Row], found: Sequence[str]) -> dict[str, Row]:
    """The rows, usable ones of studies that are no longer in the source as such, once: their files stay on the disk."""
    present = {*found}
    kept = {study_id: row for study_id, row in rows.items() if study_id in present or row["status"] == "ok"}
    return {study_id: row if study_id in present else row | _GONE for study_id, row in kept.items()}


def _in_order(rows: Mapping[str, Row], found: Sequence[str]) -> list[Row]:
    """The rows as their studies were found; before them those of studies that are no longer in the source."""
    present = set(found)
    gone = [row for study_id, row in rows.items() if study_id not in present]
    return gone + [rows[study_id] for study_id in found if study_id in rows]
