"""Labelled data sets painted into head CT that has no blood: images/, labels/, truth.csv."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from sliceweave.pipelines.atomic import make_folder, write_atomically
from sliceweave.pipelines.cells import Cell
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.file_stamps import sha256_of
from sliceweave.pipelines.generated_sets import ANOTHER, FOLDERS, mapped, nifti_bytes, settle
from sliceweave.pipelines.painted_study import PaintOptions, paint_study
from sliceweave.pipelines.studies import Study, find_studies
from sliceweave.pipelines.study_source import PAINTED
from sliceweave.pipelines.tables import Table

TRUTH_COLUMNS = ("study_id", "patient", "kinds", "volume_ml", "contrast_hu")

_SETTINGS = "painting.json"


@dataclass(frozen=True)
class PaintJob:
    """Which studies are made of what: `studies` of them, head after head, with a seed."""

    heads: tuple[Study, ...]
    studies: int
    seed: int
    options: PaintOptions


def chosen_heads(source: Path, patients: Sequence[str] = (), part: str = "") -> tuple[Study, ...]:
    """The heads of a folder, sorted by path: those named, or a part of them such as `0:16` or `16:`, or all.

    Raises:
        InputError: nothing to read, a name that is not there, or no part.
    """
    heads = find_studies(source)
    known = [head.study_id for head in heads]
    if unknown := [name for name in patients if name not in known]:
        raise InputError(f"--patients names {unknown[0]}, which is not in {source}: it has {', '.join(known)}")
    picked = [head for head in heads if not patients or head.study_id in patients][_part(part)]
    if not picked:
        raise InputError(f"--part {part} leaves none of {len(heads)} heads; expected FIRST:LAST such as 0:16")
    return tuple(picked)


def _part(text: str) -> slice:
    try:
        first, last = text.split(":") if text else ("", "")
        return slice(int(first) if first else None, int(last) if last else None)
    except ValueError as error:
        raise InputError(f"--part is FIRST:LAST such as 0:16 or 16:, got '{text}'") from error


def write_painted(job: PaintJob, directory: Path, workers: int = 2) -> dict[str, str]:
    """Writes the studies; those that are there already are kept. Returns the reasons of those that cannot be made.

    Raises:
        InputError: the directory cannot be written, or holds studies painted otherwise.
    """
    for folder in FOLDERS:
        make_folder(directory / folder, ANOTHER)
    heads = {head.study_id: sha256_of(head.image) for head in job.heads}
    settings = {"seed": job.seed, "heads": heads, **asdict(job.options)}
    settle(directory / _SETTINGS, settings, "other heads, seed or kinds")
    truth = Table(directory / "truth.csv", TRUTH_COLUMNS)
    known = {row["study_id"] for row in truth.load()} if truth.path.is_file() else set()
    truth.arrange(study_id(job.seed, i) for i in range(job.studies))
    missing = [i for i in range(job.studies) if not _is_there(directory, study_id(job.seed, i), known)]
    reasons = {}
    work = partial(_write_study, job=job, directory=directory)
    with tqdm(
        total=job.studies, initial=job.studies - len(missing), desc="painting", unit="study", disable=None
    ) as progress:
        for row, reason in mapped(work, missing, workers):
            if reason:
                reasons[str(row["study_id"])] = reason
            else:
                truth.put(str(row["study_id"]), [row])
                truth.save()
            progress.update()
    return reasons


def study_id(seed: int, index: int) -> str:
    """Name of a painted study."""
    return f"painted-{seed:04d}-{index:04d}"


def _is_there(directory: Path, name: str, known: set[str]) -> bool:
    return name in known and all((directory / folder / f"{name}.nii.gz").is_file() for folder in FOLDERS)


def _write_study(index: int, job: PaintJob, directory: Path) -> tuple[dict[str, Cell], str]:
    """Row of `truth.csv`, and why there is no study."""
    head, name = job.heads[index % len(job.heads)], study_id(job.seed, index)
    row: dict[str, Cell] = dict.fromkeys(TRUTH_COLUMNS)
    row |= {"study_id": name, "patient": head.study_id}
    try:
        study = paint_study(head, (job.seed, index), job.options)
    except InputError as error:
        return row, str(error)
    contents = [nifti_bytes(voxels, study.affine_ras, PAINTED) for voxels in (study.image, study.label)]
    for folder, content in zip(FOLDERS, contents, strict=True):
        write_atomically(directory / folder / f"{name}.nii.gz", content)
    row |= {"kinds": "+".join(study.kinds), "volume_ml": study.volume_ml, "contrast_hu": study.contrast_hu}
    return row, ""
