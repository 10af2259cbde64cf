"""Volumes that no format claims: twin folders, pairs by name, a CSV."""

import logging
from pathlib import Path

import numpy as np
import pytest
from miniature_volumes import AFFINE, numbers, save, write_itk

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.plain_volumes import cases_of_rows, find_plain
from sliceweave.pipelines.study_csv import read_study_csv

IMAGE, LABEL = numbers(0, 2)


def find(folder: Path) -> dict[str, Case]:
    return {case.study_id: case for case in find_plain(SourceFiles(folder), PrepareOptions())}


def reason(case: Case) -> str:
    with pytest.raises(InputError) as caught:
        case.image()
    return str(caught.value)


def is_labelled(case: Case) -> bool:
    """Whether the case has a label that fits its image."""
    if case.label is None:
        return False
    (block,) = case.label().blocks()
    return bool(np.array_equal(block, LABEL[..., : block.shape[2]]))


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("x_ct.nii.gz", "x_label.nii.gz"),
        ("x.nii.gz", "x_seg.nii"),
        ("x.nii", "x-mask.nii.gz"),
        ("x_0000.nii.gz", "x_segmentation.nii.gz"),
        ("ct.nii.gz", "liver_label.nii.gz"),
        ("scan.nii.gz", "mask.nii.gz"),
    ],
)
def test_pairs_in_one_folder_are_told_by_their_names(image: str, label: str, tmp_path: Path) -> None:
    save(tmp_path / "p1" / image, IMAGE)
    save(tmp_path / "p1" / label, LABEL)
    (case,) = find(tmp_path).values()
    assert is_labelled(case)


def test_twin_folders_go_together_below_any_folder_and_in_any_format(tmp_path: Path) -> None:
    save(tmp_path / "a" / "images" / "deep" / "x.nii.gz", IMAGE)
    (tmp_path / "a" / "labels" / "deep").mkdir(parents=True)
    write_itk(tmp_path / "a" / "labels" / "deep" / "x.mha", LABEL, AFFINE)
    save(tmp_path / "b" / "images" / "y.nii.gz", IMAGE)
    cases = find(tmp_path)
    assert is_labelled(cases["a_deep_x"])
    assert cases["b_y"].label is None


@pytest.mark.parametrize(
    ("images", "labels", "image", "label"),
    [
        ("Images", "Labels", "x.nii.gz", "x.nii.gz"),
        ("images", "masks", "x.nii.gz", "x_mask.nii.gz"),
        ("imagesTr", "labelsTr", "x_0000.nii.gz", "x.nii.gz"),
        ("img", "seg", "x_ct.nii.gz", "x_label.nii.gz"),
        ("images", "images", "x_ct.nii.gz", "x_label.nii.gz"),
    ],
)
def test_folders_go_by_several_names(images: str, labels: str, image: str, label: str, tmp_path: Path) -> None:
    save(tmp_path / images / image, IMAGE)
    save(tmp_path / labels / label, LABEL)
    (case,) = find(tmp_path).values()
    assert is_labelled(case)


def test_a_label_of_another_shape_is_not_handed_on_to_another_patient(tmp_path: Path) -> None:
    save(tmp_path / "a_ct.nii.gz", IMAGE)
    save(tmp_path / "a_label.nii.gz", LABEL[..., :5])
    save(tmp_path / "b_ct.nii.gz", IMAGE[..., :5])
    cases = find(tmp_path)
    assert cases["a_ct"].label is not None
    assert cases["b_ct"].label is None


def test_two_files_of_one_name_are_one_line_each(tmp_path: Path) -> None:
    save(tmp_path / "images" / "x.nii.gz", IMAGE)
    save(tmp_path / "images" / "y.nii.gz", IMAGE)
    save(tmp_path / "images" / "y.nii", IMAGE)
    for name in ("x.nii.gz", "x.nii", "y.nii.gz"):
        save(tmp_path / "labels" / name, LABEL)
    reasons = [reason(case) for case in find(tmp_path).values()]
    assert sum("expected one label, got x.nii, x.nii.gz" in text for text in reasons) == 1
    assert sum("expected one image, got y.nii, y.nii.gz" in text for text in reasons) >= 1


def test_where_there_are_labels_each_image_needs_its_own(tmp_path: Path) -> None:
    for name in ("x", "y"):
        save(tmp_path / "images" / f"{name}.nii.gz", IMAGE)
    for name in ("x", "z"):
        save(tmp_path / "labels" / f"{name}.nii.gz", LABEL)
    cases = find(tmp_path)
    assert is_labelled(cases["x"])
    assert "expected a label of this name, got none in the folder of labels beside that of y.nii.gz" in reason(
        cases["y"]
    )
    assert "z.nii.gz is a label without an image" in reason(cases["labels_z"])


def test_a_label_goes_to_the_image_whose_shape_it_has(tmp_path: Path) -> None:
    save(tmp_path / "example_ct.nii.gz", IMAGE)
    save(tmp_path / "example_ct_sm.nii.gz", IMAGE[..., :3])
    save(tmp_path / "example_seg.nii.gz", LABEL[..., :3])
    cases = find(tmp_path)
    assert cases["example_ct"].label is None
    assert is_labelled(cases["example_ct_sm"])


def test_labels_of_one_image_that_cannot_be_told_apart_are_one_line(tmp_path: Path) -> None:
    for name in ("x_ct", "x_label", "x_mask"):
        save(tmp_path / f"{name}.nii.gz", LABEL)
    assert "expected one label, got x_label.nii.gz, x_mask.nii.gz" in reason(find(tmp_path)["x_ct"])


