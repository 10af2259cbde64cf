import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from miniature_dicom import BIRTH_DATE, PATIENT_NAME, datasets, miniature, save

from sliceweave.pipelines.cases import PrepareOptions, SourceFiles
from sliceweave.pipelines.dicom_series import NEEDS_PYDICOM, find_dicom, slices_of
from sliceweave.pipelines.errors import InputError


def found(root, series=""):
    return find_dicom(SourceFiles(root), PrepareOptions(series=series))


def reason(case):
    with pytest.raises(InputError) as caught:
        case.image()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def voxels_of(case):
    return np.concatenate(list(case.image().blocks()), axis=2)


def two_series(folder, **changes):
    """Series 2, thick, and series 3, thin, in one folder."""
    thick, thin = miniature([5.0] * 3), miniature([1.0] * 5, seed=1)
    first, second = datasets(thick, 2, "HEAD 5mm", **changes), datasets(thin, 3, "Bone thin", **changes)
    for dataset in second:
        dataset.SliceThickness = 1.0
    slices = first + second
    save(slices, folder, [f"IM{index:04d}" for index in range(len(slices))])
    return thick, thin, second[0].SeriesInstanceUID


def test_a_folder_is_a_study_named_by_its_path(tmp_path):
    series = {name: miniature(seed=seed) for seed, name in enumerate(("p1/head", "p2", "p3/a/b"))}
    for name, one in series.items():
        save(datasets(one), tmp_path / name)
    cases = found(tmp_path)
    assert [case.study_id for case in cases] == ["p1_head", "p2", "p3_a_b"]
    for case, one in zip(cases, series.values(), strict=True):
        np.testing.assert_array_equal(voxels_of(case), one.voxels)


def test_files_in_the_root_take_its_name_and_a_lone_file_its_folders(tmp_path):
    save(datasets(miniature()), tmp_path / "root")
    save(datasets(miniature([])), tmp_path / "root" / "chest", ["slice 1.dcm"])
    assert [case.study_id for case in found(tmp_path / "root")] == ["root", "chest"]


def test_a_lone_file_takes_its_folders(tmp_path):
    for name in ("p1/ct", "p2/ct"):
        save(datasets(miniature([])), tmp_path / name, ["IM0001"])
    assert [case.study_id for case in found(tmp_path)] == ["p1_ct", "p2_ct"]


def test_folders_whose_joined_paths_are_one_name_stay_two_studies(tmp_path):
    for name in ("a/b_c", "a_b/c"):
        save(datasets(miniature()), tmp_path / name)
    assert [case.study_id for case in found(tmp_path)] == ["a_b_c", "a_b_c_2"]


def test_files_are_known_by_their_content_and_claimed(tmp_path):
    save(datasets(miniature()), tmp_path / "study", ["1", "x.IMA", "1.2.840.113", "z.dat"])
    (tmp_path / "study" / "notes.txt").write_text("not DICOM")
    (tmp_path / "study" / "README").write_text("")
    files = SourceFiles(tmp_path)
    (case,) = find_dicom(files, PrepareOptions())
    assert voxels_of(case).shape == (11, 13, 4)
    assert [path.name for path in files] == ["README", "notes.txt"]


def test_a_folder_without_dicom_gives_no_case(tmp_path):
    (tmp_path / "scan.nii.gz").write_bytes(b"x" * 200)
    assert found(tmp_path) == []


def test_directories_and_reports_are_passed_over(tmp_path, caplog):
    save(datasets(miniature()), tmp_path)
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (report,) = datasets(miniature([]))
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    save([report], tmp_path, ["report.dcm"])
    with caplog.at_level(logging.INFO):
        (case,) = found(tmp_path)
    assert voxels_of(case).shape[2] == 4
    assert "skipped 2 DICOM objects that are no images" in caplog.text


