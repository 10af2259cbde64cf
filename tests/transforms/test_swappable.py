"""Voxels of long studies lie in a file without a name, and are the same when their memory was given up."""

import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from sliceweave.pipelines import nifti_files
from sliceweave.pipelines.reading import read_scan
from sliceweave.transforms.swappable import let_go, zero_tensor, zeros


def anonymous_kb() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1])


def test_long_ones_take_no_memory_of_the_process() -> None:
    before = anonymous_kb()
    voxels = zeros((512, 512, 300), order="F")
    voxels[:] = 7
    let_go(voxels)
    assert anonymous_kb() - before < 20_000
    assert voxels.flags.f_contiguous
    assert voxels.dtype == np.float32
    assert voxels[3, 4, 299] == 7


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_in_a_file_or_not_they_are_zeros_in_the_order_asked_for(dtype: type, order: str) -> None:
    in_memory, in_file = (zeros((4, 5, 6), dtype, order, from_bytes) for from_bytes in (1000, 1))
    assert (in_memory.base is None, in_file.base is None) == (True, False)
    for array in (in_memory, in_file):
        assert (array == 0).all()
        assert array.dtype == dtype
        assert array.flags.c_contiguous == (order == "C")
        array[1, 2, 3] = 9
        assert array.sum() == 9


def test_an_array_without_an_element_is_no_file() -> None:
    assert zeros((0, 5, 6), from_bytes=0).shape == (0, 5, 6)


def test_a_tensor_of_them_can_be_written_to() -> None:
    before = anonymous_kb()
    voxels = zero_tensor((5, 1 << 20, 5))
    assert torch.sigmoid_(voxels).amax() == 0.5
    assert anonymous_kb() - before < 20_000


def test_short_ones_are_plain_arrays() -> None:
    voxels = zeros((4, 5, 6))
    assert voxels.base is None
    voxels[:] = 3
    let_go(voxels)
    assert (voxels == 3).all()


def test_without_room_for_a_file_they_lie_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    voxels = zeros((512, 512, 300), order="F")
    assert voxels.base is None
    assert voxels.flags.f_contiguous


def test_a_long_study_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti_files, "LONG_BYTES", 1)
    written = np.random.default_rng(0).integers(-1000, 2000, (64, 48, 40)).astype(np.int16)
    nib.save(nib.Nifti1Image(written, np.eye(4)), tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz")
    assert scan.voxels.base is not None
    np.testing.assert_array_equal(scan.voxels, written)
