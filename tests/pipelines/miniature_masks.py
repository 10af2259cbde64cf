"""Tiny label maps on awkward grids, as NIfTI, NRRD and MetaImage, and their volumes counted in plain numpy."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from miniature_volumes import write_itk
from numpy.typing import NDArray

SHAPE = (23, 19, 11)


def oblique_affine(spacing_mm: tuple[float, float, float] = (0.7, 0.9, 2.5)) -> NDArray[np.float64]:
    """Three unequal steps, turned about two axes."""
    a, b = np.radians(25), np.radians(-12)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x * spacing_mm
    affine[:3, 3] = (-31, 12, 55)
    return affine


def blocks(values: tuple[int, ...], shape: tuple[int, int, int] = SHAPE, seed: int = 0) -> NDArray[np.uint16]:
    """A label map with a ragged block of each value."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    for value in values:
        low = [rng.integers(0, size - 4) for size in shape]
        box = tuple(slice(start, start + 4) for start in low)
        labels[box] = np.where(rng.random((4, 4, 4)) < 0.7, value, labels[box])
    return labels


def counted_ml(labels: NDArray, affine_ras: NDArray[np.float64]) -> dict[int, float]:
    """Volume of each value: voxels times the parallelepiped that the affine's columns span."""
    steps = affine_ras[:3, :3]
    voxel_mm3 = abs(np.dot(np.cross(steps[:, 0], steps[:, 1]), steps[:, 2]))
    return {int(value): float((labels == value).sum() * voxel_mm3 / 1000) for value in np.unique(labels) if value}


def write_map(path: Path, labels: NDArray, affine_ras: NDArray[np.float64]) -> Path:
    """Writes it in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(labels, affine_ras), path)
    else:
        write_itk(path, labels, affine_ras)
    return path


def uneven_origins(affine_ras: NDArray[np.float64], slices: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Origins with gaps that grow along the stack, and the affine with their least-squares step."""
    gaps = np.linspace(0.5, 1.5, slices - 1)
    places = np.append(0, np.cumsum(gaps))
    origins = affine_ras[:3, 3] + places[:, None] * affine_ras[:3, 2]
    slope, intercept = np.polyfit(np.arange(slices), places, 1)
    fitted = affine_ras.copy()
    fitted[:3, 3] += intercept * affine_ras[:3, 2]
    fitted[:3, 2] *= slope
    return origins, fitted


def write_sidecar(folder: Path, study_id: str, origins: NDArray[np.float64]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"slice_origins_ras_mm": origins.tolist()}
    (folder / f"{study_id}.geometry.json").write_text(json.dumps(content))
