"""Test-time augmentation in every bundle and mode: the spread of what has a volume."""

from pathlib import Path

import numpy as np
import pytest
import torch
from bundle_runs import FolderOf, Overrides, every_bundle, narrow, run, workflow

from sliceweave.pipelines.bundles import labels_of
from sliceweave.pipelines.tables import read_table

MODES: dict[str, Overrides] = {"2d": {}, "2.5d": {"slab": 3}, "3d": {"block_size": [32, 32, 16]}}


def spreads_of(task: str, mode: str, options: Overrides) -> np.ndarray:
    """(studies, labels) of an augmented run that measures every study."""
    run(task, ["inference", mode], {**options, "tta": True, "pictures": False})
    table = read_table(Path(options["output_dir"]) / "volumes.csv")
    assert set(table["status"]) == {"ok"}
    return table["spread_ml"].to_numpy().reshape(-1, len(labels_of(task)))


def with_random_weights(task: str, mode: str, options: Overrides) -> Overrides:
    torch.manual_seed(0)
    flow = workflow(task, ["inference", mode], options)
    flow.initialize()
    weights = Path(options["output_dir"]) / "model.pt"
    torch.save(flow.parser.get_parsed_content("network_def").state_dict(), weights)
    return {**options, "checkpoint": str(weights)}


@pytest.mark.slow
@every_bundle
def test_every_bundle_has_a_spread_where_it_has_a_volume(
    task: str, cohort: FolderOf, trained: FolderOf, tmp_path: Path
) -> None:
    options = {**narrow(task), "dataset_dir": str(cohort(task)), "output_dir": str(tmp_path)}
    spreads_ml = spreads_of(task, "2d", {**options, "checkpoint": str(trained(task) / "model.pt")})
    if task == "echo_left_ventricle":
        assert np.isnan(spreads_ml).all()
    else:
        assert (spreads_ml >= 0).all()
        assert (spreads_ml.max(axis=0) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["2.5d", "3d"])
@pytest.mark.parametrize("task", ["liver_tumor", "knee_cartilage"])
def test_slabs_and_blocks_have_a_spread(task: str, mode: str, cohort: FolderOf, tmp_path: Path) -> None:
    options = {**narrow(task), **MODES[mode], "dataset_dir": str(cohort(task)), "output_dir": str(tmp_path)}
    spreads_ml = spreads_of(task, mode, with_random_weights(task, mode, options))
    assert np.isfinite(spreads_ml).all()
