"""Labelled studies small enough to train on in a test, whose voxels tell which study and slice they are from."""

from pathlib import Path

import nibabel as nib
import numpy as np
from monai.transforms import Compose, LoadImaged

from sliceweave.pipelines.datasets import CheckLabeld
from sliceweave.pipelines.study_reader import StudyReader

SHAPE = (8, 9, 6)
AFFINE = np.diag([0.5, 0.6, 5, 1])
MARKED = (2, 3)  # slices


def read() -> LoadImaged:
    """Reads image and label."""
    return LoadImaged(["image", "label"], reader=StudyReader, ensure_channel_first=True)


def load() -> Compose:
    """Reads image and label and checks that they belong together."""
    return Compose([read(), CheckLabeld([0, 1])])


def write_studies(folder: Path, studies: int = 5, unlabelled: int = 0) -> list[dict[str, str]]:
    """images/ and labels/ of studies whose voxels hold 100·study + slice, marked in rows 2…4, columns 3…5."""
    label = np.zeros(SHAPE, np.uint8)
    label[2:5, 3:6, MARKED] = 1
    cases = []
    for study in range(studies + unlabelled):
        image = np.broadcast_to(100 * study + np.arange(SHAPE[2]), SHAPE).astype(np.int16)
        case = {"study_id": f"s{study}", "image": save(folder / f"images/s{study}.nii.gz", image)}
        if study < studies:
            case["label"] = save(folder / f"labels/s{study}.nii.gz", label)
        cases.append(case)
    return cases


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return str(path)
