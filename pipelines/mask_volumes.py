"""The volume report of masks that are already there, whoever drew them: one study after the other."""

import hashlib
import logging
import time
from collections.abc import Sequence, Set
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from sliceweave.pipelines.atomic import remove
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.errors import InputError, logged_reason
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
    earlier = _studies_of_an_earlier_run(studies, report)
    with closing(report):
        report.start("--out")
        if report.studies():  # it resumes
            gone = earlier - {printable(study_id) for study_id in _ids(studies)}
            _say("%d studies of the earlier run have no mask any more, and keep their rows: %s", gone)
        for study in tqdm(studies, desc="studies", unit="study", disable=None):
            _measure(study, report, options, is_known=printable(study.study_id) in earlier)


def _measure(study: MaskStudy, report: Report, options: MaskOptions, is_known: bool) -> None:
    """Measures one, if need be; a picture goes that is known to be an earlier run's and is none of these rows'."""
    facts, png = facts_of(study, options), picture_path(report.directory, study)
    is_drawn = png.is_file() or not (options.pictures and study.image)
    if is_drawn and report.done(study.study_id, MODEL, facts.model_version, facts.image_sha256):
        return
    rows, picture = findings(study, facts, options)
    if picture is not None:
        write_png(picture, png)
    elif is_known:
        remove(png)
    report.add(rows)


def _studies_of_an_earlier_run(studies: Sequence[MaskStudy], report: Report) -> set[str]:
    """Which studies the folder has results of.

    Raises:
        InputError: it holds the masks themselves, or the tables of another kind of run.
    """
    out = report.directory
    if {study.mask.resolve().parent for study in studies} & {out.resolve()}:
        raise InputError(f"--out {out} holds the masks themselves; choose another folder")
    if not (out / "volumes.csv").is_file():
        return set()
    table = read_table(out / "volumes.csv")
    if others := {*table.get("model", [])} - {MODEL, ""}:
        raise InputError(f"--out {out} holds the results of {min(others)}; choose another folder")
    return set(table.get("study_id", []))


def findings(study: MaskStudy, facts: StudyFacts, options: MaskOptions) -> tuple[StudyRows, Picture | None]:
    """A study's rows, and its picture if one is wanted and there is an image; the row of a failure if it fails."""
    began = time.perf_counter()
    try:
        measurement, flags = measure_study(study, options)
        picture = measurement.picture() if options.pictures else None
    except Exception as error:  # whatever is wrong with one study, the others go on
        reason = logged_reason(error)
        logger.warning("%s failed: %s", study.study_id, reason)
        return failed_rows(facts, reason), None
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
    ids, references = _ids(studies), options.references.studies
    without = {
        "image": {study.study_id for study in studies if options.needs_images and not study.image},
        "reference": ids - references if references else set(),
        "mask, but a reference": references - ids,
    }
    for what, missing in without.items():
        _say(f"%d studies have no {what}: %s", missing)


def _say(line: str, studies: Set[str]) -> None:
    """A warning with how many studies there are and the names of some; none where there are none."""
    if studies:
        named = sorted(studies)[:_MOST_NAMED]
        logger.warning(line, len(studies), ", ".join(named) + (", …" if len(studies) > _MOST_NAMED else ""))


def _ids(studies: Sequence[MaskStudy]) -> set[str]:
    return {study.study_id for study in studies}
