"""The commands that each bundle's page prints under "A first run", as a new user types them."""

import os
import runpy
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from sliceweave.pipelines.bundles import bundle_root, labels_of, tasks
from sliceweave.pipelines.cli import app

IN_A_SHELL = "hematoma"  # the pages differ in the task's name alone, and each process imports MONAI for seconds


def first_run(task: str) -> str:
    """The page's commands, as one script."""
    page = (bundle_root(task) / "docs/README.md").read_text("utf-8")
    section = page.partition("## A first run\n")[2].partition("\n## ")[0]
    return textwrap.dedent("\n".join(line for line in section.splitlines() if line.startswith("    ")))


def in_a_shell(commands: str, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run, environment = ["bash", "-e", "-c", commands], {**os.environ, "PATH": path}
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def in_this_process(commands: str, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command with the same words, by `sliceweave`'s and MONAI's own entry points."""
    root = str(bundle_root(task))
    lines = (
        commands.replace("\\\n", " ").replace(f"B=$(sliceweave bundle {task})\n", "").replace("$B", root).splitlines()
    )
    for words in map(shlex.split, lines):
        if words[0] == "sliceweave":
            assert CliRunner().invoke(app, words[1:]).exit_code == 0, words
        else:
            assert words[:2] == ["python", "-m"]
            monkeypatch.setattr(sys, "argv", words[2:])
            runpy.run_module(words[2], run_name="__main__")


def test_the_pages_commands_differ_in_the_tasks_name_alone() -> None:
    assert len({first_run(task).replace(task, "TASK") for task in tasks()}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("task", tasks())
def test_the_commands_of_the_page_work_from_any_folder(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = first_run(task)
    assert all(
        word in commands
        for word in ("phantom", "prepare", "train.yaml", "evaluate.yaml", "inference.yaml", "ckpt_export")
    )
    if task == IN_A_SHELL:
        in_a_shell(commands, tmp_path)
    else:
        monkeypatch.chdir(tmp_path)
        in_this_process(commands, task, monkeypatch)
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
