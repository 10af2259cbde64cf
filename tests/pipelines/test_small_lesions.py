"""Small lesions dropped from masks."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.ndimage import label

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.small_lesions import DropSmallLesionsd, without_small_lesions

AFFINE = np.array([[0.5, 0, 0, 0], [0, 0.6, 1.5, 0], [0, 0, 4.0, 0], [0, 0, 0, 1]])  # sheared: a voxel is 1.2 mm³
SHAPE = (40, 36, 8)
VOXEL_ML = 0.0012


def geometry() -> Geometry:
    return Geometry(AFFINE, SHAPE)


def speckled(share: float) -> np.ndarray:
    return (np.random.default_rng(3).random(SHAPE) < share).astype(np.uint8)


@pytest.mark.parametrize("share", [0.02, 0.06, 0.1])
def test_what_is_kept_are_the_components_that_scipy_counts_as_large_enough(share: float) -> None:
    mask, least = speckled(share), 3
    components, count = label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    expected = np.isin(components, [n for n in range(1, count + 1) if sizes[n] >= least])
    kept = without_small_lesions(mask, geometry(), (least - 0.5) * VOXEL_ML)
    assert 0 < expected.sum() < mask.sum()
    np.testing.assert_array_equal(kept, expected)


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[3, 3, 3] = mask[4, 4, 4] = 1
    np.testing.assert_array_equal(without_small_lesions(mask, geometry(), 1.9 * VOXEL_ML), mask)
    assert not without_small_lesions(mask, geometry(), 2.1 * VOXEL_ML).any()


def test_an_empty_mask_stays_empty_and_the_input_is_not_changed() -> None:
    assert not without_small_lesions(np.zeros(SHAPE, np.uint8), geometry(), 1.0).any()
    mask = speckled(0.05)
    before = mask.copy()
    without_small_lesions(mask, geometry(), 1.0)
    np.testing.assert_array_equal(mask, before)


def uneven_study(folder: Path) -> MetaTensor:
    """A mask of two lesions of two voxels each, one where slices are 2 mm apart and one where they are 6 mm."""
    heights_mm = np.array([0.0, 2, 4, 6, 12, 18, 24])
    step_mm, first_mm = np.polyfit(np.arange(7), heights_mm, 1)
    affine = np.diag([1.0, 1.0, step_mm, 1.0])
    affine[2, 3] = first_mm
    nib.Nifti1Image(np.zeros((9, 8, 7), np.int16), affine).to_filename(folder / "scan.nii")
    sidecar = {"slice_origins_ras_mm": [[0, 0, float(height)] for height in heights_mm]}
    (folder / "scan.geometry.json").write_text(json.dumps(sidecar))
    mask = torch.zeros(1, 9, 8, 7)
    mask[0, 2:4, 2, 1] = 1
    mask[0, 6:8, 6, 5] = 1
    return MetaTensor(mask, affine=torch.tensor(affine), meta={"filename_or_obj": str(folder / "scan.nii")})


def test_uneven_slices_count_with_their_own_thickness(tmp_path: Path) -> None:
    mask = uneven_study(tmp_path)  # 2 · 2 mm³ and 2 · 6 mm³; by the affine both would be 2 · 4 mm³
    kept = DropSmallLesionsd("pred", 0.006)({"pred": mask, "study_id": "scan"})["pred"]
    assert kept[0, 6:8, 6, 5].sum() == kept.sum() == 2
    assert DropSmallLesionsd("pred", 0.0039)({"pred": mask})["pred"].sum() == 4
    assert DropSmallLesionsd("pred", 0.0121)({"pred": mask})["pred"].sum() == 0


def test_without_a_file_on_the_masks_grid_its_affine_tells_the_volume(tmp_path: Path) -> None:
    mask = uneven_study(tmp_path)
    mask.meta["filename_or_obj"] = str(tmp_path / "gone.nii")
    voxel_ml = float(mask.affine[2, 2]) / 1000
    assert DropSmallLesionsd("pred", 1.99 * voxel_ml)({"pred": mask})["pred"].sum() == 4
    assert DropSmallLesionsd("pred", 2.01 * voxel_ml)({"pred": mask})["pred"].sum() == 0


def test_the_probability_and_the_mask_that_came_in_are_left_alone(tmp_path: Path) -> None:
    mask = uneven_study(tmp_path)
    probability, before = mask.clone(), mask.clone()
    case = DropSmallLesionsd("pred", 1.0)({"pred": mask, "probability": probability})
    assert case["pred"].sum() == 0
    assert isinstance(case["pred"], MetaTensor)
    assert case["pred"].dtype == mask.dtype
    torch.testing.assert_close(case["probability"], before)
    torch.testing.assert_close(mask, before)


def test_nothing_is_dropped_by_default(tmp_path: Path) -> None:
    mask = uneven_study(tmp_path)
    assert DropSmallLesionsd("pred")({"pred": mask})["pred"] is mask


@pytest.mark.parametrize("typed", [-1, "x", None, True, float("nan"), float("inf")])
def test_what_is_no_volume_is_one_clear_line(typed: object) -> None:
    with pytest.raises(InputError, match="--min_lesion_ml is a number from 0, got"):
        DropSmallLesionsd("pred", typed)  # type: ignore[arg-type]
