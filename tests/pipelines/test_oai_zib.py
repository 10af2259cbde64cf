"""OAI-ZIB: knees and the masks without position that belong to them."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from miniature_dicom import SAGITTAL, datasets, miniature
from miniature_dicom import save as save_slices
from miniature_volumes import SAGITTAL_AFFINE, numbers, write_itk, write_oai_zib

from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack, SourceFiles, whole_block
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.oai_zib import find_oai_zib, lie_on


def find(folder: Path) -> dict[str, Case]:
    return {case.study_id: case for case in find_oai_zib(SourceFiles(folder), PrepareOptions())}


def reason(case: Case) -> str:
    with pytest.raises(InputError) as caught:
        (case.label if case.label else case.image)()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def stack(voxels: np.ndarray, affine: np.ndarray) -> SliceStack:
    return SliceStack(Geometry(affine, voxels.shape), voxels.dtype, whole_block(voxels))


def test_a_mask_without_position_is_turned_to_the_axes_of_its_image(tmp_path: Path) -> None:
    truths = write_oai_zib(tmp_path)
    for patient, case in find(tmp_path).items():
        label = case.label()
        assert label.flags[-1] == "label_without_position"
        (voxels,) = label.blocks()
        recoded = np.array([0, 0, 1, 0, 2])[voxels]
        np.testing.assert_array_equal(recoded, truths[patient].label)
        np.testing.assert_allclose(label.geometry.affine_ras, truths[patient].affine_ras, atol=1e-4)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR", "ASL", "SRA", "IPL"])
def test_a_voxel_in_front_above_and_to_the_left_stays_there(axes: str) -> None:
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 5, (7, 6, 5)).astype(np.uint8)  # left, posterior, superior
    positionless = stack(mask, np.diag([-0.7, -0.5, 0.4, 1]))
    turning = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("LPS"), nib.orientations.axcodes2ornt(axes))
    affine = np.diag([-0.7, -0.5, 0.4, 1]) @ nib.orientations.inv_ornt_aff(turning, mask.shape)
    affine[:3, 3] += [60, -20, 33]
    expected = nib.orientations.apply_orientation(mask, turning)
    (made,) = lie_on(positionless, Geometry(affine, expected.shape)).blocks()
    np.testing.assert_array_equal(made, expected)


def test_a_label_with_a_position_of_its_own_is_left_as_it_is() -> None:
    image, label = numbers(0, 5)
    own = stack(label, SAGITTAL_AFFINE)
    assert lie_on(own, stack(image, SAGITTAL_AFFINE).geometry) is own
    elsewhere = stack(label, SAGITTAL_AFFINE + np.array([[0, 0, 0, 9]] + [[0] * 4] * 3))
    assert lie_on(elsewhere, stack(image, SAGITTAL_AFFINE).geometry) is elsewhere  # refused when it is converted


@pytest.mark.parametrize(
    ("shape", "steps", "what"),
    [
        ((9, 6, 5), (0.7, 0.5, 0.4), "expected the image's 7 x 6 x 5 voxels of 0.7 x 0.5 x 0.4 mm, got 9 x 6 x 5"),
        ((7, 6, 5), (0.7, 0.52, 0.4), "got 7 x 6 x 5 of 0.7 x 0.52 x 0.4 mm; is it another image's label"),
    ],
)
def test_a_mask_that_cannot_be_its_images_is_refused(shape: tuple[int, ...], steps: tuple, what: str) -> None:
    mask = stack(np.zeros(shape, np.uint8), np.diag([-steps[0], -steps[1], steps[2], 1]))
    affine = np.diag([-0.7, -0.5, 0.4, 1])
    affine[:3, 3] = 5
    with pytest.raises(InputError, match=what):
        lie_on(mask, Geometry(affine, (7, 6, 5)))


def test_an_image_too_oblique_to_name_its_axes_is_refused() -> None:
    angle = np.radians(40)
    affine = np.diag([-0.7, -0.7, 0.7, 1])
    affine[:2, :2] = -0.7 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    with pytest.raises(InputError, match="too oblique"):
        lie_on(stack(np.zeros((4, 4, 4), np.uint8), np.diag([-0.7, -0.7, 0.7, 1])), Geometry(affine, (4, 4, 4)))


def test_a_mask_without_image_and_an_image_without_mask(tmp_path: Path) -> None:
    write_oai_zib(tmp_path)
    (tmp_path / "images" / "9001104.mhd").rename(tmp_path / "images" / "9001105.mhd")
    cases = find(tmp_path)
    assert "expected the image 9001104.nii.gz, 9001104.mhd or DICOM below 9001104/, got none" in reason(
        cases["9001104"]
    )
    assert cases["9001105"].label is None


def test_of_several_series_the_data_sets_list_names_the_right_one(tmp_path: Path) -> None:
    write_oai_zib(tmp_path)
    localizer = miniature((3.0,) * 2, directions=SAGITTAL, modality="MR", seed=9)
    save_slices(datasets(localizer, patient_id="9000099"), tmp_path / "00m/0.C.2/9000099/20050819/10583701")
    assert find(tmp_path)["9000099"].image().geometry.shape[2] == 5
    shutil.rmtree(tmp_path / "segmentation" / "doc")
    assert "expected one image, got" in reason(find(tmp_path)["9000099"])


def test_without_masks_nothing_is_claimed(tmp_path: Path) -> None:
    image, _ = numbers(0, 2)
    write_itk(tmp_path / "9000099.mhd", image, SAGITTAL_AFFINE)
    assert find(tmp_path) == {}