def test_several_series_are_listed_and_have_to_be_chosen(tmp_path, caplog):
    two_series(tmp_path / "p1")
    (case,) = found(tmp_path)
    assert "p1 holds several series: number 2: 'HEAD 5mm', UID" in caplog.text  # on the screen, in no file
    assert case.study_id == "p1"
    assert reason(case) == (
        "expected one series in the folder, got 2: number 2 (4 slices of 11x13, 5 mm); "
        "number 3 (6 slices of 11x13, 1 mm); "
        "pass --series with a number, a part of a description, an UID, or all"
    )


@pytest.mark.parametrize("choice", ["3", "bone", "thin", "BONE THIN", "the UID"])
def test_a_series_is_chosen_by_number_description_or_uid(choice, tmp_path):
    _, thin, uid = two_series(tmp_path / "p1")
    (case,) = found(tmp_path, uid if choice == "the UID" else choice)
    assert case.study_id == "p1"
    np.testing.assert_array_equal(voxels_of(case), thin.voxels)


@pytest.mark.parametrize(
    ("choice", "got"), [("lung", "none that 'lung' fits"), ("9", "none"), ("e", "2 that 'e' fits")]
)
def test_a_choice_of_none_or_several_lists_the_series(choice, got, tmp_path):
    two_series(tmp_path)
    (case,) = found(tmp_path, choice)
    assert reason(case).startswith(f"expected one series in the folder, got {got}")
    assert "of 2: number 2 (4 slices" in reason(case)


def test_series_of_one_number_are_told_apart_by_their_uids(tmp_path, caplog):
    slices = [*datasets(miniature(), 4), *datasets(miniature(seed=1), 4)]
    save(slices, tmp_path)
    (case,) = found(tmp_path, "4")
    assert all(dataset.SeriesInstanceUID in caplog.text for dataset in slices)
    assert not any(dataset.SeriesInstanceUID in reason(case) for dataset in slices)


def test_all_series_become_studies_of_one_patient(tmp_path):
    thick, thin, _ = two_series(tmp_path / "p1")
    first, second = found(tmp_path, "all")
    assert [first.study_id, second.study_id] == ["p1_s2", "p1_s3"]
    assert first.patient == second.patient
    np.testing.assert_array_equal(voxels_of(first), thick.voxels)
    np.testing.assert_array_equal(voxels_of(second), thin.voxels)


def test_all_series_of_one_number_get_names_of_their_own(tmp_path):
    save([*datasets(miniature(), 4), *datasets(miniature(seed=1), 4)], tmp_path / "p1")
    assert [case.study_id for case in found(tmp_path, "all")] == ["p1_s4", "p1_s4_2"]


def test_the_slices_of_a_study_are_found_by_the_name_it_was_given(tmp_path):
    first, second = datasets(miniature(), 4), datasets(miniature(seed=1), 4)
    save([*first, *second], tmp_path / "p1")
    files = SourceFiles(tmp_path)
    found_uids = {
        name: {header.series_uid for header in slices_of(name, (tmp_path / "p1").iterdir(), files, "all")}
        for name in ("p1_s4", "p1_s4_2")
    }
    wanted = {first[0].SeriesInstanceUID, second[0].SeriesInstanceUID}
    assert set.union(*found_uids.values()) == wanted
    assert all(len(uids) == 1 for uids in found_uids.values())


def test_a_folders_only_series_is_taken_whatever_is_chosen_elsewhere(tmp_path):
    two_series(tmp_path / "p1")
    series = miniature(seed=5)
    save(datasets(series, 7, "Angio"), tmp_path / "p2")
    first, second = found(tmp_path, "bone")
    assert voxels_of(first).shape[2] == 6
    np.testing.assert_array_equal(voxels_of(second), series.voxels)


def test_studies_of_one_patient_id_are_one_patients(tmp_path):
    for folder, patient in {"a": "77", "b": "", "c": "77 ", "d": "", "e": "78"}.items():
        save(datasets(miniature(), patient_id=patient), tmp_path / folder)
    assert [case.patient for case in found(tmp_path)] == ["a", "b", "a", "d", "e"]


