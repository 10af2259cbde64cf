"""Labelled studies of each task that a narrow network learns within seconds: a body, and in it what is to be found."""

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.spatial.transform import Rotation

SHAPE = (40, 36, 7)
SPACING_MM = (4.1, 4.4, 6.0)
BODY_MM = (74, 70, 60)  # half axes
LESION_MM = (26, 24, 13)

# of air, body and each label: HU, or what the scanner gives
VALUES = {
    "hematoma": (-1000, 30, 75),
    "lung_infection": (-1000, -850, -150),
    "liver_tumor": (-1000, 110, 30),
    "knee_cartilage": (0, 60, 150, 220),
    "echo_left_ventricle": (0, 180, 40),
}
SLICES_TO = {"knee_cartilage": "PIR"}  # sagittal; the others are axial, LPS on disk as scanners write them


def write_cohort(task: str, folder: Path, studies: int = 5) -> Path:
    """Folder with images/ and labels/; every second study is oblique to the patient's axes."""
    for number in range(studies):
        rng = np.random.default_rng(number)
        affine_ras = affine_of(task, oblique=number % 2 == 1)
        image, label = study(VALUES[task], rng)
        dtype = np.uint8 if task == "echo_left_ventricle" else np.int16
        for kind, voxels in (("images", image.astype(dtype)), ("labels", label)):
            nifti = nib.Nifti1Image(voxels, affine_ras)
            nifti.header.set_xyzt_units("mm")
            (folder / kind).mkdir(parents=True, exist_ok=True)
            nib.save(nifti, folder / kind / f"{task}-{number}.nii.gz")
    return folder


def affine_of(task: str, oblique: bool) -> np.ndarray:
    axes = SLICES_TO.get(task, "LPS")
    columns = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}
    turn = Rotation.from_euler("xyz", [6, -4, 8] if oblique else [0, 0, 0], degrees=True).as_matrix()
    affine_ras = np.eye(4)
    affine_ras[:3, :3] = turn @ np.array([columns[letter] for letter in axes]).T * SPACING_MM
    affine_ras[:3, 3] = 31.0, -17.5, 8.25
    return affine_ras


def study(values: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Image and label of one patient."""
    axes = ((np.arange(count) - (count - 1) / 2) * step for count, step in zip(SHAPE, SPACING_MM, strict=True))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    label = np.zeros(SHAPE, np.uint8)
    for value in range(1, len(values) - 1):
        side = -1 if value % 2 else 1  # the structures of one patient lie apart
        centre = np.array([side * 30, 0, 0]) + rng.uniform(-6, 6, 3)
        label[ellipsoid(points - centre, LESION_MM)] = value
    image = np.where(ellipsoid(points, BODY_MM), values[1], values[0]).astype(float)
    for value, brightness in enumerate(values[2:], 1):
        image[label == value] = brightness
    return np.clip(image + rng.normal(0, 4, SHAPE), min(values[0], values[-1]), None), label


def ellipsoid(points: np.ndarray, half_axes_mm: tuple[float, ...]) -> np.ndarray:
    return (np.square(points / np.array(half_axes_mm)).sum(-1)) < 1
