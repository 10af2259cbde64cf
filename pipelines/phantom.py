"""Generated studies with known answers: head CT with hematoma, to train on, to try the project with, and to test it.

A study is a continuous head sampled where its voxels truly lie: tilted, oblique or unevenly spaced scans of one head
hold the same blood.
"""

import gzip
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from sliceweave.pipelines.atomic import remove, remove_partials, write_atomically
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.phantom_grid import PhantomOptions, ScanGrid, scan_grid
from sliceweave.pipelines.phantom_head import grow_head
from sliceweave.pipelines.phantom_hematoma import bleed, draw_kinds
from sliceweave.pipelines.phantom_scan import Patient, scan, true_volume_ml

_FOLDERS = ("images", "labels")
TASKS = ("hematoma", "head")
_ALWAYS_BLEEDING = 3
_WORTH_WORKERS = 4


@dataclass(frozen=True)
class PhantomCase:
    """One generated study: int16 image (HU), uint8 label, where its voxels lie, and the blood it truly holds."""

    image_hu: NDArray[np.int16]
    label: NDArray[np.uint8]
    grid: ScanGrid
    volume_ml: float
    kinds: tuple[str, ...]


def make_case(seed: int, index: int, options: PhantomOptions) -> PhantomCase:
    """The study `index` of a seed, in memory; its head and blood depend on nothing else."""
    patient_rng, scanner_rng = np.random.default_rng([seed, index]).spawn(2)
    patient = _draw_patient(patient_rng, seed, index, options.healthy_share)
    grid = scan_grid(options)
    image_hu, share = scan(patient, grid, scanner_rng)
    return PhantomCase(image_hu, (share >= 0.5).astype(np.uint8), grid, true_volume_ml(patient, grid), patient.kinds)


def write_phantoms(
    task: str, directory: Path, studies: int, seed: int, options: PhantomOptions, workers: int = 2
) -> None:
    """Writes images/, labels/ and truth.csv into the directory; studies that are there already are kept.

    Raises:
        InputError: the task has no phantoms, or the directory cannot be written.
    """
    if task not in TASKS:
        raise InputError(f"task {task!r}: expected one of {', '.join(TASKS)}; other tasks have no phantoms")
    _prepare(directory)
    truth_ml = _read_truth(directory / "truth.csv")
    missing = [
        i
        for i in range(studies)
        if not (study_id(seed, i) in truth_ml and _is_written(directory, study_id(seed, i), options))
    ]
    work = partial(_write_case, directory=directory, seed=seed, options=options)
    with tqdm(total=studies, initial=studies - len(missing), desc="phantoms", unit="study") as progress:
        for name, volume_ml in _mapped(work, missing, workers):
            truth_ml[name] = volume_ml
            _write_truth(directory / "truth.csv", truth_ml)
            progress.update()


def study_id(seed: int, index: int) -> str:
    """Name of a generated study."""
    return f"phantom-{seed:04d}-{index:03d}"


def _draw_patient(rng: np.random.Generator, seed: int, index: int, healthy_share: float) -> Patient:
    healthy = rng.uniform() < healthy_share and index >= _ALWAYS_BLEEDING
    turn = Rotation.from_euler("xyz", rng.normal(0, [5, 3, 4]), degrees=True).as_matrix()
    shift_mm = rng.normal(0, [4, 5, 3])
    head = grow_head(rng)
    kinds = () if healthy else draw_kinds(rng, seed + index)
    return Patient(bleed(head, rng, kinds) if kinds else head, turn, shift_mm, kinds)


def _mapped(
    work: Callable[[int], tuple[str, float]], indices: Sequence[int], workers: int
) -> Iterator[tuple[str, float]]:
    if len(indices) < _WORTH_WORKERS or workers < 2:
        yield from map(work, indices)
        return
    with multiprocessing.get_context("spawn").Pool(workers, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap_unordered(work, indices)


def _write_case(index: int, directory: Path, seed: int, options: PhantomOptions) -> tuple[str, float]:
    case, name = make_case(seed, index, options), study_id(seed, index)
    contents = (_nifti_bytes(case.image_hu, case.grid.affine_ras), _nifti_bytes(case.label, case.grid.affine_ras))
    for folder, content in zip(_FOLDERS, contents, strict=True):
        sidecar = directory / folder / f"{name}.geometry.json"
        if options.uneven:
            write_atomically(sidecar, _sidecar_bytes(case.grid))
        else:
            remove(sidecar)
        write_atomically(directory / folder / f"{name}.nii.gz", content)
    return name, case.volume_ml


def _nifti_bytes(voxels: NDArray[np.int16] | NDArray[np.uint8], affine_ras: NDArray[np.float64]) -> bytes:
    image = nib.Nifti1Image(voxels, affine_ras)
    image.header.set_xyzt_units("mm")
    image.set_qform(affine_ras, code="scanner", strip_shears=True)
    image.set_sform(affine_ras, code="scanner")
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _sidecar_bytes(grid: ScanGrid) -> bytes:
    content = {
        "slice_origins_ras_mm": grid.slice_origins_ras_mm.tolist(),
        "slice_thickness_mm": grid.slice_thickness_mm.tolist(),
    }
    return json.dumps(content).encode()


def _prepare(directory: Path) -> None:
    try:
        for folder in _FOLDERS:
            (directory / folder).mkdir(parents=True, exist_ok=True)
            remove_partials(directory / folder)
    except OSError as error:
        raise InputError(f"{directory}: cannot make this folder ({error.strerror}); name another one") from error


def _is_written(directory: Path, name: str, options: PhantomOptions) -> bool:
    grid, stems = scan_grid(options), [directory / folder / name for folder in _FOLDERS]
    return all(
        _holds_grid(stem.with_name(f"{name}.nii.gz"), grid)
        and stem.with_name(f"{name}.geometry.json").is_file() == options.uneven
        for stem in stems
    )


def _holds_grid(path: Path, grid: ScanGrid) -> bool:
    """Whether a study file is there and lies on the grid; files are put in place whole, so its header tells."""
    try:
        image = nib.Nifti1Image.from_filename(path)
    except (OSError, EOFError, nib.filebasedimages.ImageFileError):
        return False
    return image.shape == grid.shape and np.allclose(image.affine, grid.affine_ras, atol=1e-4)


def _read_truth(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    table = pd.read_csv(path, dtype={"study_id": str})
    return dict(zip(table["study_id"], table["volume_ml"], strict=True))


def _write_truth(path: Path, truth_ml: dict[str, float]) -> None:
    table = pd.DataFrame(sorted(truth_ml.items()), columns=["study_id", "volume_ml"])
    write_atomically(path, table.to_csv(index=False, float_format="%.4f").encode())
