"""A run over a cohort: which studies are due, what happens when one fails, and what is written for each."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from numpy.typing import NDArray
from tqdm import tqdm

from sliceweave.pipelines.acceleration import subnormals_as_zero
from sliceweave.pipelines.atomic import remove
from sliceweave.pipelines.background_threads import OneBehind
from sliceweave.pipelines.conduct import conduct
from sliceweave.pipelines.datasets import datalist
from sliceweave.pipelines.dicom_results import DicomResults
from sliceweave.pipelines.errors import InputError, logged_reason
from sliceweave.pipelines.file_stamps import sha256_of
from sliceweave.pipelines.itk_files import voxel_file
from sliceweave.pipelines.lettering import Picture
from sliceweave.pipelines.measuring import (
    Mask,
    certainty_flags,
    label_results,
    reference_volumes_ml,
    title_of,
    turned,
    with_slice_scores,
)
from sliceweave.pipelines.member_counts import MemberCounts
from sliceweave.pipelines.model import Model
from sliceweave.pipelines.montage import montage, write_png
from sliceweave.pipelines.options import yes_or_no
from sliceweave.pipelines.reading import files_of, find_sidecar, write_mask
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import StudyFacts, StudyRows, study_rows
from sliceweave.pipelines.run_record import RunRecord
from sliceweave.pipelines.studies import file_stem
from sliceweave.pipelines.study_kind import StudyKind
from sliceweave.pipelines.study_reader import ReadStudy, StudyReader
from sliceweave.pipelines.study_report import StudyReport, dicom_paths, fail_study, output_paths
from sliceweave.pipelines.study_source import source_of
from sliceweave.pipelines.tta import TtaInferer
from sliceweave.transforms.scan_mask import UNSURE_VOXELS
from sliceweave.transforms.slice_scores import SLICE_SCORES

Case = Mapping[str, str]

logger = logging.getLogger(__name__)


def pending(
    dataset_dir: str | None, report: Report, model: Model, pictures: bool = True, dicom: DicomResults | None = None
) -> list[dict[str, str]]:
    """The cases still to do: all of them, less those whose row by this model and wanted files a resumed report holds.

    Raises:
        InputError: there are no studies at all, or one has no DICOM series although its results are to refer to one.
    """
    cases = datalist(dataset_dir)
    if {Path(case["image"]).resolve().parent for case in cases} & {report.directory.resolve()}:
        raise InputError(f"--output_dir {report.directory} holds the images themselves; choose another folder")
    if dicom is not None:
        dicom.check(case["study_id"] for case in cases)
    report.expect([case["study_id"] for case in cases])
    due = []
    for case in cases:
        mask, picture = output_paths(report, case["study_id"])
        seg, sr = dicom_paths(report.directory, file_stem(case["study_id"]))
        wanted = [mask, *([picture] if yes_or_no(pictures, "pictures") else []), *([seg, sr] if dicom else [])]
        is_done = _is_done(case, report, model, wanted)
        if not is_done or (dicom and not dicom.still_names(case["study_id"], seg)):
            due.append(case)
    logger.info("%d studies, %d of them finished earlier", len(cases), len(cases) - len(due))
    if again := sum(report.measured(case["study_id"]) for case in due):
        logger.info("%d are done again: their files, the options or the weights have changed", again)
    return due


def _is_done(case: Case, report: Report, model: Model, wanted: Sequence[Path]) -> bool:
    """Whether the wanted files, the mask first, and the row are there: of this model, and of files still the same."""
    study_id, image = case["study_id"], Path(case["image"])
    if not (report.done(study_id, model.name, model.version) and all(path.is_file() for path in wanted)):
        return False
    if wanted[0].stat().st_mtime < changed_at(case) or not report.stood_beside(study_id, beside(case)):
        return False
    return report.done(study_id, model.name, model.version, report.known_sha256(study_id, image) or sha256_of(image))


def beside(case: Case) -> str:
    """Digits that change with what belongs to a study's image: detached voxels, sidecar, label; empty without any."""
    image, label = Path(case["image"]), Path(case.get("label", ""))
    files = {
        "sidecar": find_sidecar(image, case["study_id"]),
        "voxels": voxel_file(image),
        "label": label if case.get("label") else None,
        "label voxels": voxel_file(label),
    }
    return " ".join(f"{role} {sha256_of(path)[:8]}" for role, path in files.items() if path)


