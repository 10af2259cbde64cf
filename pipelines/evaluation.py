"""Scores of a model over a cohort: the handler that writes them, and the run around it."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.utils import convert_to_numpy, ensure_tuple
from tqdm import tqdm

from sliceweave.pipelines.errors import InputError, logged_reason
from sliceweave.pipelines.reading import read_grid
from sliceweave.pipelines.score_summary import METRIC_NAMES, means, readable
from sliceweave.pipelines.score_tables import ScoreTables
from sliceweave.pipelines.scoring import CaseScore, score_case
from sliceweave.pipelines.studies import id_of
from sliceweave.pipelines.study_kind import StudyKind

logger = logging.getLogger(__name__)


@final
class CaseScores:
    """Handler of an evaluation engine: scores each study on its scan's own grid as soon as it is segmented.

    The engine's outputs hold `pred` and `label`, masks (1, I, J, K) of class indices on the grid of the file that
    `image` was loaded from. At the end the means of the chosen metrics stand in `engine.state.metrics` under names
    like `tumor_dice`; handlers that pass these on (StatsHandler, trackers) come after this one.

    Args:
        directory: where `cases.csv`, `summary.csv` and `failed.csv` go; the tables of an earlier run are replaced.
        labels: names by class index; the background, 0, may be among them.
        metrics: those that the log and trackers show, as named in `summary.csv`; the tables hold all.
        study_kind: whether they are videos, whose third axis is time (see `score_case`); those of an unknown pixel size
            get no distances.

    Raises:
        InputError: there is no such metric.
    """

    def __init__(
        self,
        directory: Path | str,
        labels: Mapping[int, str],
        study_kind: StudyKind,
        metrics: Sequence[str] | str = ("dice",),
    ) -> None:
        self.metrics: tuple[str, ...] = ensure_tuple(metrics)
        if unknown := sorted(set(self.metrics) - METRIC_NAMES):
            choice = ", ".join(sorted(METRIC_NAMES))
            raise InputError(f"--metrics: there is no {', '.join(unknown)}; choose from {choice}")
        self.tables = ScoreTables(directory)
        self.labels = {int(value): name for value, name in labels.items() if int(value) != 0}
        self.means: dict[str, float] = {}
        self.kind = study_kind

    def attach(self, engine: SupervisedEvaluator) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.finish)

    def start(self, engine: SupervisedEvaluator) -> None:
        self.tables.start()
        for name in self.means:  # those of an earlier run must not stand for this one
            engine.state.metrics.pop(name, None)
        self.bar = tqdm(total=engine.state.epoch_length, desc="studies", unit="study", disable=None)

    def __call__(self, engine: SupervisedEvaluator) -> None:
        batch, output = engine.state.batch, engine.state.output
        if isinstance(output, dict):  # not taken apart into cases: nothing came of them
            for study_id, _ in self.named(batch):
                self.fail(study_id, output["reason"])
        else:
            for case, masks in zip(batch, output, strict=True):
                self.score(*self.named(case)[0], masks)
        self.bar.update()

    def finish(self, engine: SupervisedEvaluator) -> None:
        """Writes the summary and says what it says; without a study that could be scored there is none."""
        self.bar.close()
        rows = self.tables.finish()
        self.means = means(rows, self.metrics)
        engine.state.metrics.update(self.means)
        if rows:
            logger.info("mean ± sd of %d studies:\n%s", len(self.tables.cases), readable(rows, self.metrics))

    def score(self, study_id: str, image: Path, masks: Mapping[str, Any]) -> None:
        """Writes a study's scores, or why it has none.

        Raises:
            InputError: the output folder cannot be written to; no study can be finished then.
        """
        try:
            score = self.scored(study_id, image, masks)
        except Exception as error:  # whatever is wrong with one study, the others go on
            self.fail(study_id, logged_reason(error))
        else:
            self.tables.add(study_id, score)

    def scored(self, study_id: str, image: Path, masks: Mapping[str, Any]) -> CaseScore:
        """The scores of masks on the grid of the image's file."""
        prediction, truth = (convert_to_numpy(masks[key][0]).astype(np.uint8) for key in ("pred", "label"))
        geometry, header = read_grid(image, study_id)
        score = score_case(prediction, truth, geometry, self.labels, self.kind.has_volume)
        return score if self.kind.has_lengths(header) else score.without_distances()

    def fail(self, study_id: str, reason: str) -> None:
        self.tables.fail(study_id, reason)
        logger.warning("%s failed: %s", study_id, reason)

    def named(self, batch: Mapping[str, Any]) -> list[tuple[str, Path]]:
        """Id and image file of each case of a batch, or of a single case.

        Cases without `study_id` are called by their file, and where that name is taken by the whole path.
        """
        image = batch["image"]
        names = image.meta["filename_or_obj"] if hasattr(image, "meta") else image
        images = [Path(name) for name in ensure_tuple(names)]
        if "study_id" in batch:
            return list(zip(ensure_tuple(batch["study_id"]), images, strict=True))
        taken = self.tables.cases.keys() | self.tables.failed.keys()
        return [(str(image) if id_of(image) in taken else id_of(image), image) for image in images]


def run_evaluation(evaluator: SupervisedEvaluator, scores: CaseScores) -> None:
    """Runs the engine over all studies, then says how many were scored and how many failed.

    Raises:
        SystemExit: with status 1, a study has failed or there was none to score; with 130, the user stopped the run.
    """
    tables = scores.tables
    try:
        evaluator.run()
    except KeyboardInterrupt:
        logger.warning("stopped; cases.csv in %s is whole and there is no summary; run again", tables.directory)
        raise SystemExit(130) from None
    logger.info("%d studies scored in %s, %d failed", len(tables.cases), tables.directory, len(tables.failed))
    if tables.failed or not tables.cases:
        raise SystemExit(1)
