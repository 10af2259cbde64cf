"""How the tests run bundles: which files, with which narrow network."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from sliceweave.pipelines.bundles import bundle_root, tasks

Overrides = dict[str, Any]
FolderOf = Callable[[str], Path]
Once = Callable[[str, Callable[[Path], object]], Path]  # folder of a name, and what fills it

every_bundle = pytest.mark.parametrize("task", tasks())

NARROW: dict[str, Overrides] = {
    "hematoma": {"widths": [4, 8, 8, 8]},
    "lung_infection": {"widths": [4, 4, 8, 8, 8], "key_pooling": [4, 2, 1, 1]},
    "liver_tumor": {"widths": [4, 8, 8, 8, 8]},
    "knee_cartilage": {"widths": [8, 8, 8, 8, 8]},
    "echo_left_ventricle": {"widths": [8, 8, 8, 8, 8], "attention_levels": [2, 3]},
}
LEARNING: dict[str, Overrides] = {
    "hematoma": {"learning_rate": 0.003, "batch_size": 4},
    "lung_infection": {"learning_rate": 0.02, "batch_size": 4},
    "liver_tumor": {"learning_rate": 0.01, "batch_size": 4},
    "knee_cartilage": {"learning_rate": 0.1, "batch_size": 2},
    "echo_left_ventricle": {"learning_rate": 0.01, "batch_size": 4},
}
AVERAGED: Overrides = {"statistics_batches": 2, "ema_share": 0.3}


def narrow(task: str) -> Overrides:
    """Overrides that make a bundle's network narrow and its images small."""
    return {**NARROW[task], "plane_size": [32, 32], "region": "whole"}


def quick(task: str) -> Overrides:
    """Overrides with which an epoch on a miniature cohort takes half a second, and twelve are enough to learn it."""
    return {**narrow(task), **LEARNING[task], "validation_share": 0.2, "epochs": 2, **AVERAGED}


def config_files(task: str, stages: list[str], root: Path | None = None) -> list[str]:
    """Paths of a bundle's stage files, in the order in which they merge."""
    return [str((root or bundle_root(task)) / "configs" / f"{stage}.yaml") for stage in stages]


def workflow(task: str, stages: list[str], overrides: Overrides, root: Path | None = None) -> ConfigWorkflow:
    """The workflow of stages that merge in order, not yet initialised; inference by torch, which begins sooner."""
    kind = "train"
    if stages[0] == "inference":
        kind, overrides = "infer", {"compile": False, **overrides}
    files, where = config_files(task, stages, root), str(root or bundle_root(task))
    return ConfigWorkflow(config_file=files, workflow_type=kind, bundle_root=where, logging_file=False, **overrides)


def run(task: str, stages: list[str], overrides: Overrides, root: Path | None = None) -> ConfigWorkflow:
    """The workflow after it has run."""
    flow = workflow(task, stages, overrides, root)
    flow.initialize()
    flow.run()
    flow.finalize()
    return flow


def command(task: str, stages: list[str], overrides: Overrides, *launcher: str, last: Path | None = None) -> list[str]:
    """`python -m monai.bundle run` as a user types it, with one more config file if wanted."""
    paths = [*config_files(task, stages), *([str(last)] if last else [])]
    files = ",".join(f"'{path}'" for path in paths)
    options = {"config_file": f"[{files}]", "bundle_root": bundle_root(task), **overrides}
    typed = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", *launcher, "monai.bundle", "run", *typed]


def run_command(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, cwd=folder, timeout=500)
