"""`prepare`: a data set as it is distributed becomes one plain layout of images, labels and patient-level splits."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tqdm import tqdm

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles, broken
from sliceweave.pipelines.conversion import Converter
from sliceweave.pipelines.errors import InputError, reason_of
from sliceweave.pipelines.plain_volumes import cases_of_rows
from sliceweave.pipelines.prepare_tasks import PrepareTask
from sliceweave.pipelines.prepared_folder import PreparedFolder, digest
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.splits import SPLITS, draw_splits
from sliceweave.pipelines.study_csv import read_study_csv

_SAVE_EVERY_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a data set: a row per study, in the order in which they were found."""

    rows: Sequence[Row]

    @property
    def failed(self) -> list[str]:
        """One line per study that cannot be used."""
        return [f"{row['study_id']}: {row['reason']}" for row in self.rows if row["status"] == "failed"]

    @property
    def notes(self) -> list[str]:
        """One line per study that can be used and should be looked at."""
        return [f"{row['study_id']}: {row['notes']}" for row in self.rows if row["status"] == "ok" and row["notes"]]

    @property
    def usable(self) -> list[Row]:
        """Rows of the studies that can be used."""
        return [row for row in self.rows if row["status"] == "ok"]


@dataclass(frozen=True)
class Drawing:
    """How patients are split: shares of training, validation and test, and the seed of the draw."""

    shares: Mapping[str, float]
    seed: int = 0