def test_a_label_alone_is_one_line(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", IMAGE)
    save(tmp_path / "b.nii.gz", IMAGE)
    save(tmp_path / "c_label.nii.gz", LABEL)
    cases = find(tmp_path)
    assert "c_label.nii.gz is a label without an image" in reason(cases["c_label"])
    assert cases["a"].label is cases["b"].label is None


def test_what_is_named_like_a_further_label_is_left_out_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "x_ct.nii.gz", IMAGE)
    save(tmp_path / "x_seg.nii.gz", LABEL)
    save(tmp_path / "x_seg_fast.nii.gz", LABEL)
    with caplog.at_level(logging.WARNING):
        cases = find(tmp_path)
    assert list(cases) == ["x_ct"]
    assert is_labelled(cases["x_ct"])
    assert "left out, named like a label but not as the label of an image: x_seg_fast.nii.gz" in caplog.text


def test_an_id_is_the_path_whatever_else_is_there(tmp_path: Path) -> None:
    save(tmp_path / "p1" / "head.nii.gz", IMAGE)
    assert set(find(tmp_path)) == {"p1_head"}
    save(tmp_path / "p2" / "head.nii.gz", IMAGE)
    save(tmp_path / "p2" / "images" / "tr" / "ct.nii.gz", IMAGE)
    save(tmp_path / "ct.nii.gz", IMAGE)
    assert set(find(tmp_path)) == {"p1_head", "p2_head", "p2_tr_ct", "ct"}


def test_sessions_of_one_bids_subject_are_one_patient(tmp_path: Path) -> None:
    for session in (1, 2):
        save(tmp_path / "images" / f"sub-07_ses-{session}_ct.nii.gz", IMAGE)
    assert {case.patient for case in find(tmp_path).values()} == {"sub-07"}


def test_painted_studies_are_the_patients_whose_heads_they_were(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        for folder, voxels in (("images", IMAGE), ("labels", LABEL)):
            save(tmp_path / folder / f"{name}.nii.gz", voxels)
    (tmp_path / "truth.csv").write_text("study_id,patient,volume_ml\na,p1,2.0\nb,p1,3.0\n")
    patients = {name: case.patient for name, case in find(tmp_path).items()}
    assert patients["a"] == patients["b"] == "p1"
    assert patients["c"] != "p1"


def test_a_folder_within_the_images_is_a_patient(tmp_path: Path) -> None:
    for path in ("p1/t0", "p1/t1", "p2/t0"):
        for folder, voxels in (("images", IMAGE), ("labels", LABEL)):
            save(tmp_path / "site" / folder / f"{path}.nii.gz", voxels)
    cases = find(tmp_path)
    assert {name: case.patient for name, case in cases.items()} == {
        "site_p1_t0": "site_p1",
        "site_p1_t1": "site_p1",
        "site_p2_t0": "site_p2",
    }
    assert all(is_labelled(case) for case in cases.values())
    (tmp_path / "site" / "labels" / "p2" / "t0.nii.gz").unlink()
    assert "expected a label of this name" in reason(find(tmp_path)["site_p2_t0"])


@pytest.mark.parametrize(
    ("images", "label", "owner"),
    [
        (("x_bone", "x_ct"), "x_label", "x_ct"),
        (("scan_1", "scan_1_2", "scan_1_3"), "scan_1_label", "scan_1"),
        (("p_adc", "p_flair", "p_t1"), "p_mask", ""),
        (("patient_003",), "patient_004_seg", ""),
    ],
)
def test_a_label_goes_where_its_name_says_or_nowhere(
    images: tuple[str, ...], label: str, owner: str, tmp_path: Path
) -> None:
    for name in images:
        save(tmp_path / f"{name}.nii.gz", IMAGE)
    save(tmp_path / f"{label}.nii.gz", LABEL)
    cases = find(tmp_path)
    assert [name for name in images if cases[name].label] == ([owner] if owner else [])
    assert (label in cases) == (not owner)


def test_a_label_elsewhere_leaves_the_image_of_its_name_alone(tmp_path: Path) -> None:
    save(tmp_path / "sub-02" / "anat" / "sub-02_T1w.nii.gz", IMAGE)
    save(tmp_path / "derivatives" / "labels" / "sub-02" / "anat" / "sub-02_T1w.nii.gz", LABEL)
    cases = find(tmp_path)
    assert cases["sub-02_anat_sub-02_T1w"].patient == "sub-02"
    assert "is a label without an image" in reason(cases["derivatives_labels_sub-02_anat_sub-02_T1w"])


def test_further_channels_are_no_studies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for channel in range(3):
        save(tmp_path / "imagesTr" / f"c_{channel:04d}.nii.gz", IMAGE)
    save(tmp_path / "labelsTr" / "c.nii.gz", LABEL)
    (case,) = find(tmp_path).values()
    assert is_labelled(case)
    assert "left out 2 further channels" in caplog.text


def test_hidden_files_are_never_studies(tmp_path: Path) -> None:
    save(tmp_path / "x.nii.gz", IMAGE)
    (tmp_path / "._x.nii.gz").write_bytes(b"\0\5\x16\7")
    save(tmp_path / ".trash" / "y.nii.gz", IMAGE)
    assert list(find(tmp_path)) == ["x"]


def test_a_csv_names_patients_and_splits(tmp_path: Path) -> None:
    save(tmp_path / "i.nii.gz", IMAGE)
    save(tmp_path / "l.nii.gz", LABEL)
    (tmp_path / "s.csv").write_text(
        "study_id,image,label,patient,split\ns1,i.nii.gz,l.nii.gz,P1,test\ns2,i.nii.gz,,,\n"
    )
    first, second = cases_of_rows(read_study_csv(tmp_path / "s.csv"), PrepareOptions())
    assert is_labelled(first)
    assert (first.study_id, first.patient, first.split) == ("s1", "P1", "test")
    assert (second.label, second.patient, second.split) == (None, "", "")
