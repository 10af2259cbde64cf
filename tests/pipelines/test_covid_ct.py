from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from miniature_covid import PAGES, CovidStudy, save, write_numbered, write_set_1, write_twenty
from numpy.typing import NDArray

from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack, SourceFiles
from sliceweave.pipelines.covid_ct import find_covid
from sliceweave.pipelines.eight_bit_ct import in_hu
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.nifti_files import NiftiFile
from sliceweave.pipelines.volume_stacks import open_volume


def find(folder: Path, options: PrepareOptions = PrepareOptions()) -> dict[str, Case]:  # noqa: B008 - frozen
    return {case.study_id: case for case in find_covid(SourceFiles(folder), options)}


def voxels(stack: SliceStack) -> NDArray[np.float64]:
    blocks = list(stack.blocks())
    assert {block.dtype for block in blocks} == {np.dtype(stack.dtype)}
    return np.concatenate(blocks, axis=2)


def reason(case: Case) -> str:
    with pytest.raises(InputError) as caught:
        voxels(case.image())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def check_study(case: Case, study: CovidStudy, flags: tuple[str, ...] = ()) -> None:
    assert case.label is not None
    image, label = case.image(), case.label()
    np.testing.assert_array_equal(voxels(image), study.image_hu)
    np.testing.assert_array_equal(voxels(label), study.label)
    for stack in (image, label):
        assert stack.geometry.shape == study.image_hu.shape
        np.testing.assert_allclose(stack.geometry.affine_ras, study.affine_ras, atol=1e-6)
    assert image.flags == (("eight_bit", *flags) if study.eight_bit else flags)
    assert image.warnings == ()
    assert case.patient == study.patient


def test_each_page_of_set_1_becomes_a_study_that_stays_in_training(tmp_path: Path) -> None:
    studies = write_set_1(tmp_path)
    found = find(tmp_path)
    assert list(found) == list(studies)
    for study_id, study in studies.items():
        check_study(found[study_id], study, ("unknown_patient",))
        assert found[study_id].image().geometry.shape[2] == 1
        assert (found[study_id].split, found[study_id].coding) == ("training", {0: 0, 1: 1, 2: 1, 3: 0})


def test_all_pages_together_cost_reading_the_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set_1(tmp_path)
    read: list[str] = []
    blocks = NiftiFile.blocks
    monkeypatch.setattr(NiftiFile, "blocks", lambda file: read.append(file.path.name) or blocks(file))

    def convert(case: Case) -> None:
        assert case.label is not None
        voxels(case.image())
        voxels(case.label())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(convert, find(tmp_path).values()))
    assert sorted(read) == ["tr_im.nii.gz", "tr_im.nii.gz", "tr_mask.nii.gz"]  # once for whether it is 8-bit


def test_numbered_volumes_are_paired_by_their_number(tmp_path: Path) -> None:
    studies = write_numbered(tmp_path)
    found = find(tmp_path)
    assert list(found) == list(studies)
    for study_id, study in studies.items():
        check_study(found[study_id], study)
        assert (found[study_id].split, found[study_id].coding) == ("", {0: 0, 1: 1, 2: 1, 3: 0})


@pytest.mark.parametrize("source", ["zenodo", "kaggle"])
def test_the_20_cases_are_paired_under_either_names(source: str, tmp_path: Path) -> None:
    studies = write_twenty(tmp_path, source)
    found = find(tmp_path)
    assert list(found) == list(studies)
    for study_id, study in studies.items():
        check_study(found[study_id], study)
        assert found[study_id].coding == {0: 0, 1: 1}


def test_two_series_of_one_radiopaedia_case_are_one_patients(tmp_path: Path) -> None:
    write_twenty(tmp_path)
    patients = [case.patient for study_id, case in find(tmp_path).items() if study_id.startswith("radiopaedia")]
    assert patients == ["radiopaedia_10", "radiopaedia_10"]


def test_all_sets_in_one_folder_are_claimed_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = {**write_set_1(tmp_path), **write_numbered(tmp_path), **write_twenty(tmp_path)}
    (tmp_path / "volume-0.nii").write_bytes(b"another's")
    files = SourceFiles(tmp_path)
    assert {case.study_id for case in find_covid(files, PrepareOptions())} == set(expected)
    assert [path.name for path in files] == ["volume-0.nii"]
    assert "may share Radiopaedia patients" in caplog.text


def grey(folder: Path, values: NDArray[np.float32]) -> SliceStack:
    save(folder / "grey.nii", values, np.diag([0.7, 0.8, 2.5, 1]))
    return open_volume(folder / "grey.nii")


def levels(lowest: int = 0, highest: int = 255) -> NDArray[np.float32]:
    return np.linspace(lowest, highest, 7 * 8 * 9).round().astype(np.float32).reshape(7, 8, 9)


def test_grey_levels_are_spread_over_the_window_that_the_user_gives(tmp_path: Path) -> None:
    stack = in_hu(grey(tmp_path, levels()), (-1000, 530))
    np.testing.assert_array_equal(voxels(stack), levels() * 6 - 1000)
    assert stack.flags == ("eight_bit",)


def test_no_two_grey_levels_become_one_in_a_narrow_window(tmp_path: Path) -> None:
    stack = in_hu(grey(tmp_path, levels()), (0, 51))
    np.testing.assert_allclose(voxels(stack), levels() / 5, atol=1e-5)
    assert len(np.unique(voxels(stack))) == 256


