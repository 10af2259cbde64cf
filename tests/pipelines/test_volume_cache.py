import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from miniature_training import MARKED, SHAPE, load, save, write_studies
from monai.transforms import Compose, Lambdad, RandFlipd, ScaleIntensityRanged, Transform

from sliceweave.pipelines import volume_cache
from sliceweave.pipelines.atomic import PARTIAL_SUFFIX
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.volume_cache import VolumeCache, case_digest, chain_digest


@pytest.fixture
def cases(tmp_path: Path) -> list[dict[str, str]]:
    return write_studies(tmp_path)


class Counting(Transform):
    """A chain that notes which studies it was asked for."""

    seen: list[str] = []

    def __call__(self, data: Mapping[Hashable, Any]) -> Any:
        self.seen.append(Path(data["image"]).name.split(".")[0])
        return load()(data)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The studies that were preprocessed so far, in order."""
    seen: list[str] = []
    monkeypatch.setattr(Counting, "seen", seen)
    return seen


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_volumes_are_made_once_and_taken_up_again(cases: list[dict[str, str]], tmp_path: Path, made: list[str]) -> None:
    first = VolumeCache(cases, Counting(), tmp_path / "cache")
    again = VolumeCache(cases, Counting(), tmp_path / "cache")
    assert made == ["s0", "s1", "s2", "s3", "s4"]
    assert len(again) == 5
    assert [volume.path for volume in first] == [volume.path for volume in again]
    for study, volume in enumerate(again):
        assert volume.image[:, 0, 0, 0].tolist() == [100 * study + k for k in range(SHAPE[2])]
        assert tuple(np.flatnonzero(volume.marked)) == MARKED


def test_a_warm_start_reads_no_voxels(cases: list[dict[str, str]], tmp_path: Path) -> None:
    VolumeCache(cases, load(), tmp_path / "cache")
    for path in (tmp_path / "cache").iterdir():
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))  # would be read as marked everywhere
    assert all(tuple(np.flatnonzero(v.marked)) == MARKED for v in VolumeCache(cases, load(), tmp_path / "cache"))


def test_a_cache_of_other_cases_shares_what_they_have_in_common(
    cases: list[dict[str, str]], tmp_path: Path, made: list[str]
) -> None:
    VolumeCache(cases[:3], Counting(), tmp_path / "cache")
    other = VolumeCache([cases[4], cases[1]], Counting(), tmp_path / "cache")
    assert made == ["s0", "s1", "s2", "s4"]
    assert [int(volume.image[0, 0, 0, 0]) for volume in other] == [400, 100]


def rewrite_image(case: dict[str, str]) -> None:
    save(Path(case["image"]), np.full(SHAPE, 7, np.int16))


def rewrite_label(case: dict[str, str]) -> None:
    save(Path(case["label"]), np.ones(SHAPE, np.uint8))


def add_sidecar(case: dict[str, str]) -> None:
    origins = [[0.0, 0.0, 5.0 * k] for k in range(SHAPE[2])]
    text = f'{{"slice_origins_ras_mm": {origins}, "slice_thickness_mm": {[5.0] * SHAPE[2]}}}'
    Path(case["image"].replace(".nii.gz", ".geometry.json")).write_text(text)


def touch(case: dict[str, str]) -> None:
    os.utime(case["image"], ns=(0, os.stat(case["image"]).st_mtime_ns + 1))


@pytest.mark.parametrize("change", [rewrite_image, rewrite_label, add_sidecar, touch])
def test_a_study_whose_files_changed_is_made_anew(
    cases: list[dict[str, str]], tmp_path: Path, made: list[str], change: Callable[[dict[str, str]], None]
) -> None:
    VolumeCache(cases, Counting(), tmp_path / "cache")
    change(cases[3])
    VolumeCache(cases, Counting(), tmp_path / "cache")
    assert made[5:] == ["s3"]


def test_voxels_that_a_header_names_belong_to_the_study(tmp_path: Path) -> None:
    image, voxels = tmp_path / "s.mhd", tmp_path / "voxels.bin"
    image.write_text("ObjectType = Image\nElementDataFile = voxels.bin\n")
    voxels.write_bytes(b"1234")
    before = case_digest({"image": str(image), "label": "l.nii"}, "chain")
    assert case_digest({"image": str(image), "label": "l.nii"}, "chain") == before
    voxels.write_bytes(b"12345")
    assert case_digest({"image": str(image), "label": "l.nii"}, "chain") != before


def test_a_changed_study_gives_its_new_voxels(cases: list[dict[str, str]], tmp_path: Path) -> None:
    VolumeCache(cases, load(), tmp_path / "cache")
    rewrite_image(cases[3])
    assert (VolumeCache(cases, load(), tmp_path / "cache")[3].image == 7).all()


def scaled(top: float) -> Compose:
    return Compose([load(), ScaleIntensityRanged("image", 0, top, 0, 1)])


def test_other_settings_of_a_transform_make_other_volumes(cases: list[dict[str, str]], tmp_path: Path) -> None:
    for top in (1000, 2000):
        volume = VolumeCache(cases, scaled(top), tmp_path / "cache")[4]
        assert torch.allclose(volume.image[5, 0, 0, 0].float(), torch.tensor(405 / top), rtol=0, atol=2e-4)
    assert len(files(tmp_path / "cache")) == 10


def test_a_chain_is_told_by_its_transforms_not_by_its_random_state() -> None:
    seeded = scaled(1000)
    seeded.set_random_state(5)
    assert chain_digest(seeded) == chain_digest(scaled(1000)) == chain_digest(Compose([scaled(1000)]))
    assert chain_digest(scaled(1000)) != chain_digest(scaled(1001))
    assert chain_digest(scaled(1000)) != chain_digest(load())


@pytest.mark.slow
def test_a_chain_is_told_alike_in_every_process() -> None:
    code = (
        "from miniature_training import load; from sliceweave.pipelines.volume_cache import chain_digest;"
        "print(chain_digest(load()))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "7"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout.split()[-1] == chain_digest(load())


@pytest.mark.parametrize("package", ["sliceweave", "monai"])
def test_another_version_makes_other_volumes(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    before, version = chain_digest(load()), volume_cache.version
    monkeypatch.setattr(volume_cache, "version", lambda name: "99" if name == package else version(name))
    assert chain_digest(load()) != before


def test_a_random_transform_is_no_preprocessing() -> None:
    with pytest.raises(InputError, match="RandFlipd is random: make it augmentation"):
        chain_digest(Compose([load(), RandFlipd("image")]))


def test_a_chain_that_cannot_be_told_from_another_is_refused() -> None:
    with pytest.raises(InputError, match=r"cannot be told from another .*: give functions by name"):
        chain_digest(Compose([load(), Lambdad("image", lambda image: image * 2)]))


def test_a_damaged_volume_is_made_anew(cases: list[dict[str, str]], tmp_path: Path, made: list[str]) -> None:
    path = VolumeCache(cases, Counting(), tmp_path / "cache")[2].path
    path.write_bytes(path.read_bytes()[:-100])
    volume = VolumeCache(cases, Counting(), tmp_path / "cache")[2]
    assert made[5:] == ["s2"]
    assert int(volume.image[0, 0, 0, 0]) == 200


def test_studies_that_fail_are_counted_and_named_and_the_others_are_kept(
    cases: list[dict[str, str]], tmp_path: Path, made: list[str]
) -> None:
    Path(cases[1]["image"]).write_bytes(Path(cases[1]["image"]).read_bytes()[:-20])
    save(Path(cases[3]["label"]), np.zeros((8, 9, 5), np.uint8))
    with pytest.raises(InputError) as caught:
        VolumeCache(cases, Counting(), tmp_path / "cache")
    message = str(caught.value)
    assert message.startswith("2 of 5 studies cannot be used: s1.nii.gz: ")
    assert "s3.nii.gz: does not lie on the grid of" in message
    assert message.endswith("run again: the others are prepared and stay")
    assert "\n" not in message
    assert len(files(tmp_path / "cache")) == 3
    assert made == ["s0", "s1", "s2", "s3", "s4"]
    assert len(VolumeCache([cases[i] for i in (0, 2, 4)], Counting(), tmp_path / "cache")) == 3
    assert len(made) == 5


def test_of_many_failures_three_are_told(cases: list[dict[str, str]], tmp_path: Path) -> None:
    for case in cases:
        Path(case["label"]).unlink()
    with pytest.raises(InputError, match=r"^5 of 5 studies .*s0.*s1.*s2.*; and 2 more;") as caught:
        VolumeCache(cases, load(), tmp_path / "cache")
    assert "s3" not in str(caught.value)


def test_a_failure_that_does_not_name_the_file_is_given_its_name(cases: list[dict[str, str]], tmp_path: Path) -> None:
    del cases[2]["label"]
    with pytest.raises(InputError, match=r"1 of 5 studies cannot be used: .*images/s2\.nii\.gz: KeyError"):
        VolumeCache(cases, load(), tmp_path / "cache")


def test_a_full_disk_ends_the_run_with_its_own_message(
    cases: list[dict[str, str]], tmp_path: Path, largest_file_bytes: Callable[[int], AbstractContextManager[None]]
) -> None:
    with largest_file_bytes(4100), pytest.raises(InputError, match=r"^cannot write .*; free space and run again"):
        VolumeCache(cases, load(), tmp_path / "cache")
    assert files(tmp_path / "cache") == []


def test_a_folder_that_cannot_be_made_is_one_clear_line(cases: list[dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(InputError, match=r"cannot use .*cache: .*; choose another folder with --cache_dir"):
        VolumeCache(cases, load(), tmp_path / "cache")


def test_what_a_killed_run_left_is_cleared_but_nothing_that_is_being_written(
    cases: list[dict[str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    old, new = (folder / f".{name}{PARTIAL_SUFFIX}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    VolumeCache(cases, load(), folder)
    assert not old.exists()
    assert new.exists()


class KilledAtTheThird(Counting):
    def __call__(self, data: Mapping[Hashable, Any]) -> Any:
        if len(self.seen) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(data)


def build(kind: str, cases: list[dict[str, str]], folder: Path) -> None:
    """In a process of its own; both chains make the same, so they are told to count as one."""
    volume_cache.chain_digest = lambda _chain: "one"  # type: ignore[assignment]
    VolumeCache(cases, {"killed": KilledAtTheThird, "whole": Counting}[kind](), folder)


fork = multiprocessing.get_context("fork")


def test_a_killed_run_leaves_whole_volumes_only_and_the_next_goes_on(
    cases: list[dict[str, str]], tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = fork.Process(target=build, args=("killed", cases, tmp_path / "cache"))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(files(tmp_path / "cache")) == 2
    monkeypatch.setattr(volume_cache, "chain_digest", lambda _chain: "one")
    VolumeCache(cases, Counting(), tmp_path / "cache")
    assert made == ["s2", "s3", "s4"]


def test_two_processes_may_make_the_same_volumes_at_once(cases: list[dict[str, str]], tmp_path: Path) -> None:
    processes = [fork.Process(target=build, args=("whole", cases, tmp_path / "cache")) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(files(tmp_path / "cache")) == 5


def test_processes_that_train_together_begin_at_different_studies(
    cases: list[dict[str, str]], tmp_path: Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_cache, "rank", lambda: 1)
    monkeypatch.setattr(volume_cache, "world_size", lambda: 2)
    cache = VolumeCache(cases, Counting(), tmp_path / "cache")
    assert made == ["s2", "s3", "s4", "s0", "s1"]
    assert [int(volume.image[0, 0, 0, 0]) for volume in cache] == [0, 100, 200, 300, 400]


def test_what_another_process_made_meanwhile_is_not_made_again(
    cases: list[dict[str, str]], tmp_path: Path, made: list[str]
) -> None:
    class Overtaken(Counting):
        def __call__(self, data: Mapping[Hashable, Any]) -> Any:
            if not self.seen:
                self.seen.append("other process")
                VolumeCache(cases[1:], self, tmp_path / "cache")
            return super().__call__(data)

    globals()["Overtaken"] = Overtaken  # so that it can be pickled
    Overtaken.__qualname__ = "Overtaken"
    VolumeCache(cases, Overtaken(), tmp_path / "cache")
    assert made == ["other process", "s1", "s2", "s3", "s4", "s0"]


def test_the_affine_of_the_scan_comes_back(cases: list[dict[str, str]], tmp_path: Path) -> None:
    image, scan = VolumeCache(cases, load(), tmp_path / "cache")[1].whole("image"), nib.load(cases[1]["image"])
    assert np.array_equal(image.affine.numpy(), scan.affine)
    assert image.meta["filename_or_obj"] == cases[1]["image"]
    assert np.array_equal(scan.get_fdata(), image[0].numpy())
