"""Generated studies with known answers, to train on, to try the project with, and to test it.

A study is a continuous body sampled where its voxels truly lie: tilted, oblique or unevenly spaced scans of one head
hold the same blood.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm import tqdm

from sliceweave.pipelines.atomic import make_folder, write_atomically
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.generated_sets import ANOTHER, FOLDERS, mapped, nifti_bytes, settle
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.phantom_grid import PhantomOptions, ScanGrid
from sliceweave.pipelines.phantom_tasks import phantom_task
from sliceweave.pipelines.reading import write_sidecar
from sliceweave.pipelines.study_source import GENERATED, source_of
from sliceweave.pipelines.tables import read_table

Truth = dict[str, dict[str, float]]
"""Rows of `truth.csv` by study: column → value."""


def write_phantoms(
    task: str, directory: Path, studies: int, seed: int, options: PhantomOptions, workers: int = 2
) -> None:
    """Writes images/, labels/, truth.csv and phantom.json into the directory; studies that are there already are kept.

    Raises:
        InputError: the task has no phantoms, or the directory cannot be written or holds another task's.
    """
    grid = phantom_task(task).grid
    for folder in FOLDERS:
        make_folder(directory / folder, ANOTHER)
    truth = _read_truth(directory / "truth.csv")
    settle(directory / "phantom.json", {"task": task, "even_kinds": options.even_kinds}, "another task, or other kinds")
    missing = [
        i
        for i in range(studies)
        if not (
            study_id(seed, i) in truth
            and _is_written(directory, study_id(seed, i), grid(seed, i, options), options.uneven)
        )
    ]
    work = partial(_write_case, task=task, directory=directory, seed=seed, options=options)
    with tqdm(total=studies, initial=studies - len(missing), desc="phantoms", unit="study") as progress:
        for name, known in mapped(work, missing, workers):
            truth[name] = dict(known)
            _write_truth(directory / "truth.csv", truth)
            progress.update()


def study_id(seed: int, index: int) -> str:
    """Name of a generated study."""
    return f"phantom-{seed:04d}-{index:03d}"


def _write_case(
    index: int, task: str, directory: Path, seed: int, options: PhantomOptions
) -> tuple[str, Mapping[str, float]]:
    case, name = phantom_task(task).make(seed, index, options), study_id(seed, index)
    contents = [nifti_bytes(voxels, case.grid.affine_ras, GENERATED) for voxels in (case.image, case.label)]
    for folder, content in zip(FOLDERS, contents, strict=True):
        path = directory / folder / f"{name}.nii.gz"
        write_sidecar(path, _geometry(case.grid, options.uneven))
        write_atomically(path, content)
    return name, case.truth


def _geometry(grid: ScanGrid, uneven: bool) -> Geometry:
    slices = (grid.slice_origins_ras_mm, grid.slice_thickness_mm) if uneven else ()
    return Geometry(grid.affine_ras, grid.shape, *slices)


def _is_written(directory: Path, name: str, grid: ScanGrid, uneven: bool) -> bool:
    stems = [directory / folder / name for folder in FOLDERS]
    return all(
        _holds_grid(stem.with_name(f"{name}.nii.gz"), grid)
        and stem.with_name(f"{name}.geometry.json").is_file() == uneven
        for stem in stems
    )


def _holds_grid(path: Path, grid: ScanGrid) -> bool:
    """Whether a study file is there, marked as ours, on the grid; files are put in place whole: its header tells."""
    try:
        image = nib.Nifti1Image.from_filename(path)
    except (OSError, EOFError, nib.filebasedimages.ImageFileError):
        return False
    lies_there = image.shape == grid.shape and np.allclose(image.affine, grid.affine_ras, atol=1e-4)
    return lies_there and source_of(image.header) == GENERATED


def _read_truth(path: Path) -> Truth:
    if not path.is_file():
        return {}
    table = read_table(path)
    if "study_id" not in table.columns:
        raise InputError(f"{path}: expected a list of generated studies, got no study_id; {ANOTHER}")
    return {str(name): dict(row) for name, row in table.set_index("study_id").iterrows()}


def _write_truth(path: Path, truth: Truth) -> None:
    table = pd.DataFrame.from_dict(truth, orient="index").sort_index()
    write_atomically(path, table.to_csv(index_label="study_id", float_format="%.4f").encode())
