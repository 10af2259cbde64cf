"""The commands that each bundle's page prints under "A first run", as a new user types them."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import torch

from sliceweave.pipelines.bundles import bundle_root, labels_of, tasks


def first_run(task: str) -> str:
    """The page's commands, as one script."""
    page = (bundle_root(task) / "docs/README.md").read_text("utf-8")
    section = page.partition("## A first run\n")[2].partition("\n## ")[0]
    return textwrap.dedent("\n".join(line for line in section.splitlines() if line.startswith("    ")))


@pytest.mark.slow
@pytest.mark.parametrize("task", tasks())
def test_the_commands_of_the_page_work_from_any_folder(task: str, tmp_path: Path) -> None:
    commands = first_run(task)
    assert all(
        word in commands
        for word in ("phantom", "prepare", "train.yaml", "evaluate.yaml", "inference.yaml", "ckpt_export")
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    volumes = pd.read_csv(tmp_path / "results/volumes.csv")
    assert set(volumes["status"]) == {"ok"}
    assert sorted(set(volumes["label"])) == sorted(labels_of(task).values())
    assert volumes["study_id"].nunique() == 3
    assert len(list((tmp_path / "results").glob("*_mask.nii.gz"))) == 3
    cases = pd.read_csv(tmp_path / "scores/cases.csv")
    assert cases["study_id"].nunique() == 1  # the test patient
    assert cases["dice"].between(0, 1).all()
    assert (tmp_path / "scores/summary.csv").is_file()
    assert torch.jit.load(tmp_path / "model.ts")
