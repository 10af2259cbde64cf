"""A run over a cohort: which studies are due, what happens when one fails, and what is written for each."""

import hashlib
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

from sliceweave.pipelines.checkpoints import fingerprint
from sliceweave.pipelines.datasets import datalist, reason_of
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.findings import intensity_flags, midline_r_mm
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.montage import montage, write_png
from sliceweave.pipelines.reading import Scan, read_scan, write_mask
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import LabelResult, StudyFacts, study_rows
from sliceweave.pipelines.studies import file_stem
from sliceweave.pipelines.volumetry import measure, volume_ml

Case = Mapping[str, str]

logger = logging.getLogger(__name__)

UNSURE = (0.25, 0.75)
"""Probabilities between which a voxel is neither clearly lesion nor clearly not."""


@dataclass(frozen=True)
class Model:
    """What a row says of the model: name, version with the weights' fingerprint, and the label names by value."""

    name: str
    version: str
    labels: Mapping[int, str]


def describe_model(name: str, version: str, checkpoint: str, channel_def: Mapping[str, str]) -> Model:
    """The model as its metadata and its weights file describe it; channel 0 is the background."""
    labels = {int(channel): label for channel, label in channel_def.items() if int(channel) > 0}
    return Model(name, f"{version}+{fingerprint(checkpoint)}", labels)


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
        written = mask.is_file() and (picture.is_file() or not pictures)
        if not (written and report.done(case["study_id"], model.name, model.version, sha256_of(Path(case["image"])))):
            due.append(case)
    logger.info("%d studies, %d of them finished earlier", len(cases), len(cases) - len(due))
    return due


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
        pictures: whether a picture of each study is wanted.
    """

    def __init__(self, report: Report, model: Model, pictures: bool = True) -> None:
        self.report = report
        self.model = model
        self.pictures = pictures

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
            path.unlink(missing_ok=True)
        self.report.fail(self.facts(case), reason)
        logger.warning("%s failed: %s", case["study_id"], reason)

    def write(self, case: Case, output: Mapping[str, Any]) -> str:
        """Writes all that belongs to a study; the reason if it cannot be measured, else an empty text.

        Raises:
            InputError: the output folder cannot be written to; no study can be finished then.
        """
        mask = np.asarray(output["pred"][0]).astype(np.uint8)
        try:
            scan = read_scan(Path(case["image"]), case["study_id"])
            results = self.results(mask, scan, case.get("label"))
            unsure = certainty_flags(np.asarray(output["probability"]), scan.geometry)
            rows = study_rows(
                self.facts(case, (*intensity_flags(scan.voxels, scan.geometry), *unsure)), scan.geometry, results
            )
            title = title_of(case["study_id"], results)
            picture = montage(scan.voxels, mask, scan.geometry, title) if self.pictures else None
        except Exception as error:  # whatever is wrong with one study, the others go on
            logger.debug("study failed", exc_info=error)
            return reason_of(error)
        mask_path, picture_path = output_paths(self.report, case["study_id"])
        write_mask(mask, scan, mask_path)
        if picture is not None:
            write_png(picture, picture_path)
        self.report.add(rows)
        return ""

    def results(self, mask: NDArray[np.uint8], scan: Scan, reference: str | None) -> list[LabelResult]:
        """What is measured of each label."""
        middle_mm = midline_r_mm(scan.voxels, scan.geometry)
        return [
            LabelResult(
                name,
                measure(mask == value, scan.geometry, middle_mm),
                reference_volume_ml=reference_volume_ml(Path(reference), value, scan) if reference else None,
            )
            for value, name in self.model.labels.items()
        ]

    def facts(self, case: Case, flags: tuple[str, ...] = ()) -> StudyFacts:
        return StudyFacts(
            study_id=case["study_id"],
            image_sha256=sha256_of(Path(case["image"])),
            model=self.model.name,
            model_version=self.model.version,
            seconds=time.perf_counter() - self.began,
            flags=flags,
        )


def title_of(study_id: str, results: Sequence[LabelResult]) -> str:
    """The headline of a picture: the study and its volumes."""
    return f"{study_id}: " + ", ".join(f"{r.label} {r.measurement.volume_ml:.1f} ml" for r in results)


def reference_volume_ml(label: Path, value: int, scan: Scan) -> float | None:
    """Volume of one value of a reference mask on the scan's geometry; None and a line in the log if it does not fit."""
    try:
        mask = read_scan(label).voxels
    except InputError as error:
        logger.warning("no reference volume: %s", error)
        return None
    if mask.shape != scan.voxels.shape:
        logger.warning("no reference volume: %s has shape %s, its image %s", label, mask.shape, scan.voxels.shape)
        return None
    return volume_ml(mask == value, scan.geometry)


def certainty_flags(probability: NDArray[np.float32], geometry: Geometry) -> tuple[str, ...]:
    """`high_uncertainty`: more than 1 ml is neither clearly lesion nor clearly not, and over half the lesion."""
    unsure = np.count_nonzero((probability > UNSURE[0]) & (probability < UNSURE[1]))
    is_high = unsure * geometry.voxel_ml > 1.0 and unsure > 0.5 * np.count_nonzero(probability >= 0.5)
    return ("high_uncertainty",) if is_high else ()


def sha256_of(path: Path) -> str:
    """Hash of the file's bytes; empty if there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def run(evaluator: SupervisedEvaluator, report: Report, strict: bool = False) -> None:
    """Runs the engine over all studies due, then says how many were measured and how many failed.

    Raises:
        SystemExit: with status 1, `strict` and a study has failed; with 130, the user stopped the run.
    """
    try:
        if evaluator.state.epoch_length:
            evaluator.run()
    except KeyboardInterrupt:
        logger.warning("stopped; the rows in %s are whole, --resume True goes on", report.directory)
        raise SystemExit(130) from None
    failed = report.failed()
    logger.info("%d studies in %s, %d failed", report.studies(), report.directory / "volumes.csv", len(failed))
    if strict and failed:
        raise SystemExit(1)
