"""Tiny copies of the COVID-19 CT sets as they are distributed, and what they truly hold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

PAGES = 5
SHAPE = (21, 26, 9)
PAGE_AFFINE = np.diag([0.9, 1.1, 1.0, 1.0])
VOLUME_AFFINE = np.array([[-0.7, 0, 0, 31], [0, -0.8, 0, 17], [0, 0, 2.5, -90], [0, 0, 0, 1.0]])


@dataclass(frozen=True)
class CovidStudy:
    """Image in HU, label as stored, affine and patient of a study; whether its file holds 8-bit grey."""

    image_hu: NDArray[Any]
    label: NDArray[np.uint8]
    affine_ras: NDArray[np.float64]
    patient: str
    eight_bit: bool = False


def write_set_1(folder: Path) -> dict[str, CovidStudy]:
    """Set 1: pages of one file, their labels, lung masks and the pages of the test set that has no labels."""
    folder.mkdir(parents=True, exist_ok=True)
    image, label = _hu(1, (23, 31, PAGES)), _label(1, (23, 31, PAGES), 4)
    save(folder / "tr_im.nii.gz", image.astype(np.float32), PAGE_AFFINE)
    save(folder / "tr_mask.nii.gz", label.astype(np.float32), PAGE_AFFINE)
    save(folder / "val_im.nii.gz", _hu(2, (23, 31, 2)), PAGE_AFFINE)
    save(folder / "tr_lungmasks_updated.nii.gz", (label > 0).astype(np.uint8), PAGE_AFFINE)
    (folder / "._tr_im.nii.gz").write_bytes(b"\0\5\x16\7")
    return {
        f"covid_set1_{n:03d}": CovidStudy(image[..., n : n + 1], label[..., n : n + 1], PAGE_AFFINE, "covid_set1")
        for n in range(PAGES)
    }


def write_numbered(folder: Path) -> dict[str, CovidStudy]:
    """Set 2: numbered volumes in three folders, the second one of 8-bit grey."""
    studies = {}
    for number in (1, 2):
        study = _study(number, f"covid_rp_{number}", 4, eight_bit=number == 2)
        _write(study, folder / "rp_im" / f"{number}.nii.gz", folder / "rp_msk" / f"{number}.nii.gz")
        save(folder / "rp_lung_msk" / f"{number}.nii.gz", study.label, VOLUME_AFFINE)
        studies[f"covid_rp_{number}"] = study
    (folder / "rp_im" / "._1.nii.gz").write_bytes(b"\0\5\x16\7")
    return studies


def write_twenty(folder: Path, source: str = "zenodo") -> dict[str, CovidStudy]:
    """Some of the 20 cases under the names of `zenodo` or `kaggle`; two series are of one Radiopaedia case."""
    zenodo = source == "zenodo"
    names = {
        "coronacases_001": "coronacases_org_001",
        "coronacases_010": "coronacases_org_case010",
        "radiopaedia_10_85902_1": "radiopaedia_org_covid-19-pneumonia-10_85902_1-dcm",
        "radiopaedia_10_85902_3": "radiopaedia_org_covid-19-pneumonia-10_85902_3-dcm",
    }
    suffix = ".nii.gz" if zenodo else ".nii"
    images = folder / ("COVID-19-CT-Seg_20cases" if zenodo else "ct_scans")
    infection, lung, both = ("infection_mask", "lung_mask", "lung_and_infection_mask")
    if zenodo:
        infection, lung, both = ("Infection_Mask", "Lung_Mask", "Lung_and_Infection_Mask")
    studies = {}
    for seed, (study_id, other_name) in enumerate(names.items(), start=5):
        is_grey = study_id.startswith("radiopaedia")
        study = _study(seed, "radiopaedia_10" if is_grey else study_id, 2, eight_bit=is_grey)
        image = images / f"{study_id if zenodo else other_name}{suffix}"
        _write(study, image, folder / infection / f"{study_id}{suffix}")
        for other in (lung, both):
            save(folder / other / f"{study_id}{suffix}", study.label, VOLUME_AFFINE)
        studies[study_id] = study
    return studies


def save(path: Path, voxels: NDArray[Any], affine_ras: NDArray[np.float64]) -> None:
    """A NIfTI file, its folder made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine_ras), path)


def _write(study: CovidStudy, image: Path, label: Path) -> None:
    stored = np.rint((study.image_hu + 1250.0) * 255 / 1500) if study.eight_bit else study.image_hu
    save(image, stored.astype(np.float32 if study.eight_bit else np.int16), study.affine_ras)
    save(label, study.label, study.affine_ras)


def _study(seed: int, patient: str, values: int, eight_bit: bool) -> CovidStudy:
    shape = (SHAPE[0] + seed, SHAPE[1], SHAPE[2])
    image_hu = _hu(seed, shape)
    if eight_bit:
        levels = np.random.default_rng(seed).integers(0, 256, shape)
        image_hu = np.rint(levels / 255 * 1500 - 1250).astype(np.int16)
    return CovidStudy(image_hu, _label(seed, shape, values), VOLUME_AFFINE, patient, eight_bit)


def _hu(seed: int, shape: tuple[int, ...]) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-1024, 400, shape).astype(np.int16)


def _label(seed: int, shape: tuple[int, ...], values: int) -> NDArray[np.uint8]:
    return np.random.default_rng([seed, 1]).integers(0, values, shape).astype(np.uint8)