def find_cases(task: PrepareTask, source: Path, options: PrepareOptions) -> list[Case]:
    """All studies of a folder, a file or a CSV (`study_id,image[,label][,patient][,split]`); ids are unique.

    Raises:
        InputError: nothing that the task knows is there, or the CSV is none.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist; expected the folder of a data set, or a CSV of studies")
    if source.suffix.lower() == ".csv":
        cases = cases_of_rows(read_study_csv(source))
    else:
        files = SourceFiles(source)
        cases = [case for find in task.finders for case in find(files, options)]
    if not cases:
        raise InputError(f"{source} holds nothing that '{task.name}' is made of; `sliceweave prepare --help` lists it")
    return _one_side_each(_one_each(cases))


def check(task: PrepareTask, source: Path, options: PrepareOptions) -> Outcome:
    """Reads every study through and writes nothing."""
    converter = Converter(task, options, folder=None)
    cases = find_cases(task, source, options)
    rows = dict(_converted(converter, cases, dict.fromkeys((_patient(case) for case in cases), ""), workers=2))
    return Outcome([rows[case.study_id] for case in cases])


def prepare(
    task: PrepareTask, source: Path, dest: Path, options: PrepareOptions, drawing: Drawing, workers: int = 2
) -> Outcome:
    """Converts what is missing in the destination; what cannot be used is a row with a reason, and the others go on.

    Raises:
        InputError: nothing to convert, or the destination cannot be used.
    """
    converter = Converter(task, options, dest)
    folder = PreparedFolder(dest, _settings(task, source, options, drawing), converter.columns)
    cases = find_cases(task, source, options)
    splits = _splits(cases, folder.rows, drawing)
    rows = {study_id: row for study_id, row in folder.rows.items() if folder.done(study_id)}
    folder.make()
    found = [case.study_id for case in cases]
    missing = [case for case in cases if case.study_id not in rows]
    saved = time.monotonic()
    try:
        for study_id, row in _converted(converter, missing, splits, workers):
            rows[study_id] = row
            if time.monotonic() - saved > _SAVE_EVERY_S:
                folder.save(_in_order(rows, found))
                saved = time.monotonic()
    finally:
        folder.save(_in_order(rows, found))
    return Outcome(_in_order(rows, found))


def summary(outcome: Outcome, dest: Path | None) -> str:
    """What became of the data set, for a terminal: counts, and a line for each study that is not as it should be."""
    what = f"prepared in {dest}" if dest else "usable"
    sides = Counter(str(row["split"]) for row in outcome.usable)
    counts = ", ".join(f"{sides[split]} {split}" for split in SPLITS) if dest else "nothing was written"
    lines = [f"{len(outcome.usable)} of {len(outcome.rows)} studies {what}: {counts}", *_label_lines(outcome.usable)]
    for title, listed in (("could not be used", outcome.failed), ("should be looked at", outcome.notes)):
        if listed:
            lines += [f"{len(listed)} {title}:", *(f"  {line}" for line in listed)]
    return "\n".join(lines)


def _label_lines(rows: Sequence[Row]) -> list[str]:
    """How often each label is there, so that a wrong coding is seen."""
    labelled = [row for row in rows if str(row["labelled"]) == "True"]
    columns = [column for row in labelled[:1] for column in row if column.endswith("_slices")]
    return [
        f"{column.removesuffix('_slices')} in {sum(str(row[column]) != '0' for row in labelled)} of "
        f"{len(labelled)} labelled studies, on {sum(int(str(row[column])) for row in labelled)} slices"
        for column in columns
    ]


def _settings(task: PrepareTask, source: Path, options: PrepareOptions, drawing: Drawing) -> dict[str, object]:
    said = {name: value for name, value in asdict(options).items() if name != "spacing_csv"}
    said["recode"] = {str(value): label for value, label in options.recode.items()}
    said["window_hu"] = list(options.window_hu) if options.window_hu else None
    return {
        "task": task.name,
        "labels": {str(value): name for value, name in task.labels.items()},
        "source": digest(source),
        "options": said | {"names": list(options.names)},
        "split": [drawing.shares[split] for split in SPLITS],
        "seed": drawing.seed,
    }


def _one_each(cases: Sequence[Case]) -> list[Case]:
    """The cases, those that share an id made one that fails."""
    count = Counter(case.study_id for case in cases)
    first = {case.study_id: case for case in reversed(cases)}
    return [
        case
        if count[study_id] == 1
        else broken(study_id, f"expected one study of this name, found {count[study_id]}; rename all but one")
        for study_id, case in reversed(first.items())
    ]


def _one_side_each(cases: Sequence[Case]) -> list[Case]:
    """The cases, those of a patient whom the data set puts on two sides made ones that fail."""
    sides: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        if case.split:
            sides[_patient(case)].add(case.split)
    return [_checked_side(case, sides[_patient(case)]) for case in cases]


def _checked_side(case: Case, sides: set[str]) -> Case:
    if unknown := sides - set(SPLITS):
        return broken(case.study_id, f"expected the split {', '.join(SPLITS)}, got {', '.join(sorted(unknown))}")
    if len(sides) > 1:
        both = " and ".join(sorted(sides))
        return broken(case.study_id, f"patient {_patient(case)} stands in {both}; a patient belongs to one side")
    return replace(case, split=next(iter(sides), ""))


def _patient(case: Case) -> str:
    return case.patient or case.study_id


def _splits(cases: Sequence[Case], earlier: Mapping[str, Row], drawing: Drawing) -> dict[str, str]:
    settled = {str(row["patient"]): str(row["split"]) for row in earlier.values() if row["split"]}
    settled |= {_patient(case): case.split for case in cases if case.split}
    labelled = [_patient(case) for case in cases if case.label]
    for patients in (labelled, map(_patient, cases)):  # first those who count, so that they meet the shares
        settled = draw_splits(patients, settled, drawing.shares, drawing.seed)
    return settled


def _converted(
    converter: Converter, cases: Sequence[Case], splits: Mapping[str, str], workers: int
) -> Iterator[tuple[str, Row]]:
    """(id, row) of each case as soon as it is finished; a few cases are under way at once."""
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(cases), desc="studies", unit="study") as progress:
        futures: dict[Future[Row], Case] = {pool.submit(converter.convert, case): case for case in cases}
        try:
            for future in as_completed(futures):
                case = futures.pop(future)
                progress.update()
                yield case.study_id, _named(converter, case, splits[_patient(case)], future)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _named(converter: Converter, case: Case, split: str, future: Future[Row]) -> Row:
    names: Row = {"study_id": case.study_id, "patient": _patient(case), "split": split}
    error = future.exception()
    if error is None:
        return names | {"status": "ok", "reason": ""} | future.result()
    if not isinstance(error, Exception):
        raise error
    logger.debug("study failed", exc_info=error)
    return dict.fromkeys(converter.columns) | names | {"status": "failed", "reason": reason_of(error)}


def _in_order(rows: Mapping[str, Row], found: Sequence[str]) -> list[Row]:
    """The rows as their studies were found; before them those of studies that are no longer in the source."""
    present = set(found)
    gone = [row for study_id, row in rows.items() if study_id not in present]
    return gone + [rows[study_id] for study_id in found if study_id in rows]
