"""Trains and scores networks under the same conditions, one after another; what is finished is never done again."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from sliceweave.pipelines.atomic import make_folder
from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.comparison_conditions import Conditions
from sliceweave.pipelines.comparison_run import TrainingRun
from sliceweave.pipelines.comparison_settings import is_begun, keep_settings
from sliceweave.pipelines.comparison_split import Cases, check_studies, digests, write_split
from sliceweave.pipelines.contenders import Contender, contenders
from sliceweave.pipelines.errors import InputError

logger = logging.getLogger(__name__)

_LOOKED_AT_EVERY_S = 0.5
_SPLIT_READER = "sliceweave.pipelines.comparison_split.read_split"


@dataclass(frozen=True)
class Comparison:
    """What is to be compared, on what, and where the results go.

    Args:
        data: the folder or table that the split is of, as the results name it.
        split: cases by side.
    """

    conditions: Conditions
    contenders: Sequence[Contender]
    seeds: Sequence[int]
    data: str
    split: Mapping[str, Cases]
    out: Path

    @property
    def settings(self) -> dict[str, Any]:
        """What results that stand in one table must share."""
        return {
            "task": self.conditions.task,
            "data": self.data,
            "studies": digests(self.split),
            "width_share": self.conditions.share,
            "configuration": self.conditions.configuration(),
            "versions": {name: version(name) for name in ("sliceweave", "monai", "torch")},
        }

    @property
    def epochs(self) -> int:
        return int(self.conditions.configuration()["epochs"])

    def run_of(self, contender: Contender, seed: int) -> TrainingRun:
        return TrainingRun(self.out / "runs" / contender.slug / f"seed{seed}")


@dataclass
class Outcome:
    """How one network did.

    Args:
        parameters: of the network as it was trained.
        finished: the runs that have scores, by seed.
        failed: why the others have none.
    """

    contender: Contender
    parameters: int
    finished: dict[int, TrainingRun] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


def compare(comparison: Comparison) -> list[Outcome]:
    """Trains and scores whatever is not finished. A network that fails is told in its outcome; the others go on.

    Behind the networks asked for come those of earlier calls, with what is finished of the seeds asked for.

    Raises:
        InputError: a network cannot be built, a study cannot be used, the folder is another comparison's or in use;
            nothing is trained then.
    """
    outcomes = [Outcome(one, comparison.conditions.parameters(one)) for one in comparison.contenders]
    make_folder(comparison.out, "name another --out")
    with _locked(comparison.out):
        if not is_begun(comparison.out):
            check_studies(comparison.split, comparison.conditions.configuration()["label_values"])
        keep_settings(comparison.out, comparison.settings)
        write_split(comparison.out / "split.json", comparison.split)
        for number, (outcome, seed) in enumerate(_pairs(outcomes, comparison.seeds), 1):
            count = f"{number}/{len(outcomes) * len(comparison.seeds)}"
            _run(comparison, outcome, seed, count)
    return outcomes + _of_earlier_calls(comparison)


def _of_earlier_calls(comparison: Comparison) -> list[Outcome]:
    asked, found = {one.slug for one in comparison.contenders}, []
    for folder in sorted((comparison.out / "runs").glob("*")):
        runs = {seed: TrainingRun(folder / f"seed{seed}") for seed in comparison.seeds}
        finished = {seed: run for seed, run in runs.items() if run.network and run.has_finished("evaluation")}
        if finished and folder.name not in asked:
            (one,) = contenders(comparison.conditions.task, next(iter(finished.values())).network)
            found.append(Outcome(one, comparison.conditions.parameters(one), finished))
    return found


def _pairs(outcomes: Sequence[Outcome], seeds: Sequence[int]) -> Iterator[tuple[Outcome, int]]:
    """Every network with the first seed, then with the next: an early look compares all."""
    return ((outcome, seed) for seed in seeds for outcome in outcomes)


def _run(comparison: Comparison, outcome: Outcome, seed: int, count: str) -> None:
    run = comparison.run_of(outcome.contender, seed)
    title = f"{count} {outcome.contender.name}, seed {seed}"
    if run.has_finished("evaluation"):
        outcome.finished[seed] = run
        logger.info("%s: finished earlier", title)
        return
    _prepare(comparison, outcome.contender, seed)
    with run.start() as process:
        _follow(process, run, tqdm(total=comparison.epochs, desc=title, unit="epoch", leave=False, disable=None))
    if process.returncode == 0:
        outcome.finished[seed] = run
        logger.info("%s: trained and scored", title)
    else:
        outcome.failed[seed] = run.reason(process.returncode)
        logger.warning("%s failed: %s (%s)", title, outcome.failed[seed], run.log)


def _follow(process: "Popen[bytes]", run: TrainingRun, bar: "tqdm[Any]") -> None:
    """Moves the bar until the process ends."""
    with bar:
        while process.returncode is None:
            try:
                process.wait(_LOOKED_AT_EVERY_S)
            except TimeoutExpired:
                bar.update(run.epochs_done() - bar.n)
            if run.has_finished("training"):
                bar.set_postfix_str("scoring")
        bar.update(run.epochs_done() - bar.n)


def _prepare(comparison: Comparison, contender: Contender, seed: int) -> None:
    """Writes the configs of a run.

    Raises:
        InputError: they cannot be written.
    """
    conditions, run, out = comparison.conditions, comparison.run_of(contender, seed), comparison.out.absolute()
    stages = conditions.stages(contender.is_3d)
    cases = {
        side: {"_target_": _SPLIT_READER, "path": str(out / "split.json"), "side": side} for side in comparison.split
    }
    shared = {"seed": seed, "dataset_dir": comparison.data, "cache_dir": str(out / "cache")}
    training = {
        **conditions.training(contender),
        **shared,
        "output_dir": str(run.weights.parent.absolute()),
        "resume": True,
        "cases": {"train": cases["training"], "validation": cases["validation"]},
    }
    evaluation = {
        **conditions.evaluation(contender),
        **shared,
        "output_dir": str(run.scores.absolute()),
        "checkpoint": str(run.weights.absolute()),
        "cases": cases["test"],
    }
    run.prepare(
        contender.name,
        bundle_root(conditions.task),
        {"training": conditions.files(stages), "evaluation": conditions.files([*stages, "evaluate"])},
        {"training": training, "evaluation": evaluation},
    )


def _locked(folder: Path) -> AbstractContextManager[object]:
    """A lock on the folder until the block ends, or this process, however that ends.

    Raises:
        InputError: another comparison has it.
    """
    try:
        return FileLock(folder / "lock").acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"{folder}: another comparison is running there; wait for it, or name another --out"
        ) from error
