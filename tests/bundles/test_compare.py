"""`sliceweave compare` as a user types it: real trainings of tiny networks, killed midway and taken up again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bundle_runs import FolderOf

CODE = "from sliceweave.pipelines.cli import main; main()"
SMALL = ["--compact", "--width-share", "0.0625", "--set", "plane_size=[32,32]", "--set", "learning_rate=0.01"]
EPOCHS = 3


def typed(cohort: Path, out: Path, *more: str, networks: str = "UNet,SelfAttentionUNet") -> list[str]:
    """The command line of a small comparison; what comes later on it replaces what came before."""
    places = ["--data", str(cohort), "--out", str(out), "--networks", networks]
    return [sys.executable, "-c", CODE, "compare", "hematoma", *places, "--epochs", str(EPOCHS), *SMALL, *more]


def finished(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=500)


def kill_during_an_epoch(arguments: list[str], state: Path) -> None:
    """Kills the command, and only it, once the state of one of its trainings is there."""
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not state.is_file():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)


@pytest.mark.slow
def test_a_comparison_that_was_killed_goes_on_and_prints_the_papers_table(cohort: FolderOf, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first, second = (out / f"runs/hematoma-{name}/seed0" for name in ("unet", "self_attention_unet"))
    command = typed(cohort("hematoma"), out)
    kill_during_an_epoch(command, second / "training/last.pt")
    assert not (out / "table.md").exists()
    assert not (second / "training.finished").exists()
    weights = (first / "training/model.pt").stat()

    done = finished(command)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "1/2 hematoma/unet, seed 0: finished earlier" in done.stderr
    assert "2/2 hematoma/self_attention_unet, seed 0: trained and scored" in done.stderr
    assert done.stdout.strip() == (out / "table.md").read_text("utf-8").strip()
    assert (first / "training/model.pt").stat() == weights
    trainer = torch.load(second / "training/last.pt", weights_only=True)["trainer"]
    assert trainer["iteration"] == EPOCHS * trainer["epoch_length"]

    cases, table = pd.read_csv(out / "cases.csv"), pd.read_csv(out / "table.csv")
    assert len(cases) == 2
    for network, case in cases.groupby("network"):
        mine = table[(table.network == network) & (table.table != 7)].set_index("metric").ours_mean
        expected = {name: case[name].mean() for name in ("abs_rvd", "dice", "iou")}
        expected["volume_rmse_ml"] = np.sqrt((case.volume_error_ml**2).mean())
        expected["abs_volume_error_ml"] = case.volume_error_ml.abs().mean()
        assert dict(mine) == pytest.approx(expected, rel=1e-4)

    refused = finished(typed(cohort("hematoma"), out, "--epochs", str(EPOCHS + 1)))
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].startswith(
        f"error: {out} was begun with other settings: configuration::epochs was 3, is 4; repeat those"
    )


@pytest.mark.slow
def test_a_network_the_bundle_cannot_train_is_a_row_with_a_reason_and_status_1(
    cohort: FolderOf, tmp_path: Path
) -> None:
    done = finished(typed(cohort("hematoma"), tmp_path / "out", "--set", "device=nowhere", networks="UNet"))
    assert done.returncode == 1
    assert done.stdout.count("- hematoma/unet, seed 0, failed: --device nowhere: not to be used here: ") == 1
    assert "Traceback" not in done.stdout + done.stderr


def test_a_training_ends_with_the_command_that_started_it() -> None:
    """The output closes once every process that has it is gone: the parent is killed, the child has to follow."""
    child = (
        "import threading, time; from sliceweave.pipelines.comparison_process import end_with_parent; "
        "threading.Thread(target=end_with_parent, daemon=True).start(); print('ready', flush=True); time.sleep(300)"
    )
    parent = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE); "
        "child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGKILL)
        assert process.stdout.read() == ""


def test_a_network_nobody_knows_is_one_line_and_status_1_and_nothing_is_made(tmp_path: Path) -> None:
    done = finished(typed(tmp_path, tmp_path / "out", networks="UNetr"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: no network of hematoma is called 'UNetr': choose from fcn8s, segnet, unet, ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
