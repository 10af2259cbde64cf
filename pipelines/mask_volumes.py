"""The volume report of masks that are already there, whoever drew them: one study after the other."""

import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from sliceweave.pipelines.atomic import remove
from sliceweave.pipelines.errors import InputError, reason_of
from sliceweave.pipelines.file_stamps import sha256_of
from sliceweave.pipelines.label_maps import find_map_sidecar
from sliceweave.pipelines.lettering import Picture
from sliceweave.pipelines.mask_measuring import MaskOptions, measure_study
from sliceweave.pipelines.mask_sources import MaskStudy
from sliceweave.pipelines.montage import write_png
from sliceweave.pipelines.reading import find_sidecar
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import StudyFacts, StudyRows, failed_rows
from sliceweave.pipelines.studies import file_stem
from sliceweave.pipelines.tables import read_table

MODEL = "masks"
_STAMP_DIGITS = 8
_MOST_NAMED = 5

logger = logging.getLogger(__name__)


def run_volumes(studies: Sequence[MaskStudy], report: Report, options: MaskOptions) -> None:
    """Measures each study that a resumed report does not hold yet; one that fails is a row with its reason.

    Raises:
        InputError: the output folder cannot be written to.
    """
    _say_what_is_missing(studies, options)
    _check_nothing_else_is_lost(studies, report)
    with closing(report):
        report.start("--out")
        for study in tqdm(studies, desc="studies", unit="study", disable=None):
            _measure(study, report, options)


def _measure(study: MaskStudy, report: Report, options: MaskOptions) -> None:
    facts, png = facts_of(study, options), picture_path(report.directory, study)
    is_drawn = png.is_file() or not (options.pictures and study.image)
    if is_drawn and report.done(study.study_id, MODEL, facts.model_version, facts.image_sha256):
        return
    rows, picture = findings(study, facts, options)
    if picture is None:
        remove(png)
    else:
        write_png(picture, png)
    report.add(rows)


def _check_nothing_else_is_lost(studies: Sequence[MaskStudy], report: Report) -> None:
    """Raises InputError where the folder holds the masks themselves, or the tables of another kind of run."""
    out = report.directory
    if {study.mask.resolve().parent for study in studies} & {out.resolve()}:
        raise InputError(f"--out {out} holds the masks themselves; choose another folder")
    earlier = out / "volumes.csv"
    if earlier.is_file() and (others := {*read_table(earlier).get("model", [])} - {MODEL, ""}):
        raise InputError(f"--out {out} holds the results of {min(others)}; choose another folder")


def findings(study: MaskStudy, facts: StudyFacts, options: MaskOptions) -> tuple[StudyRows, Picture | None]:
    """A study's rows, and its picture if one is wanted and there is an image; the row of a failure if it fails."""
    began = time.perf_counter()
    try:
        measurement, flags = measure_study(study, options)
        picture = measurement.picture() if options.pictures else None
    except Exception as error:  # whatever is wrong with one study, the others go on
        logger.debug("study failed", exc_info=error)
        logger.warning("%s failed: %s", study.study_id, reason_of(error))
        return failed_rows(facts, reason_of(error)), None
    return measurement.rows(replace(facts, flags=flags, seconds=time.perf_counter() - began)), picture


def picture_path(directory: Path, study: MaskStudy) -> Path:
    """Where a study's picture goes."""
    return directory / f"{file_stem(study.study_id)}.png"


def facts_of(study: MaskStudy, options: MaskOptions) -> StudyFacts:
    """What every row of the study repeats; the version changes with whatever its numbers come from but the image."""
    references = options.references
    table = references.volumes_ml.get(study.study_id)
    reference = references.masks.get(study.study_id)
    sidecars = [find_map_sidecar(study.mask, study.study_id)]
    if study.image:
        sidecars.append(find_sidecar(study.image, study.study_id))
    files = [sha256_of(path) if path else "" for path in (study.mask, reference, *sidecars)]
    settings = options.task, dict(options.names), options.needs_images, table, files
    stamp = hashlib.sha256(repr(settings).encode()).hexdigest()[:_STAMP_DIGITS]
    image_sha256 = sha256_of(study.image) if study.image else ""
    return StudyFacts(study.study_id, image_sha256, MODEL, f"{version('sliceweave')}+{stamp}")


def _say_what_is_missing(studies: Sequence[MaskStudy], options: MaskOptions) -> None:
    ids = [study.study_id for study in studies]
    references = options.references.studies
    without = {
        "image": [study.study_id for study in studies if options.needs_images and not study.image],
        "reference": [study_id for study_id in ids if references and study_id not in references],
        "mask, but a reference": sorted(references - set(ids)),
    }
    for what, missing in without.items():
        if missing:
            named = ", ".join(missing[:_MOST_NAMED]) + (", …" if len(missing) > _MOST_NAMED else "")
            logger.warning("%d studies have no %s: %s", len(missing), what, named)
