import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from miniature_volumes import write_pairs
from monai.transforms import Compose, LoadImaged, RandFlipd

from sliceweave.pipelines.cases import PrepareOptions
from sliceweave.pipelines.datasets import CheckLabeld, SlabDataset, StudyDataset, datalist, split
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.patients import Drawing
from sliceweave.pipelines.prepare import prepare
from sliceweave.pipelines.prepare_tasks import prepare_task
from sliceweave.pipelines.reading import StudyReader
from sliceweave.pipelines.splits import parse_shares

LOAD = Compose([LoadImaged(["image", "label"], reader=StudyReader, ensure_channel_first=True)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Studies of 8×9×6 whose voxels hold 100·study + slice: five with a label on slices 2 and 3, one without."""
    for study in range(6):
        image = np.broadcast_to(100 * study + np.arange(6), (8, 9, 6)).astype(np.int16)
        label = np.zeros((8, 9, 6), np.uint8)
        label[2:5, 3:6, 2:4] = 1
        for kind, voxels in (("images", image), ("labels", label)):
            (tmp_path / kind).mkdir(exist_ok=True)
            if study < 5 or kind == "images":
                nib.save(nib.Nifti1Image(voxels, np.diag([0.5, 0.6, 5, 1])), tmp_path / kind / f"s{study}.nii.gz")
    return tmp_path


def test_the_datalist_has_a_label_where_there_is_one(folder: Path) -> None:
    cases = datalist(str(folder))
    assert [case["study_id"] for case in cases] == [f"s{i}" for i in range(6)]
    assert [case["study_id"] for case in cases if "label" in case] == [f"s{i}" for i in range(5)]
    assert len(datalist(str(folder), labelled=True)) == 5


def test_no_folder_given_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="pass --dataset_dir"):
        datalist(None)


def test_training_without_any_label_is_one_clear_line(folder: Path) -> None:
    (folder / "images").rename(folder / "scans")
    with pytest.raises(InputError, match="none of 6 studies has a label"):
        datalist(str(folder / "scans"), labelled=True)


def test_the_split_is_seeded_disjoint_and_complete(folder: Path) -> None:
    parts = split(str(folder), 0.3, seed=1)
    ids = {part: [case["study_id"] for case in cases] for part, cases in parts.items()}
    assert len(ids["validation"]) == 2
    assert sorted(ids["train"] + ids["validation"]) == [f"s{i}" for i in range(5)]
    assert parts == split(str(folder), 0.3, seed=1)
    assert len({tuple(c["study_id"] for c in split(str(folder), 0.3, seed)["validation"]) for seed in range(20)}) > 1


def test_a_split_that_leaves_nothing_to_train_on_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="too few"):
        split(str(folder), 0.9, seed=0)
    assert split(str(folder), 1.0, seed=0)["train"] == []


def test_a_study_that_cannot_be_read_gives_its_reason_and_the_others_go_on(folder: Path) -> None:
    path = folder / "images/s1.nii.gz"
    path.write_bytes(path.read_bytes()[:-20])
    chain = Compose([LoadImaged("image", reader=StudyReader)])
    items = list(StudyDataset(datalist(str(folder)), chain))
    assert [i for i, item in enumerate(items) if "reason" in item] == [1]
    assert items[1]["study_id"] == "s1"
    assert items[1]["reason"].startswith("s1.nii.gz: ")


def labelled(folder: Path, edit: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> dict[str, str]:
    label = nib.load(folder / "labels/s0.nii.gz")
    voxels, affine = edit(np.asarray(label.dataobj).copy(), label.affine.copy())
    nib.save(nib.Nifti1Image(voxels, affine), folder / "edited.nii.gz")
    return {"image": str(folder / "images/s0.nii.gz"), "label": str(folder / "edited.nii.gz")}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda voxels, affine: (voxels[..., :5], affine), "does not lie on the grid of .*s0.nii.gz"),
        (lambda voxels, affine: (voxels, affine @ np.diag([-1, 1, 1, 1])), "does not lie on the grid of"),
        (lambda voxels, affine: (voxels * 255, affine), r"holds the values \[255.0\], expected \[0, 1\]"),
    ],
)
def test_a_label_that_does_not_belong_to_its_image_is_refused(folder: Path, edit: Callable, words: str) -> None:
    case = labelled(folder, edit)
    with pytest.raises(InputError, match=words):
        CheckLabeld([0, 1])(LOAD(case))
    CheckLabeld([0, 1])(LOAD(labelled(folder, lambda voxels, affine: (voxels, affine))))


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_validation_needs_a_share(folder: Path, share: float) -> None:
    with pytest.raises(InputError, match="--validation_share"):
        split(str(folder), share, seed=0)


def prepared(folder: Path, shares: str) -> Path:
    source, dest = folder / "source", folder / "dest"
    write_pairs(source, studies=10)
    prepare(prepare_task("hematoma"), source, dest, PrepareOptions(), Drawing(parse_shares(shares)))
    return dest


def test_a_prepared_folder_trains_and_validates_on_its_own_split(tmp_path: Path) -> None:
    dest = prepared(tmp_path, "6:2:2")
    listed = json.loads((dest / "datalist.json").read_text())
    parts = split(str(dest), 0.1, seed=5)
    for part, key in (("train", "training"), ("validation", "validation")):
        assert [case["study_id"] for case in parts[part]] == [item["study_id"] for item in listed[key]]
        assert all(Path(case[kind]).is_file() for case in parts[part] for kind in ("image", "label"))
    assert len(split(str(dest), 1.0, seed=0)["validation"]) == 10


def test_a_prepared_folder_without_validation_studies_is_a_clear_error(tmp_path: Path) -> None:
    dest = prepared(tmp_path, "1:0:0")
    with pytest.raises(InputError, match=r"datalist.json: expected validation studies, got none"):
        split(str(dest), 0.1, seed=0)


def slabs(folder: Path, **options: object) -> SlabDataset:
    return SlabDataset(datalist(str(folder), labelled=True), LOAD, **options)


@pytest.mark.parametrize(("share", "samples"), [(0, 10), (0.5, 15), (1.0, 20), (9.0, 30)])
def test_every_marked_slice_is_a_sample_and_a_share_of_the_empty_ones(folder: Path, share: float, samples: int) -> None:
    dataset = slabs(folder, empty_share=share)
    assert len(dataset) == samples
    assert sum(bool(dataset[i]["label"].any()) for i in range(samples)) == 10
    places = {(int(d["image"][0, 0, 0])) for d in (dataset[i] for i in range(samples))}
    assert len(places) == samples  # none twice


def test_a_sample_is_a_slab_and_the_label_of_its_middle_slice(folder: Path) -> None:
    sample = slabs(folder, slab=3, empty_share=0)[1]
    assert sample["image"].shape == (3, 8, 9)
    assert sample["image"][:, 0, 0].tolist() == [2, 3, 4]
    assert sample["label"].shape == (1, 8, 9)
    assert sample["label"].sum() == 9


def test_slabs_run_along_any_axis(folder: Path) -> None:
    dataset = slabs(folder, slab=1, axis=0, empty_share=0)
    assert len(dataset) == 5 * 3
    assert dataset[0]["image"].shape == (1, 9, 6)


def test_empty_slices_are_drawn_by_the_seed(folder: Path) -> None:
    assert slabs(folder, seed=1).samples == slabs(folder, seed=1).samples
    assert slabs(folder, seed=1).samples != slabs(folder, seed=2).samples


def test_augmentation_is_drawn_anew_and_turns_image_and_label_together(folder: Path) -> None:
    flips = RandFlipd(["image", "label"], prob=0.5, spatial_axis=0)
    flips.set_random_state(0)
    dataset = slabs(folder, augmentation=flips, empty_share=0)
    seen = {(torch.nonzero(dataset[0]["label"])[0][1]).item() for _ in range(20)}
    assert seen == {2, 3}
