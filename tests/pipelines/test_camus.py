import shutil
from pathlib import Path

import numpy as np
import pytest
from miniature_echo import EchoStudy, write_camus, write_frame
from numpy.typing import NDArray

from sliceweave.pipelines.camus import find_camus
from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack, SourceFiles
from sliceweave.pipelines.errors import InputError

SUFFIXES = (".mhd", ".zraw", ".nii.gz")
FIRST = "database_nifti/patient0001/patient0001_2CH_ED"


def find(folder: Path) -> dict[str, Case]:
    return {case.study_id: case for case in find_camus(SourceFiles(folder), PrepareOptions())}


def voxels(stack: SliceStack) -> NDArray[np.uint8]:
    return np.concatenate(list(stack.blocks()), axis=2)


def reason(case: Case) -> str:
    with pytest.raises(InputError) as caught:
        voxels(case.image())
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_cavities_and_pixel_sizes_come_out_as_they_are(suffix: str, tmp_path: Path) -> None:
    studies = write_camus(tmp_path, suffix)
    found = find(tmp_path)
    assert list(found) == sorted(studies)
    for study_id, study in studies.items():
        check_study(found[study_id], study)


def check_study(case: Case, study: EchoStudy) -> None:
    assert case.label is not None
    assert case.coding is not None
    image, label = case.image(), case.label()
    np.testing.assert_array_equal(voxels(image), study.image)
    structures = voxels(label)
    assert set(np.unique(structures)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(np.vectorize(case.coding.get)(structures), study.cavity)
    for stack in (image, label):
        np.testing.assert_allclose(stack.geometry.affine_ras, np.diag([-0.308, -0.154, 1, 1]), atol=1e-7)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_patient_and_split_are_those_of_the_lists(suffix: str, tmp_path: Path) -> None:
    studies = write_camus(tmp_path, suffix)
    assert {study_id: (case.patient, case.split) for study_id, case in find(tmp_path).items()} == {
        study_id: (study.patient, study.split) for study_id, study in studies.items()
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_sequences_settings_and_raw_files_are_claimed_with_the_frames(suffix: str, tmp_path: Path) -> None:
    write_camus(tmp_path, suffix)
    (tmp_path / "notes.txt").write_text("mine")
    files = SourceFiles(tmp_path)
    find_camus(files, PrepareOptions())
    assert [path.name for path in files] == ["notes.txt"]


def test_without_lists_no_split_is_prescribed(tmp_path: Path) -> None:
    write_camus(tmp_path, ".mhd")
    shutil.rmtree(tmp_path / "database_split")
    assert {case.split for case in find(tmp_path).values()} == {""}


def test_images_of_the_hidden_test_set_are_left_out_although_their_patients_are_named_alike(tmp_path: Path) -> None:
    studies = write_camus(tmp_path / "training", ".mhd")
    hidden = tmp_path / "testing" / "patient0001"
    hidden.mkdir(parents=True)
    write_frame(hidden / "patient0001_2CH_ED.mhd", np.ones((9, 8, 1), np.uint8), (0.3, 0.2))
    found = find(tmp_path)
    assert list(found) == sorted(studies)
    check_study(found["patient0001_2CH_ED"], studies["patient0001_2CH_ED"])


def test_a_patient_in_two_splits_loses_its_studies_alone(tmp_path: Path) -> None:
    write_camus(tmp_path, ".nii.gz")
    with (tmp_path / "database_split" / "subgroup_testing.txt").open("a") as file:
        file.write("patient0001\n")
    for study_id, case in find(tmp_path).items():
        if study_id.startswith("patient0001"):
            assert "in two splits (test and training)" in reason(case)
        else:
            assert voxels(case.image()).size


def test_a_list_that_is_no_text_ends_the_run_before_a_test_patient_is_trained_on(tmp_path: Path) -> None:
    write_camus(tmp_path, ".mhd")
    (tmp_path / "database_split" / "subgroup_testing.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match=r"subgroup_testing.txt: expected a list of patients"):
        find(tmp_path)


@pytest.mark.parametrize("suffix", [".mhd", ".nii.gz"])
@pytest.mark.parametrize(("missing", "expected"), [("_gt", "expected the label of"), ("", "expected the image of")])
def test_a_missing_counterpart_is_told_in_one_line(suffix: str, missing: str, expected: str, tmp_path: Path) -> None:
    studies = write_camus(tmp_path, suffix)
    (tmp_path / f"{FIRST}{missing}{suffix}").unlink()
    found = find(tmp_path)
    assert expected in reason(found["patient0001_2CH_ED"])
    assert found["patient0001_2CH_ED"].patient == "patient0001"
    assert len(found) == len(studies)


def test_one_frame_in_two_formats_is_told_in_one_line(tmp_path: Path) -> None:
    studies = write_camus(tmp_path, ".mhd")
    write_frame(tmp_path / f"{FIRST}.nii.gz", studies["patient0001_2CH_ED"].image, (0.308, 0.154))
    assert "expected one image, found" in reason(find(tmp_path)["patient0001_2CH_ED"])


def test_a_file_of_several_frames_is_told_in_one_line(tmp_path: Path) -> None:
    write_camus(tmp_path, ".nii.gz")
    write_frame(tmp_path / f"{FIRST}.nii.gz", np.ones((23, 37, 4), np.uint8), (0.308, 0.154))
    assert "expected one frame, got 4" in reason(find(tmp_path)["patient0001_2CH_ED"])


@pytest.mark.parametrize("data", [f"{FIRST}.raw", f"{FIRST}.mhd"])
def test_a_truncated_or_missing_file_is_named(data: str, tmp_path: Path) -> None:
    write_camus(tmp_path, ".mhd")
    (tmp_path / data).write_bytes((tmp_path / data).read_bytes()[:100])
    assert "patient0001/patient0001_2CH_ED.mhd: expected" in reason(find(tmp_path)["patient0001_2CH_ED"])
