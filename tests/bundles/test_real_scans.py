"""Real scans through each bundle: whatever the weights find, the mask lies on the scan's own grid and is measured."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from bundle_runs import run
from PIL import Image
from typer.testing import CliRunner

from sliceweave.pipelines.cli import app
from sliceweave.transforms.head_hu import grey_window_hu, to_head_hu

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


def grey(hu: np.ndarray) -> np.ndarray:
    return np.rint((np.clip(hu, -20, 100) + 20) * (255 / 120)).astype(np.float32)


def test_the_kind_of_real_heads_is_recognised_from_their_voxels(real_data: Path) -> None:
    for path in sorted(real_data.glob("head_ct/ct_ich/**/*_ct.nii.gz"))[::7]:
        image = nib.load(path)
        hu = np.asarray(image.dataobj, dtype=np.float32)
        assert grey_window_hu(hu, image.affine) is None
        assert grey_window_hu(np.where(hu > 98, 255, np.clip(hu, 0, 255)).astype(np.float32), image.affine) is None
        assert grey_window_hu(grey(hu), image.affine) == (-20.0, 100.0)
        np.testing.assert_allclose(to_head_hu(grey(hu), image.affine), hu, rtol=0, atol=0.24)


def test_the_kind_of_real_slices_with_blood_is_recognised_from_their_voxels(real_data: Path) -> None:
    affine = np.diag([-0.35, -0.35, 5.0, 1.0])
    for path in sorted(real_data.glob("head_ct/ct_ich/labelled/slices/*.jpg")):
        levels = np.asarray(Image.open(path).convert("L"), np.float32).T[..., None]
        hu = levels * (120 / 255) - 20
        assert grey_window_hu(levels, affine) == (-20.0, 100.0)
        assert grey_window_hu(hu, affine) is None
        assert grey_window_hu(np.where(hu > 98, 255, np.clip(hu, 0, 255)).astype(np.float32), affine) is None


@pytest.mark.slow
def test_a_real_head_is_segmented_alike_in_hu_and_in_8_bits(real_data: Path, tmp_path: Path) -> None:
    image = nib.load(real_data / "head_ct/ct_ich/labelled/pt079_ct.nii.gz")
    hu, affine = np.asarray(image.dataobj, dtype=np.float32)[..., 8:14], image.affine
    (tmp_path / "studies").mkdir()
    real = np.where(hu <= -20, -1000, np.where(hu >= 100, 1000, hu)).astype(np.float32)
    for name, voxels in {"real": real, "clipped": hu, "grey": grey(hu)}.items():
        nib.Nifti1Image(voxels, affine).to_filename(tmp_path / "studies" / f"{name}.nii.gz")
    run("hematoma", ["inference"], {"dataset_dir": str(tmp_path / "studies"), "output_dir": str(tmp_path / "results")})
    masks = {
        name: np.asarray(nib.load(tmp_path / "results" / f"{name}_mask.nii.gz").dataobj) > 0
        for name in ("real", "clipped", "grey")
    }
    assert masks["real"].any()
    for name in ("clipped", "grey"):  # bone is told a little otherwise in a window: some voxels at its edge differ
        shared = 2 * (masks[name] & masks["real"]).sum() / (masks[name].sum() + masks["real"].sum())
        assert shared > 0.97, name
