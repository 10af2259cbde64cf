"""Bundles as a user types them: mistakes are one line, and a training that was killed goes on."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from bundle_runs import NARROW, FolderOf, command, quick, run, run_command

from sliceweave.pipelines.errors import input_error_in

TASK = "hematoma"


def run_inference(cohort: Path, weights: Path, stages: list[str], folder: Path, **more: object) -> str:
    """Standard error of a run that fails as a user's mistake does."""
    places = {"dataset_dir": cohort, "output_dir": folder / "out", "checkpoint": weights}
    done = run_command(command(TASK, stages, {**places, **more}), folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("option", "typed", "words"),
    [
        ("bf16", "maybe", "--bf16 is auto, True or False, got 'maybe'"),
        ("amp", "maybe", "--amp is True or False, got 'maybe'"),
        ("output_dir", "file/out", "cannot use file/out: Not a directory; choose another folder with --output_dir"),
        ("validation_share", "10%", "--validation_share is a number above 0 and at most 1, got '10%'"),
        ("batch_size", 0, "--batch_size is a whole number from 1, got 0"),
        ("epochs", "x", "--epochs is a whole number from 1, got 'x'"),
        ("val_interval", 0, "--val_interval is a whole number from 1, got 0"),
    ],
)
def test_an_option_that_training_cannot_use_is_one_line(
    option: str, typed: object, words: str, cohort: FolderOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    places = {"dataset_dir": str(cohort(TASK)), "output_dir": str(tmp_path / "out")}
    with pytest.raises(Exception, match=r"^") as refused:  # MONAI wraps what a config raises
        run(TASK, ["train"], {**places, **quick(TASK), option: typed})
    assert str(input_error_in(refused.value)) == words
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.slow
def test_a_mistake_ends_the_process_with_one_line_and_status_1(cohort: FolderOf, tmp_path: Path) -> None:
    places = {"dataset_dir": cohort(TASK), "output_dir": tmp_path / "out"}
    done = run_command(command(TASK, ["train"], {**places, **quick(TASK), "val_interval": 3}), tmp_path)
    assert done.returncode == 1
    words = "--val_interval is at most --epochs (2), else no weights are kept; got 3"
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [f"error: {words}"]
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.slow
def test_weights_of_another_mode_are_one_line_and_status_1(cohort: FolderOf, trained: FolderOf, tmp_path: Path) -> None:
    weights = trained(TASK) / "model.pt"
    errors = run_inference(cohort(TASK), weights, ["inference", "3d"], tmp_path)
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert line == (
        f"error: {weights}: weights for mode 2d, but this run is 3d: merge 2d.yaml after the stage's file, "
        "or name other weights with --checkpoint"
    )


@pytest.mark.slow
def test_weights_say_their_widths_and_against_others_what_to_type(
    cohort: FolderOf, trained: FolderOf, tmp_path: Path
) -> None:
    weights = trained(TASK) / "model.pt"
    given = {"dataset_dir": cohort(TASK), "output_dir": tmp_path / "out", "checkpoint": weights}
    typed = given | {"plane_size": "[32, 32]", "region": "whole"}
    errors = run_command(command(TASK, ["inference", "2d"], {**typed, "widths": "[24, 48]"}), tmp_path).stderr
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    widths = json.dumps(NARROW[TASK]["widths"])
    assert line.startswith(f"error: {weights}: not the weights of this SelfAttentionUNet; they were made with ")
    assert f'--widths "{widths}"' in line
    done = run_command(command(TASK, ["inference", "2d"], typed), tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out/volumes.csv").is_file()


@pytest.mark.slow
def test_a_training_that_was_killed_ends_as_one_that_was_not(cohort: FolderOf, tmp_path: Path) -> None:
    def typed(folder: str) -> list[str]:
        places = {"dataset_dir": cohort(TASK), "output_dir": tmp_path / folder, "cache_dir": tmp_path / "cache"}
        return command(TASK, ["train"], {**places, **quick(TASK), "epochs": 8, "resume": True})

    whole = run_command(typed("whole"), tmp_path)
    assert whole.returncode == 0, whole.stderr[-2000:]
    kill_after_epochs(2, typed("killed"), tmp_path / "killed/last.pt")
    resumed = run_command(typed("killed"), tmp_path)
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    states = [torch.load(tmp_path / folder / "last.pt", weights_only=True) for folder in ("whole", "killed")]
    assert states[0]["trainer"]["iteration"] == states[1]["trainer"]["iteration"]
    assert states[0]["validator"] == states[1]["validator"]
    networks = [state["network"] for state in states]
    assert [name for name in networks[0] if not torch.equal(networks[0][name], networks[1][name])] == []


def kill_after_epochs(epochs: int, arguments: list[str], state: Path) -> None:
    """Kills a training once its state says that so many epochs are over, and not all."""
    with subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True) as p:
        while epochs_in(state) < epochs:
            assert p.poll() is None
            time.sleep(0.02)
        os.killpg(p.pid, signal.SIGKILL)
    assert epochs <= epochs_in(state) < 8


def epochs_in(state: Path) -> int:
    if not state.is_file():
        return 0
    trainer = torch.load(state, weights_only=True)["trainer"]
    return trainer["iteration"] // trainer["epoch_length"]
