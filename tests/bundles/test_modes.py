"""2.5D and 3D: trained on a miniature cohort, run over whole studies, measured on the scan's own grid."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from bundle_runs import FolderOf, quick, run

from sliceweave.pipelines.checkpoints import declared_settings, mode_of
from sliceweave.pipelines.studies import file_stem

TRAINING = {
    "2.5d": {"slab": 3, "epochs": 14},
    "3d": {"block_size": [32, 32, 16], "batch_size": 1, "epochs": 48, "val_interval": 6},  # an epoch is four blocks
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", TRAINING)
@pytest.mark.parametrize("task", ["hematoma", "liver_tumor"])
def test_a_mode_trains_segments_whole_studies_and_measures_what_the_masks_hold(
    task: str, mode: str, cohort: FolderOf, tmp_path: Path
) -> None:
    weights, studies = tmp_path / "training/model.pt", {"dataset_dir": str(cohort(task))}
    small = {**quick(task), **TRAINING[mode]}
    run(task, ["train", mode], {**studies, **small, "output_dir": str(weights.parent)})
    assert mode_of(declared_settings(torch.load(weights, weights_only=True))) == mode

    places = {**studies, **small, "checkpoint": str(weights), "output_dir": str(tmp_path / "results")}
    run(task, ["inference", mode], places)
    table = pd.read_csv(tmp_path / "results/volumes.csv").set_index("study_id")
    assert (table["status"] == "ok").all()
    assert len(table) == 5
    for study, row in table.iterrows():
        mask = nib.load(tmp_path / f"results/{file_stem(str(study))}_mask.nii.gz")
        scan = nib.load(cohort(task) / f"images/{study}.nii.gz")
        assert mask.shape == scan.shape
        np.testing.assert_allclose(mask.affine, scan.affine, atol=1e-4)
        voxel_ml = abs(np.linalg.det(scan.affine[:3, :3])) / 1000
        assert row["volume_ml"] == pytest.approx((np.asarray(mask.dataobj) == 1).sum() * voxel_ml, rel=1e-4)
    assert (table["volume_ml"] > 0).all()

    run(task, ["train", "evaluate", mode], {**places, "output_dir": str(tmp_path / "evaluation")})
    assert pd.read_csv(tmp_path / "evaluation/cases.csv")["dice"].mean() > 0.5