def test_without_a_patient_id_folders_of_one_examination_are_one_patients(tmp_path):
    for patient in range(2):
        thick, thin = datasets(miniature(), 2), datasets(miniature(seed=1), 3)
        for dataset in thin:
            dataset.StudyInstanceUID = thick[0].StudyInstanceUID
        save(thick, tmp_path / f"p{patient}" / "thick")
        save(thin, tmp_path / f"p{patient}" / "thin")
    assert [case.patient for case in found(tmp_path)] == ["p0_thick", "p0_thick", "p1_thick", "p1_thick"]


def test_a_series_without_patient_id_is_the_patients_of_its_folder(tmp_path):
    save(datasets(miniature(), 2, patient_id="A"), tmp_path / "jones", ["1", "2", "3", "4"])
    save(datasets(miniature(seed=1), 3), tmp_path / "jones", ["5", "6", "7", "8"])
    save(datasets(miniature(seed=2), 4, patient_id="B"), tmp_path / "smith")
    assert [case.patient for case in found(tmp_path, "all")] == ["jones_s2", "jones_s2", "smith"]


def test_an_id_that_all_studies_share_is_warned_of(tmp_path, caplog):
    for folder in ("a", "b"):
        save(datasets(miniature(), patient_id="ANONYMOUS"), tmp_path / folder)
    found(tmp_path)
    assert "all 2 DICOM studies count as one patient's" in caplog.text


def test_nothing_of_the_patient_is_in_a_case(tmp_path, caplog):
    two_series(tmp_path / "p1", patient_id="secret-77")
    save(datasets(miniature(), patient_id="secret-77"), tmp_path / "p2")
    with caplog.at_level(logging.DEBUG):
        cases = found(tmp_path) + found(tmp_path, "2")
    texts = [caplog.text, repr(cases), reason(cases[0])]
    texts += [json.dumps([str(case.image().geometry), case.image().warnings]) for case in cases[1:]]
    for word in (PATIENT_NAME, PATIENT_NAME.split("^")[0], BIRTH_DATE, "secret-77"):
        assert not any(word in text for text in texts)


def test_a_damaged_file_costs_its_folder_and_no_other(tmp_path):
    for folder in ("a", "b"):
        save(datasets(miniature()), tmp_path / folder)
    for name in ("002.dcm", "004.dcm"):
        (tmp_path / "a" / name).write_bytes(b"")
    first, second = found(tmp_path)
    assert reason(first).startswith("002.dcm: expected a DICOM object, got none")
    assert reason(first).endswith("(and 1 more files that cannot be read)")
    assert voxels_of(second).shape == (11, 13, 4)


def test_only_headers_are_read_to_find_studies(tmp_path):
    paths = save(datasets(miniature()), tmp_path)
    for path in paths:
        path.write_bytes(path.read_bytes()[:-100])
    (case,) = found(tmp_path)
    assert reason_of_blocks(case).startswith("001.dcm: expected a whole DICOM image, got one cut short")


def reason_of_blocks(case):
    with pytest.raises(InputError) as caught:
        list(case.image().blocks())
    return str(caught.value)


def test_without_pydicom_one_line_says_what_to_install(tmp_path, monkeypatch):
    save(datasets(miniature()), tmp_path / "study")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    (case,) = found(tmp_path / "study")
    assert case.study_id == "study"
    assert reason(case) == NEEDS_PYDICOM == 'DICOM files need pydicom: pip install "sliceweave[dicom]"'
    assert found(Path(tmp_path, "study").parent / "nothing") == []


def test_many_headers_show_a_bar(tmp_path, monkeypatch):
    bars = []
    monkeypatch.setattr(
        "sliceweave.pipelines.dicom_series.tqdm", lambda paths, *_, disable, **__: bars.append(disable) or paths
    )
    for many in (4, 3):
        monkeypatch.setattr("sliceweave.pipelines.dicom_series._MANY", many)
        save(datasets(miniature()), tmp_path)
        found(tmp_path)
    assert bars == [True, None]