def changed_at(case: Case) -> float:
    """When the newest of a study's files was written: the image's and the label's, with what belongs to them."""
    image = Path(case["image"])
    files = [*files_of(image, case["study_id"]), *files_of(Path(case.get("label", image)))]
    return max((path.stat().st_mtime for path in files if path.is_file()), default=0.0)


def tolerant_iteration(engine: SupervisedEvaluator, batch: dict[str, Any]) -> dict[str, Any]:
    """MONAI's evaluation step, except that a study that fails gives `{"reason"}` and the engine goes on."""
    if "reason" in batch:
        return {"reason": batch["reason"][0]}
    try:
        return engine._iteration(engine, batch)
    except Exception as error:  # out of memory, a network that refuses the input: one study's problem
        return {"reason": logged_reason(error)}


@dataclass(frozen=True, eq=False)
class Segmented:
    """What the network made of a study: the mask on the scan's own grid, and how sure it was, of each slice too."""

    mask: Mask
    unsure_voxels: int
    member_counts: MemberCounts | None
    slice_scores: NDArray[np.float64] | None = None


class VolumeReport:
    """Handler of the inference engine: mask, picture and rows of each study as soon as it is segmented.

    They are made in a thread while the network is busy with the next study.

    Args:
        report: what the rows are written to.
        model: what the rows say of the model.
        study_kind: how the task's studies are looked at and measured.
        pictures: whether a picture of each study is wanted.
        tta: what the engine infers with, if it augments: it knows the spread of the study just segmented.
        reader: what the preprocessing reads with: it keeps each study for the report. Without, files are read again.
        dicom: makes DICOM SEG and SR of each study, if they are wanted.
    """

    def __init__(
        self,
        report: StudyReport,
        model: Model,
        study_kind: StudyKind,
        pictures: bool = True,
        tta: TtaInferer | None = None,
        reader: StudyReader | None = None,
        dicom: DicomResults | None = None,
    ) -> None:
        self.tta = tta
        self.kind = study_kind
        self.report = report
        self.model = model
        self.pictures = yes_or_no(pictures, "pictures")
        self.reader = reader or StudyReader()
        self.dicom = dicom
        self.behind = OneBehind()

    def attach(self, engine: SupervisedEvaluator) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self.forget)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.stop)

    def start(self, engine: SupervisedEvaluator) -> None:
        self.reader.keeps = True
        self.cases: dict[str, Case] = {case["study_id"]: case for case in cast(Any, engine.data_loader).dataset.data}
        self.report.start()
        self.bar = tqdm(total=engine.state.epoch_length, desc="studies", unit="study", disable=None)
        self.began = time.perf_counter()

    def __call__(self, engine: SupervisedEvaluator) -> None:
        batch, output = engine.state.batch, engine.state.output
        case = self.cases[batch[0]["study_id"] if isinstance(batch, list) else batch["study_id"][0]]
        if isinstance(output, dict):
            self.behind.wait()
            self.done(case, output["reason"])
        else:
            mask = output[0]["pred"][0].cpu().numpy().astype(np.uint8, copy=False)  # in the order it has
            counts = self.tta.counts if self.tta else None
            made = Segmented(mask, output[0].get(UNSURE_VOXELS, 0), counts, output[0].get(SLICE_SCORES))
            self.behind.start(self.take, case, made)

    def forget(self, engine: SupervisedEvaluator) -> None:
        """Lets the last study go, which the engine would hold until the next one's mask is there."""
        engine.state.batch = engine.state.output = None

    def finish(self, _engine: SupervisedEvaluator) -> None:
        self.behind.wait()
        self.bar.close()

    def stop(self, _engine: SupervisedEvaluator, error: BaseException) -> None:
        """Lets the study that is being written be finished before whatever ended the run goes on its way."""
        self.behind.wait()
        raise error

    def take(self, case: Case, segmented: Segmented) -> None:
        """Writes what belongs to a study, or why it cannot be measured."""
        self.done(case, self.write(case, segmented))

    def done(self, case: Case, reason: str) -> None:
        if reason:
            self.fail(case, reason)
        self.bar.update()
        self.began = time.perf_counter()

    def fail(self, case: Case, reason: str) -> None:
        """Writes the row of a study without numbers."""
        fail_study(self.report, self.facts(case, sha256_of(Path(case["image"]))), reason)

    def write(self, case: Case, segmented: Segmented) -> str:
        """Writes all that belongs to a study; the reason if it cannot be measured, else an empty text.

        Raises:
            InputError: the output folder cannot be written to; no study can be finished then.
        """
        try:
            study = self.reader.taken(Path(case["image"]), case["study_id"])
            rows, picture = self.findings(case, study, segmented)
            dicom = self.dicom and self.dicom.made_of(case["study_id"], segmented.mask, study.scan, self.model)
        except Exception as error:  # whatever is wrong with one study, the others go on
            return logged_reason(error)
        mask_path, picture_path = output_paths(self.report, case["study_id"])
        self.report.forget(case["study_id"])  # its numbers must not stand beside another mask if this is broken off
        write_mask(segmented.mask, study.scan, mask_path)
        if picture is None:
            remove(picture_path)
        else:
            write_png(picture, picture_path)
        paths = dicom_paths(self.report.directory, file_stem(case["study_id"]))
        if self.dicom and dicom:
            self.dicom.save(dicom, paths)
        else:
            for path in paths:
                remove(path)
        self.report.add(rows, Path(case["image"]), beside(case))
        return ""

    def findings(self, case: Case, study: ReadStudy, segmented: Segmented) -> tuple[StudyRows, Picture | None]:
        """The study's rows, and its picture if one is wanted."""
        kind, labels, scan = self.kind, self.model.labels, study.scan
        view, shown = turned(scan, segmented.mask, kind.slice_axis)
        reference_ml = reference_volumes_ml(case.get("label"), scan, labels)
        measured = label_results(shown, view, labels, reference_ml, kind.middle_r_mm(scan))
        counts = segmented.member_counts
        spreads_ml = None if counts is None else counts.spreads_ml(scan.geometry)
        certain = self.model.with_certainty(measured, spreads_ml, scan.header)
        results = with_slice_scores(certain, segmented.slice_scores, labels)
        if window_hu := kind.window_of_greys(scan):
            logger.info("%s: its grey levels are taken for %g to %g HU", case["study_id"], *window_hu)
        unsure = certainty_flags(segmented.unsure_voxels, segmented.mask, scan.geometry)
        flags = (*kind.flags(scan), *unsure, *self.model.flags(scan.header))
        facts = self.facts(case, study.sha256, flags, source_of(scan.header))
        rows = kind.measurable(study_rows(facts, view.geometry, results), scan)
        if not self.pictures:
            return rows, None
        screen = kind.screen(view)
        title, voxels = title_of(case["study_id"], results, screen), kind.shown(view)
        return rows, montage(voxels, shown, screen, title, kind.shown_range(voxels))

    def facts(self, case: Case, sha256: str, flags: tuple[str, ...] = (), source: str = "") -> StudyFacts:
        return StudyFacts(
            study_id=case["study_id"],
            image_sha256=sha256,
            model=self.model.name,
            model_version=self.model.version,
            seconds=time.perf_counter() - self.began,
            flags=flags,
            source=source,
        )


def run(evaluator: SupervisedEvaluator, report: Report, strict: bool = False, record: RunRecord | None = None) -> None:
    """Runs the engine over all studies due. Arguments and `SystemExit` as `conduct`."""

    def work() -> None:
        if evaluator.state.epoch_length:
            segment(evaluator)

    report.claim()
    conduct(work, report, strict, record)


def segment(evaluator: SupervisedEvaluator) -> None:
    """Runs the engine over its studies."""
    with subnormals_as_zero():
        evaluator.run()
