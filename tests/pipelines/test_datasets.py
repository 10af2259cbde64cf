import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from miniature_training import load, read, save, write_studies
from miniature_volumes import write_pairs
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose, LoadImaged, RandFlipd, RandRotated, RandScaleIntensityd

from sliceweave.pipelines.cases import PrepareOptions
from sliceweave.pipelines.cuts import Blocks, Slabs
from sliceweave.pipelines.datasets import (
    CheckLabeld,
    SampleDataset,
    StudyDataset,
    VolumeDataset,
    chosen,
    datalist,
    split,
)
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.patients import Drawing
from sliceweave.pipelines.prepare import prepare
from sliceweave.pipelines.prepare_tasks import prepare_task
from sliceweave.pipelines.sampling import Draw
from sliceweave.pipelines.splits import parse_shares
from sliceweave.pipelines.study_reader import StudyReader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five studies with a label on slices 2 and 3, one without a label."""
    write_studies(tmp_path, studies=5, unlabelled=1)
    return tmp_path


def test_the_datalist_has_a_label_where_there_is_one(folder: Path) -> None:
    cases = datalist(str(folder))
    assert [case["study_id"] for case in cases] == [f"s{i}" for i in range(6)]
    assert [case["study_id"] for case in cases if "label" in case] == [f"s{i}" for i in range(5)]
    assert len(datalist(str(folder), labelled=True)) == 5


@pytest.mark.parametrize(("unlabelled", "named"), [(2, "s1, s2"), (5, "s1, s2, s3, …")])
def test_studies_without_a_label_are_counted_and_the_first_are_named(
    tmp_path: Path, unlabelled: int, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_studies(tmp_path, studies=1, unlabelled=unlabelled)
    datalist(str(tmp_path))
    assert caplog.messages == []
    datalist(str(tmp_path), labelled=True)
    assert caplog.messages == [f"{unlabelled} of {unlabelled + 1} studies have no label and are left out: {named}"]


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
    assert StudyDataset([{"image": str(path)}], chain)[0]["study_id"] == "s1"


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
        CheckLabeld([0, 1])(read()(case))
    CheckLabeld([0, 1])(read()(labelled(folder, lambda voxels, affine: (voxels, affine))))


@pytest.mark.parametrize("share", [0, -0.1, 1.1, "10%", None, True])
def test_validation_needs_a_share(folder: Path, share: Any) -> None:
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


def ids(cases: list[dict[str, str]]) -> list[str]:
    return [case["study_id"] for case in cases]


def test_evaluation_takes_the_test_patients_of_a_prepared_folder(tmp_path: Path) -> None:
    dest = prepared(tmp_path, "6:2:2")
    listed = json.loads((dest / "datalist.json").read_text())
    for name in ("training", "validation", "test"):
        assert ids(chosen(str(dest), name)) == ids(listed[name]) != []
    assert ids(chosen(str(dest))) == ids(listed["test"])
    assert len(chosen(str(dest), "all")) == 10


def test_a_prepared_folder_is_known_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dest = prepared(tmp_path, "6:2:2")
    monkeypatch.setenv("HOME", str(tmp_path))
    test = ids(chosen(str(dest)))
    for name in ("~/dest", f"{dest}/images", f"{dest}/images/", "~/dest/images"):
        assert ids(chosen(name)) == test
        parts = split(name, 0.1, seed=5)
        assert not {*test} & {*ids(parts["train"]), *ids(parts["validation"])}


def test_evaluation_takes_all_studies_where_no_patient_is_for_testing(tmp_path: Path) -> None:
    dest = prepared(tmp_path, "8:2:0")
    assert len(chosen(str(dest))) == len(chosen(str(dest), "all")) == 10
    with pytest.raises(InputError, match=r"datalist.json: expected test studies, got none"):
        chosen(str(dest), "test")


def test_evaluation_takes_the_labelled_studies_of_a_plain_folder(folder: Path) -> None:
    assert ids(chosen(str(folder))) == ids(chosen(str(folder), "all")) == [f"s{i}" for i in range(5)]


@pytest.mark.parametrize("name", ["training", "validation", "test"])
def test_a_plain_folder_has_no_splits_to_choose(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"--split {name} needs a folder that sliceweave prepare made; leave it out"):
        chosen(str(folder), name)


@pytest.mark.parametrize("name", ["tset", "", 3])
def test_an_unknown_split_is_one_clear_line(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match="--split is one of training, validation, test, all; got"):
        chosen(str(folder), name)


def samples(folder: Path, **options: Any) -> SampleDataset:
    settings = {"cut": Slabs(), "draw": Draw(), "cache_dir": folder / "cache"} | options
    return SampleDataset(datalist(str(folder), labelled=True), load(), **settings)


def contents(dataset: SampleDataset) -> list[dict[str, torch.Tensor]]:
    return [dataset[i] for i in range(len(dataset))]


def places(dataset: SampleDataset) -> list[int]:
    """100·study + slice of each sample, in order."""
    return [int(sample["image"][0, 0, 0]) for sample in contents(dataset)]


@pytest.mark.parametrize(("share", "count"), [(0, 10), (0.5, 15), (1.0, 20), (9.0, 30)])
def test_every_marked_slice_is_a_sample_and_a_share_of_the_empty_ones(folder: Path, share: float, count: int) -> None:
    dataset = samples(folder, draw=Draw(share))
    assert len(dataset) == count
    assert sum(bool(sample["label"].any()) for sample in contents(dataset)) == 10
    assert len(set(places(dataset))) == count  # none twice


def test_empty_slices_are_drawn_anew_each_epoch_and_the_marked_ones_are_always_there(folder: Path) -> None:
    dataset = samples(folder, draw=Draw(0.5))
    epochs = []
    for epoch in range(30):
        dataset.set_epoch(epoch)
        assert len(dataset) == 15
        epochs.append(places(dataset))
    assert all(epoch[:10] == epochs[0][:10] for epoch in epochs)
    assert len({tuple(epoch[10:]) for epoch in epochs}) == 30
    assert {place for epoch in epochs for place in epoch[10:]} == {100 * s + k for s in range(5) for k in (0, 1, 4, 5)}


def test_what_is_drawn_follows_from_seed_and_epoch_alone(folder: Path) -> None:
    def drawn(seed: int, epochs: list[int]) -> list[int]:
        dataset = samples(folder, draw=Draw(0.5, seed))
        for epoch in epochs:
            dataset.set_epoch(epoch)
            found = places(dataset)
        return found

    assert drawn(1, [1, 2, 3]) == drawn(1, [3]) == drawn(1, [7, 3])
    assert drawn(1, [3]) != drawn(2, [3])


def test_a_sample_is_a_slab_and_the_label_of_its_middle_slice(folder: Path) -> None:
    sample = samples(folder, cut=Slabs(3), draw=Draw(0))[1]
    assert sample["image"].shape == (3, 8, 9)
    assert sample["image"][:, 0, 0].tolist() == [2, 3, 4]
    assert sample["label"].shape == (1, 8, 9)
    assert sample["label"].sum() == 9


def test_a_sample_may_be_a_block(folder: Path) -> None:
    dataset = samples(folder, cut=Blocks([6, 5, 2]), draw=Draw(9))
    assert len(dataset) == 5 * 5
    assert all(sample["image"].shape == (1, 6, 5, 2) for sample in contents(dataset))
    assert len(dataset.full) == 5 * 3  # those that hold slice 2 or 3


def test_samples_can_be_counted_through(folder: Path) -> None:
    dataset = samples(folder, draw=Draw(0))
    assert len(list(dataset)) == 10
    assert torch.equal(dataset[-1]["image"], dataset[9]["image"])
    with pytest.raises(IndexError):
        dataset[10]


AUGMENTATION = Compose(
    [
        RandFlipd(["image", "label"], prob=0.5, spatial_axis=0),
        RandRotated(["image", "label"], prob=0.5, range_x=0.4),
        RandScaleIntensityd("image", 0.5, prob=1),
    ]
)


def test_augmentation_turns_image_and_label_together_and_anew_each_epoch(folder: Path) -> None:
    dataset = samples(folder, augmentation=RandFlipd(["image", "label"], prob=0.5, spatial_axis=0), draw=Draw(0))
    rows = {}
    for epoch in range(20):
        dataset.set_epoch(epoch)
        rows[epoch] = int(dataset[0]["label"].nonzero()[0][1])
    assert set(rows.values()) == {2, 3}


@pytest.mark.parametrize("cut", [Slabs(3), Blocks([6, 5, 2])])
def test_a_sample_depends_on_seed_epoch_and_index_alone(folder: Path, cut: Slabs | Blocks) -> None:
    one, other = (samples(folder, cut=cut, augmentation=AUGMENTATION, draw=Draw(seed=4)) for _ in range(2))
    other[3]  # a sample taken before leaves no trace
    for dataset in (one, other):
        dataset.set_epoch(2)
    first, again = contents(one), contents(other)[::-1][::-1]
    assert all(torch.equal(a[key], b[key]) for a, b in zip(first, again, strict=True) for key in a)
    one.set_epoch(3)
    assert sum(torch.equal(a["image"], b["image"]) for a, b in zip(first, contents(one), strict=True)) < 3
    third = samples(folder, cut=cut, augmentation=AUGMENTATION, draw=Draw(seed=5))
    third.set_epoch(2)
    assert sum(torch.equal(a["image"], b["image"]) for a, b in zip(first, contents(third), strict=True)) < 3


@pytest.mark.parametrize("persistent", [False, True])
def test_worker_processes_change_nothing(folder: Path, persistent: bool) -> None:
    def batches(workers: int) -> list[torch.Tensor]:
        dataset = samples(folder, cut=Slabs(3), augmentation=AUGMENTATION)
        loader = DataLoader(dataset, workers, batch_size=4, persistent_workers=persistent and workers > 0)
        found = []
        for epoch in (1, 2):
            dataset.set_epoch(epoch)
            found += [batch[key] for batch in loader for key in ("image", "label")]
        return found

    alone, helped = batches(0), batches(2)
    assert len(alone) == 2 * 2 * 5
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))
    assert not torch.equal(alone[0], alone[10])


def test_samples_are_plain_tensors_that_batch_without_metadata(folder: Path) -> None:
    sample = samples(folder, augmentation=AUGMENTATION)[0]
    assert sample.keys() == {"image", "label"}
    assert all(type(tensor) is torch.Tensor and tensor.dtype == torch.float32 for tensor in sample.values())


def test_studies_without_any_marked_pixel_are_one_clear_line(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        save(path, np.zeros((8, 9, 6), np.uint8))
    with pytest.raises(InputError, match="none of 5 training studies has a marked pixel"):
        samples(folder)


@pytest.mark.parametrize("share", [-0.1, "x", float("inf"), True])
def test_a_share_is_a_number_from_zero(share: Any) -> None:
    with pytest.raises(InputError, match="--empty_share is a number from 0, got"):
        Draw(share, 0)


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_a_seed_is_a_whole_number_from_zero(seed: Any) -> None:
    with pytest.raises(InputError, match="--seed is a whole number from 0"):
        Draw(1.0, seed)


def test_whole_volumes_come_as_the_chain_left_them(folder: Path) -> None:
    cases = datalist(str(folder), labelled=True)
    dataset = VolumeDataset(cases, load(), folder / "cache")
    assert len(dataset) == 5
    for case, item in zip(cases, dataset, strict=True):
        expected = load()(case)
        assert item["study_id"] == case["study_id"]
        for key in ("image", "label"):
            assert isinstance(item[key], MetaTensor)
            assert item[key].dtype == torch.float32
            assert torch.equal(item[key].as_tensor(), expected[key].as_tensor())
            assert torch.equal(item[key].affine, expected[key].affine)
            assert item[key].meta["filename_or_obj"] == case[key]


def test_training_and_validation_share_their_volumes(folder: Path) -> None:
    samples(folder)
    before = {path: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}
    VolumeDataset(datalist(str(folder), labelled=True), load(), folder / "cache")
    assert {path: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()} == before


def test_a_batch_of_a_whole_volume_has_its_metadata(folder: Path) -> None:
    loader = DataLoader(VolumeDataset(datalist(str(folder), labelled=True), load(), folder / "cache"), batch_size=1)
    batch = next(iter(loader))
    assert batch["image"].shape == (1, 1, 8, 9, 6)
    assert batch["image"].meta["filename_or_obj"][0].endswith("s0.nii.gz")
