"""Voxels of long studies lie in a file without a name, and are the same when their memory was given up."""

import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from sliceweave.pipelines import swappable
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.swappable import empty_voxels, let_go


def anonymous_kb() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1])


def test_long_ones_take_no_memory_of_the_process() -> None:
    before = anonymous_kb()
    voxels = empty_voxels((512, 512, 300))
    voxels[:] = 7
    let_go(voxels)
    assert anonymous_kb() - before < 20_000
    assert voxels.flags.f_contiguous
    assert voxels.dtype == np.float32
    assert voxels[3, 4, 299] == 7


def test_short_ones_are_plain_arrays() -> None:
    voxels = empty_voxels((4, 5, 6))
    assert voxels.base is None
    voxels[:] = 3
    let_go(voxels)
    assert (voxels == 3).all()


def test_without_room_for_a_file_they_lie_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    voxels = empty_voxels((512, 512, 300))
    assert voxels.base is None
    assert voxels.flags.f_contiguous


def test_a_long_study_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swappable, "LONG_BYTES", 1)
    written = np.random.default_rng(0).integers(-1000, 2000, (64, 48, 40)).astype(np.int16)
    nib.save(nib.Nifti1Image(written, np.eye(4)), tmp_path / "scan.nii.gz")
    scan = read_scan(tmp_path / "scan.nii.gz")
    assert scan.voxels.base is not None
    np.testing.assert_array_equal(scan.voxels, written)
