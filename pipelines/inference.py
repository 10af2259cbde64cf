"""A run over a cohort: which studies are due, what happens when one fails, and what is written for each."""

import hashlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.utils import convert_to_numpy
from numpy.typing import NDArray
from tqdm import tqdm

from sliceweave.pipelines.atomic import remove
from sliceweave.pipelines.datasets import datalist
from sliceweave.pipelines.errors import reason_of
from sliceweave.pipelines.lettering import Picture
from sliceweave.pipelines.measuring import Mask, certainty_flags, label_results, reference_volumes_ml, title_of, turned
from sliceweave.pipelines.model import Model
from sliceweave.pipelines.montage import montage, write_png
from sliceweave.pipelines.options import yes_or_no
from sliceweave.pipelines.reading import Scan, read_scan, write_mask
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import StudyFacts, StudyRows, study_rows
from sliceweave.pipelines.run_record import RunRecord
from sliceweave.pipelines.studies import file_stem, id_of
from sliceweave.pipelines.study_kind import StudyKind
from sliceweave.pipelines.study_source import source_of
from sliceweave.pipelines.tta import TtaInferer

Case = Mapping[str, str]

logger = logging.getLogger(__name__)


def output_paths(report: Report, study_id: str) -> tuple[Path, Path]:
    """Where a study's mask and picture go."""
    stem = file_stem(study_id)
    return report.directory / f"{stem}_mask.nii.gz", report.directory / f"{stem}.png"


def pending(dataset_dir: str | None, report: Report, model: Model, pictures: bool = True) -> list[dict[str, str]]:
    """The cases still to do: all of them, less those whose row by this model, mask and picture a resumed report holds.

    Raises:
        InputError: there are no studies at all.
    """
    cases = datalist(dataset_dir)
    due = []
    for case in cases:
        mask, picture = output_paths(report, case["study_id"])
        written = mask.is_file() and (picture.is_file() or not yes_or_no(pictures, "pictures"))
        current = written and mask.stat().st_mtime >= changed_at(case)
        image = Path(case["image"])
        known = report.known_sha256(case["study_id"], image)
        if not (current and report.done(case["study_id"], model.name, model.version, known or sha256_of(image))):
            due.append(case)
    logger.info("%d studies, %d of them finished earlier", len(cases), len(cases) - len(due))
    return due


def changed_at(case: Case) -> float:
    """When the newest of a study's files was written: the image, its detached voxels, its sidecar, its label."""
    image = Path(case["image"])
    stems = {id_of(image), file_stem(case["study_id"])}
    files = [image, image.with_suffix(".raw"), image.with_suffix(".zraw"), Path(case.get("label", image))]
    files += [image.with_name(f"{stem}.geometry.json") for stem in stems]
    return max((path.stat().st_mtime for path in files if path.is_file()), default=0.0)


def tolerant_iteration(engine: SupervisedEvaluator, batch: dict[str, Any]) -> dict[str, Any]:
    """MONAI's evaluation step, except that a study that fails gives `{"reason"}` and the engine goes on."""
    if "reason" in batch:
        return {"reason": batch["reason"][0]}
    try:
        return engine._iteration(engine, batch)
    except Exception as error:  # out of memory, a network that refuses the input: one study's problem
        logger.debug("study failed", exc_info=error)
        return {"reason": reason_of(error)}