@pytest.mark.parametrize("values", [levels() - 1, levels() - 1024])
def test_anything_below_0_says_hu(values: NDArray[np.float32], tmp_path: Path) -> None:
    stack = in_hu(grey(tmp_path, values))
    np.testing.assert_array_equal(voxels(stack), values)
    assert (stack.flags, stack.warnings) == ((), ())


@pytest.mark.parametrize("values", [levels() / 255, levels() + 0.5, levels(0, 199), levels(0, 256), levels(0, 4095)])
def test_what_is_neither_grey_nor_hu_stays_as_it_is_with_a_warning(values: NDArray[np.float32], tmp_path: Path) -> None:
    stack = in_hu(grey(tmp_path, values))
    np.testing.assert_array_equal(voxels(stack), values)
    assert stack.flags == ()
    assert len(stack.warnings) == 1
    assert "taken as HU" in stack.warnings[0]


def test_the_window_of_the_options_reaches_the_volumes(tmp_path: Path) -> None:
    study = write_numbered(tmp_path)["covid_rp_2"]
    options = PrepareOptions(window_hu=(-1000.0, 2000.0))
    stretched = (study.image_hu + 1250.0) * 2 - 1000
    assert np.abs(voxels(find(tmp_path, options)["covid_rp_2"].image()) - stretched).max() <= 1.5  # both are rounded


@pytest.mark.parametrize(
    ("missing", "study_id", "expected"),
    [
        ("rp_msk/1.nii.gz", "covid_rp_1", "expected the label of rp_im/1.nii.gz"),
        ("rp_im/1.nii.gz", "covid_rp_1", "expected the image of rp_msk/1.nii.gz"),
        ("Infection_Mask/coronacases_001.nii.gz", "coronacases_001", "expected the label of COVID-19-CT-Seg_20cases"),
        ("COVID-19-CT-Seg_20cases/coronacases_001.nii.gz", "coronacases_001", "expected the image of Infection_Mask"),
        ("tr_mask.nii.gz", "covid_set1", "expected the label of"),
        ("tr_im.nii.gz", "covid_set1", "expected the image of"),
    ],
)
def test_a_missing_counterpart_is_told_in_one_line(missing: str, study_id: str, expected: str, tmp_path: Path) -> None:
    write_set_1(tmp_path)
    write_numbered(tmp_path)
    write_twenty(tmp_path)
    (tmp_path / missing).unlink()
    found = find(tmp_path)
    assert expected in reason(found.pop(study_id))
    for case in found.values():
        assert voxels(case.image()).size


def test_a_case_under_both_of_its_names_is_told_in_one_line(tmp_path: Path) -> None:
    study = write_twenty(tmp_path)["coronacases_001"]
    save(tmp_path / "ct_scans" / "coronacases_org_001.nii", study.image_hu, study.affine_ras)
    assert "expected one image, found" in reason(find(tmp_path)["coronacases_001"])


def test_a_label_on_another_grid_keeps_its_grid_for_the_comparison(tmp_path: Path) -> None:
    study = write_numbered(tmp_path)["covid_rp_1"]
    save(tmp_path / "rp_msk" / "1.nii.gz", study.label[:-1], study.affine_ras)
    case = find(tmp_path)["covid_rp_1"]
    assert case.label is not None
    assert case.label().geometry.shape == (study.label.shape[0] - 1, *study.label.shape[1:])


def test_set_1_with_unequal_pages_is_told_once(tmp_path: Path) -> None:
    write_set_1(tmp_path)
    save(tmp_path / "tr_mask.nii.gz", np.zeros((23, 31, PAGES - 1), np.uint8), np.eye(4))
    (case,) = find(tmp_path).values()
    assert "expected the same pages in tr_im.nii.gz and tr_mask.nii.gz, got 23x31x5 and 23x31x4" in reason(case)


def test_a_damaged_header_of_set_1_is_told_once(tmp_path: Path) -> None:
    write_set_1(tmp_path)
    (tmp_path / "tr_im.nii.gz").write_bytes(b"not a volume")
    (case,) = find(tmp_path).values()
    assert "tr_im.nii.gz: expected a NIfTI file" in reason(case)


@pytest.mark.parametrize("name", ["tr_im.nii.gz", "rp_im/1.nii.gz", "Infection_Mask/coronacases_001.nii.gz"])
def test_a_truncated_file_is_named(name: str, tmp_path: Path) -> None:
    write_set_1(tmp_path)
    write_numbered(tmp_path)
    write_twenty(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-500])
    found = find(tmp_path)
    if name.startswith("Infection"):
        label = found["coronacases_001"].label
        assert label is not None
        with pytest.raises(InputError, match=f"{name}: expected a whole file"):
            voxels(label())
        return
    study_ids = [f"covid_set1_{n:03d}" for n in range(PAGES)] if name.startswith("tr") else ["covid_rp_1"]
    for study_id in study_ids:
        assert f"{Path(name).name}: expected a whole file" in reason(found[study_id])


def test_a_file_is_told_as_8_bit_only_after_its_last_slice(tmp_path: Path) -> None:
    values = levels()
    values[-1, -1, -1] = -1
    assert in_hu(grey(tmp_path, values)).flags == ()
