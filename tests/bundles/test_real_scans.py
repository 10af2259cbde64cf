"""Real scans through each bundle: whatever the weights find, the mask lies on the scan's own grid and is measured."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from bundle_runs import run
from typer.testing import CliRunner

from sliceweave.pipelines.cli import app

SCANS = {
    "hematoma": "head_ct/ge_tilt_dicom",  # tilted, of three table increments
    "liver_tumor": "liver_ct/totalsegmentator/example_ct.nii.gz",
    "lung_infection": "lung_ct/lungmask/chest_slice.dcm",  # one slice
    "knee_cartilage": "knee_mr/pymskt/mese_te6ms.nii.gz",  # oblique
}


@pytest.mark.slow
@pytest.mark.parametrize("task", SCANS)
def test_a_real_scan_is_segmented_on_its_own_grid_and_measured(task: str, real_data: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    scan = real_data / SCANS[task]
    (shutil.copytree if scan.is_dir() else shutil.copy)(scan, source / scan.name)
    prepared = CliRunner().invoke(app, ["prepare", task, str(source), str(tmp_path / "prepared")])
    (image,) = (tmp_path / "prepared" / "images").glob("*.nii.gz")
    run(task, ["inference"], {"dataset_dir": str(image.parent), "output_dir": str(tmp_path / "results")})
    (mask,) = (tmp_path / "results").glob("*_mask.nii.gz")
    ours, theirs = nib.load(mask), nib.load(image)
    assert ours.shape == theirs.shape, prepared.output
    np.testing.assert_allclose(ours.affine, theirs.affine, rtol=0, atol=1e-6)
    rows = pd.read_csv(tmp_path / "results" / "volumes.csv")
    assert set(rows["status"]) == {"ok"}
    marked_ml = (np.asarray(ours.dataobj) > 0).sum() * rows["voxel_ml"].iloc[0]
    if task != "hematoma":  # whose slices are uneven
        assert rows["volume_ml"].sum() == pytest.approx(marked_ml, rel=1e-4, abs=1e-6)
    assert list((tmp_path / "results").glob("*.png"))