class VolumeReport:
    """Handler of the inference engine: mask, picture and rows of each study as soon as it is segmented.

    Args:
        report: the tables to write to.
        model: what the rows say of the model.
        study_kind: how the task's studies are looked at and measured.
        pictures: whether a picture of each study is wanted.
        tta: what the engine infers with, if it augments: it knows the spread of the study just segmented.
    """

    def __init__(
        self,
        report: Report,
        model: Model,
        study_kind: StudyKind,
        pictures: bool = True,
        tta: TtaInferer | None = None,
    ) -> None:
        self.tta = tta
        self.kind = study_kind
        self.report = report
        self.model = model
        self.pictures = yes_or_no(pictures, "pictures")

    def attach(self, engine: SupervisedEvaluator) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, lambda _: self.bar.close())

    def start(self, engine: SupervisedEvaluator) -> None:
        self.cases: dict[str, Case] = {case["study_id"]: case for case in cast(Any, engine.data_loader).dataset.data}
        self.report.start()
        self.bar = tqdm(total=engine.state.epoch_length, desc="studies", unit="study", disable=None)
        self.began = time.perf_counter()

    def __call__(self, engine: SupervisedEvaluator) -> None:
        batch, output = engine.state.batch, engine.state.output
        case = self.cases[batch[0]["study_id"] if isinstance(batch, list) else batch["study_id"][0]]
        reason = output["reason"] if isinstance(output, dict) else self.write(case, output[0])
        if reason:
            self.fail(case, reason)
        self.bar.update()
        self.began = time.perf_counter()

    def fail(self, case: Case, reason: str) -> None:
        """Writes the row of a study without numbers; what an earlier run left of the study must not stand beside it."""
        for path in output_paths(self.report, case["study_id"]):
            remove(path)
        self.report.fail(self.facts(case), reason)
        logger.warning("%s failed: %s", case["study_id"], reason)

    def write(self, case: Case, output: Mapping[str, Any]) -> str:
        """Writes all that belongs to a study; the reason if it cannot be measured, else an empty text.

        Raises:
            InputError: the output folder cannot be written to; no study can be finished then.
        """
        mask = convert_to_numpy(output["pred"][0]).astype(np.uint8)
        probability = convert_to_numpy(output["probability"])
        try:
            scan = read_scan(Path(case["image"]), case["study_id"])
            rows, picture = self.findings(case, scan, mask, probability)
        except Exception as error:  # whatever is wrong with one study, the others go on
            logger.debug("study failed", exc_info=error)
            return reason_of(error)
        mask_path, picture_path = output_paths(self.report, case["study_id"])
        write_mask(mask, scan, mask_path)
        if picture is None:
            remove(picture_path)
        else:
            write_png(picture, picture_path)
        self.report.add(rows, Path(case["image"]))
        return ""

    def findings(
        self, case: Case, scan: Scan, mask: Mask, probability: NDArray[np.float32]
    ) -> tuple[StudyRows, Picture | None]:
        """The study's rows, and its picture if one is wanted."""
        kind, labels = self.kind, self.model.labels
        view, shown = turned(scan, mask, kind.slice_axis)
        reference_ml = reference_volumes_ml(case.get("label"), scan, labels)
        middle_r_mm = kind.middle_r_mm(view.voxels, view.geometry)
        measured = label_results(shown, view, labels, reference_ml, middle_r_mm)
        spreads_ml = self.tta.spreads_ml(scan.geometry) if self.tta else None
        results = self.model.with_certainty(measured, spreads_ml, scan.header)
        if window_hu := kind.window_of_greys(scan):
            logger.info("%s: its grey levels are taken for %g to %g HU", case["study_id"], *window_hu)
        flags = certainty_flags(probability, mask, scan.geometry)
        facts = self.facts(case, (*kind.flags(scan), *flags, *self.model.flags(scan.header)), source_of(scan.header))
        rows = kind.measurable(study_rows(facts, view.geometry, results), scan)
        if not self.pictures:
            return rows, None
        screen = kind.screen(view)
        title, voxels = title_of(case["study_id"], results, screen), kind.shown(view)
        return rows, montage(voxels, shown, screen, title, kind.shown_range(voxels))

    def facts(self, case: Case, flags: tuple[str, ...] = (), source: str = "") -> StudyFacts:
        return StudyFacts(
            study_id=case["study_id"],
            image_sha256=sha256_of(Path(case["image"])),
            model=self.model.name,
            model_version=self.model.version,
            seconds=time.perf_counter() - self.began,
            flags=flags,
            source=source,
        )


def sha256_of(path: Path) -> str:
    """Hash of the file's bytes; empty if there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def run(evaluator: SupervisedEvaluator, report: Report, strict: bool = False, record: RunRecord | None = None) -> None:
    """Runs the engine over all studies due, then says how many were measured and how many failed.

    Args:
        record: what is written of the run, and whether it ends with a report page.

    Raises:
        SystemExit: with status 1, `strict` and a study has failed; with 130, the user stopped the run.
    """
    strict = yes_or_no(strict, "strict")
    report.claim()
    if record is not None:
        record.begin(report.directory)
    try:
        if evaluator.state.epoch_length:
            evaluator.run()
    except KeyboardInterrupt:
        logger.warning("stopped; the rows in %s are whole, --resume True goes on", report.directory)
        raise SystemExit(130) from None
    finally:
        report.close()
    failed = report.failed()
    if record is not None:
        _close(record, report, len(failed))
    logger.info("%d studies in %s, %d failed", report.studies(), report.directory / "volumes.csv", len(failed))
    if strict and failed:
        raise SystemExit(1)


def _close(record: RunRecord, report: Report, failed: int) -> None:
    record.finish(report.directory, report.studies(), failed)
    if record.page:
        from sliceweave.pipelines.page import page_of_run

        page_of_run(report.directory, record.dataset_dir)
