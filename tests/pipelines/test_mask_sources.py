from pathlib import Path

import pytest

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.mask_sources import MaskStudy, find_masks, with_images


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "study_id"),
    [
        ("a.nii.gz", "a"),
        ("a_mask.nii.gz", "a"),
        ("a-label.nrrd", "a"),
        ("a_seg.mha", "a"),
        ("a.Segmentation.mhd", "a"),
        ("label.nii", "label"),
        ("a_labelled.nii", "a_labelled"),
    ],
)
def test_a_study_is_called_as_its_mask_less_the_ending(name: str, study_id: str, tmp_path: Path) -> None:
    touch(tmp_path, name)
    assert [mask.study_id for mask in find_masks(tmp_path)] == [study_id]
    assert [mask.study_id for mask in find_masks(tmp_path / name)] == [study_id]


def test_an_image_beside_its_mask_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "a_mask.nii.gz", "b.nii.gz", "volumes.csv", "a.png", "._c.nii.gz")
    found = [(mask.study_id, mask.mask.name) for mask in find_masks(tmp_path)]
    assert found == [("a", "a_mask.nii.gz"), ("b", "b.nii.gz")]


def test_of_a_prepared_folder_the_labels_count(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz", "images/b.nii.gz")
    assert [mask.mask for mask in find_masks(tmp_path)] == [tmp_path / "labels/a.nii.gz"]


def test_a_glob_and_subfolders_are_looked_through(tmp_path: Path) -> None:
    touch(tmp_path, "x/a-label.nrrd", "x/b.nrrd", "y/c-label.nrrd")
    assert [mask.study_id for mask in find_masks(f"{tmp_path}/**/*label.nrrd")] == ["a", "c"]
    assert [mask.study_id for mask in find_masks(tmp_path)] == ["a", "b", "c"]


def test_a_csv_keeps_its_order_ids_and_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("study_id,mask,image\n'=7,b.nrrd,b_ct.nrrd\na,a.nrrd,\n")
    first, second = find_masks(tmp_path / "m.csv")
    assert (first.study_id, first.mask, first.image) == ("=7", tmp_path / "b.nrrd", tmp_path / "b_ct.nrrd")
    assert (second.study_id, second.image) == ("a", None)


def test_a_csv_of_studies_gives_their_labels(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("study_id,image,label\na,i.nii,l.nii\n")
    (mask,) = find_masks(tmp_path / "m.csv")
    assert (mask.mask.name, mask.image) == ("l.nii", tmp_path / "i.nii")


@pytest.mark.parametrize(
    ("names", "source", "words"),
    [
        ((), "nowhere", "does not exist"),
        (("a.txt",), ".", "holds no mask"),
        (("x/a_mask.nii", "y/a_seg.nii"), ".", "two masks are of the study 'a'"),
    ],
)
def test_what_cannot_be_read_is_said(names: tuple[str, ...], source: str, words: str, tmp_path: Path) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=words):
        find_masks(tmp_path / source)


def test_a_csv_without_a_column_of_masks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("study_id,image\na,i.nii\n")
    with pytest.raises(InputError, match="has no column mask or label; expected study_id,mask"):
        find_masks(tmp_path / "m.csv")


def test_blanks_around_cells_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("study_id,mask,image\na , m.nii , \n")
    assert find_masks(tmp_path / "m.csv") == [MaskStudy("a", tmp_path / "m.nii")]


def test_a_csv_without_masks_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("study_id,mask,image\na,,i.nii\n")
    with pytest.raises(InputError, match="line 2 has an empty study_id or mask"):
        find_masks(tmp_path / "m.csv")


def test_images_are_found_by_id_and_by_id_with_an_ending(tmp_path: Path) -> None:
    touch(tmp_path / "m", "a_mask.nii", "b_mask.nii", "c_mask.nii")
    touch(tmp_path / "i", "a.nii.gz", "b_ct.nrrd", "d.nii")
    masks = with_images(find_masks(tmp_path / "m"), tmp_path / "i")
    assert [mask.image and mask.image.name for mask in masks] == ["a.nii.gz", "b_ct.nrrd", None]
