"""The order of things in a comparison, its failures and its tables; the trainings themselves are played."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from filelock import FileLock

from sliceweave.networks import RAUNet
from sliceweave.pipelines.columns import CASE_COLUMNS, SUMMARY_COLUMNS
from sliceweave.pipelines.comparison import Comparison, compare
from sliceweave.pipelines.comparison_conditions import Conditions
from sliceweave.pipelines.comparison_run import TrainingRun
from sliceweave.pipelines.comparison_split import split_studies
from sliceweave.pipelines.comparison_table import write_tables
from sliceweave.pipelines.contenders import contenders
from sliceweave.pipelines.errors import InputError

METRICS = ("abs_rvd", "dice", "iou", "volume_rmse_ml", "abs_volume_error_ml")
SUCCEED = "import sys"
FAIL = "import sys; print('Traceback'); print('error: the loss is not a number'); sys.exit(1)"
CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


class Stage:
    """Plays the trainings: what each process does, and which were started."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.plays: dict[str, str] = {}

    def start(self, run: TrainingRun) -> "subprocess.Popen[bytes]":
        name = "/".join(run.folder.parts[-2:])
        self.started.append(name)
        play = self.plays.get(name, SUCCEED)
        if play == SUCCEED:
            write_scores(run, offset=len(self.started) / 100)
        with run.log.open("ab") as log:
            return subprocess.Popen([sys.executable, "-c", play], stdin=subprocess.PIPE, stdout=log, stderr=log)


def write_scores(run: TrainingRun, offset: float) -> None:
    """Scores as the bundle writes them: metric number n has the mean 0.5 + n / 10 + offset."""
    for folder in (run.scores, run.weights.parent):
        folder.mkdir(parents=True, exist_ok=True)
    run.weights.touch()
    rows = pd.DataFrame({"label": "hematoma", "metric": METRICS, "mean": 0.5 + np.arange(len(METRICS)) / 10 + offset})
    rows.reindex(columns=list(SUMMARY_COLUMNS)).assign(cases=1).to_csv(run.scores / "summary.csv", index=False)
    case = ["007", "hematoma", *(offset for _ in CASE_COLUMNS[2:])]
    pd.DataFrame([case], columns=CASE_COLUMNS).to_csv(run.scores / "cases.csv", index=False)
    for stage in ("training", "evaluation"):
        run.finish(stage)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    played = Stage()
    monkeypatch.setattr(TrainingRun, "start", lambda run: played.start(run))
    return played


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    for kind in ("images", "labels"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for number in range(5):
            voxels = np.zeros((4, 4, 3), np.uint8)
            nib.save(nib.Nifti1Image(voxels, np.diag([2, 2, 5, 1])), tmp_path / f"data/{kind}/s{number}.nii.gz")
    return Comparison(
        Conditions("hematoma", True, {"plane_size": [32, 32]}, epochs=2, width_share=1 / 16),
        contenders("hematoma", "UNet,SelfAttentionUNet"),
        (0, 1),
        str(tmp_path / "data"),
        split_studies(str(tmp_path / "data")),
        tmp_path / "out",
    )


UNET, OURS = "hematoma-unet", "hematoma-self_attention_unet"


def test_every_network_is_trained_with_every_seed_and_a_rerun_starts_none(comparison: Comparison, stage: Stage) -> None:
    outcomes = compare(comparison)
    assert stage.started == [f"{UNET}/seed0", f"{OURS}/seed0", f"{UNET}/seed1", f"{OURS}/seed1"]
    assert [sorted(outcome.finished) for outcome in outcomes] == [[0, 1], [0, 1]]
    text = write_tables(comparison, outcomes)
    again = compare(comparison)
    assert len(stage.started) == 4
    assert write_tables(comparison, again) == text


def test_networks_and_seeds_can_be_added_and_only_these_are_trained(comparison: Comparison, stage: Stage) -> None:
    compare(comparison)
    compare(replace(comparison, seeds=(0, 5), contenders=contenders("hematoma", "UNet,segnet")))
    assert stage.started[4:] == ["hematoma-segnet/seed0", f"{UNET}/seed5", "hematoma-segnet/seed5"]


def test_networks_of_earlier_calls_stay_in_the_tables_with_the_seeds_asked_for(
    comparison: Comparison, stage: Stage
) -> None:
    compare(comparison)
    alone = replace(comparison, contenders=contenders("hematoma", "segnet"), seeds=(1,))
    outcomes = compare(alone)
    assert stage.started[4:] == ["hematoma-segnet/seed1"]
    write_tables(alone, outcomes)
    cases = pd.read_csv(comparison.out / "cases.csv")
    assert sorted(zip(cases.network, cases.seed, strict=True)) == [
        ("hematoma/segnet", 1),
        ("hematoma/self_attention_unet", 1),
        ("hematoma/unet", 1),
    ]


def test_a_study_that_cannot_be_used_is_told_before_anything_is_trained(comparison: Comparison, stage: Stage) -> None:
    label = Path(comparison.split["test"][0]["label"])
    good = label.read_bytes()
    nib.save(nib.Nifti1Image(np.full((4, 4, 3), 7, np.uint8), np.diag([2, 2, 5, 1])), label)
    with pytest.raises(InputError, match=r"1 of 5 studies cannot be used, the first is s\d: .*holds the values \[7"):
        compare(comparison)
    assert stage.started == []
    label.write_bytes(good)
    assert len(compare(comparison)) == 2


def test_a_damaged_state_of_a_training_has_no_epochs_done(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path)
    run.last_state.parent.mkdir()
    run.last_state.write_bytes(b"PK damaged")
    assert run.epochs_done() == 0


def test_scores_that_were_deleted_are_made_again(comparison: Comparison, stage: Stage) -> None:
    compare(comparison)
    (comparison.out / f"runs/{OURS}/seed1/scores/summary.csv").unlink()
    compare(comparison)
    assert stage.started[4:] == [f"{OURS}/seed1"]


def test_a_network_that_fails_is_told_with_its_reason_and_the_others_go_on(
    comparison: Comparison, stage: Stage
) -> None:
    stage.plays = {f"{UNET}/seed0": FAIL, f"{UNET}/seed1": CRASH}
    unet, ours = outcomes = compare(comparison)
    assert unet.failed == {
        0: "the loss is not a number",
        1: "ended by signal 9, perhaps for want of memory",
    }
    assert sorted(ours.finished) == [0, 1]
    text = write_tables(comparison, outcomes)
    log = comparison.out / f"runs/{UNET}/seed0/run.log"
    assert f"- hematoma/unet, seed 0, failed: the loss is not a number ({log})" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| U-Net")][:1]
    assert "0 of 2" in row
    assert row.count("failed") == 3
    assert "0.208" in row


def test_what_failed_is_tried_again(comparison: Comparison, stage: Stage) -> None:
    stage.plays = {f"{UNET}/seed1": FAIL}
    assert compare(comparison)[0].failed
    stage.plays = {}
    unet = compare(comparison)[0]
    assert stage.started[4:] == [f"{UNET}/seed1"]
    assert (sorted(unet.finished), unet.failed) == ([0, 1], {})


def test_other_epochs_are_refused_before_anything_is_trained(comparison: Comparison, stage: Stage) -> None:
    compare(comparison)
    with pytest.raises(InputError, match="configuration::epochs was 2, is 3; repeat those, or name another --out"):
        compare(replace(comparison, conditions=replace(comparison.conditions, epochs=3)))
    assert len(stage.started) == 4


def test_a_study_that_changed_is_named(comparison: Comparison, stage: Stage) -> None:
    compare(comparison)
    (Path(comparison.data) / "labels/s2.nii.gz").write_bytes(b"other")
    with pytest.raises(InputError, match=r"studies::\w+::s2 was "):
        compare(comparison)
    assert len(stage.started) == 4


def test_two_comparisons_never_share_a_folder_at_a_time(comparison: Comparison, stage: Stage) -> None:
    comparison.out.mkdir()
    lock = FileLock(comparison.out / "lock")
    with lock, pytest.raises(InputError, match="another comparison is running there"):
        compare(comparison)
    assert stage.started == []
    compare(comparison)
    with lock.acquire(timeout=0):
        assert len(stage.started) == 4


def test_a_network_that_cannot_be_built_stops_all_before_anything_is_trained(
    comparison: Comparison, stage: Stage
) -> None:
    with pytest.raises(InputError, match="u2net_lite has no widths"):
        compare(replace(comparison, contenders=contenders("hematoma", "UNet,comparator/u2net_lite")))
    assert stage.started == []
    assert not comparison.out.exists()


@pytest.mark.usefixtures("stage")
def test_configs_of_two_networks_differ_in_network_widths_and_places_alone(comparison: Comparison) -> None:
    compare(comparison)
    for name, differing in {
        "training.yaml": {"widths", "network_def", "output_dir"},
        "evaluation.yaml": {"widths", "network_def", "output_dir", "checkpoint"},
    }.items():
        first, second = (
            yaml.safe_load((comparison.out / f"runs/{network}/seed1/{name}").read_text()) for network in (UNET, OURS)
        )
        assert {key for key in first if first[key] != second[key]} == differing
        assert first["seed"] == 1


@pytest.mark.usefixtures("stage")
def test_the_table_has_means_over_seeds_beside_the_printed_numbers(comparison: Comparison) -> None:
    outcomes = compare(comparison)
    text = write_tables(comparison, outcomes)
    assert (comparison.out / "table.md").read_text("utf-8") == text
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("## ")] == [
        "## Table 1: segmentation",
        "## Table 2: bleeding volume",
        "## Table 7: ablation",
    ]
    (row,) = [line for line in lines if "Rvd ours" in line][:1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("row", "network", "parameters", "seeds"),
        *("Rvd ours", "Rvd paper", "Dice ours", "Dice paper", "IOU ours", "IOU paper"),
    ]
    # the U-Net was started first and third: offsets 0.01 and 0.03, whose deviation is 0.02 / √2
    (row,) = [line for line in lines if line.startswith("| U-Net")][:1]
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        *("U-Net", "hematoma/unet", "122,461", "2"),
        *("0.520 ± 0.014", "0.208", "0.620 ± 0.014", "0.833", "0.720 ± 0.014", "0.747"),
    ]
    assert len({len(line) for line in lines[lines.index("## Table 1: segmentation") + 2 :][:4]}) == 1
    origin = [line for line in lines if line.startswith("- ours: /")]
    assert "5 studies (3 to train, 1 to validate, 1 to test); epochs 2; seeds 0, 1; widths × 0.0625" in origin[0]
    assert comparison.data in origin[0]
    assert any(line.startswith("- paper: its own data (Li, Yu, Hu, Ke, Yu: ") for line in lines)


@pytest.mark.usefixtures("stage")
def test_the_csv_has_the_same_numbers(comparison: Comparison) -> None:
    write_tables(comparison, compare(comparison))
    table = pd.read_csv(comparison.out / "table.csv")
    assert len(table) == 2 * 3 + 2 * 2 + 1 * 3
    (dice,) = table[(table.table == 1) & (table.metric == "dice") & (table.network == "hematoma/unet")].itertuples()
    assert (dice.paper, dice.seeds, dice.parameters, dice.label) == (0.833, 2, 122_461, "hematoma")
    assert dice.ours_mean == pytest.approx(np.mean([0.61, 0.63]))
    assert dice.ours_sd == pytest.approx(np.std([0.61, 0.63], ddof=1), rel=1e-5)
    cases = pd.read_csv(comparison.out / "cases.csv", dtype={"study_id": str})
    assert list(cases.network) == ["hematoma/unet"] * 2 + ["hematoma/self_attention_unet"] * 2
    assert list(cases.seed) == [0, 1, 0, 1]
    assert set(cases.study_id) == {"007"}
    assert list(cases.dice) == [0.01, 0.03, 0.02, 0.04]


@pytest.mark.usefixtures("stage")
def test_one_seed_has_no_deviation(comparison: Comparison) -> None:
    one = replace(comparison, seeds=(0,))
    text = write_tables(one, compare(one))
    (row,) = [line for line in text.splitlines() if line.startswith("| U-Net")][:1]
    assert " 0.510 " in row
    assert "±" not in row


@pytest.mark.usefixtures("stage")
def test_a_network_of_no_row_stands_in_every_table_without_printed_numbers(comparison: Comparison) -> None:
    strangers = replace(comparison, seeds=(0,), contenders=contenders("hematoma", "UNet,SelfAttentionUNet[CA]"))
    text = write_tables(strangers, compare(strangers))
    rows = [line for line in text.splitlines() if "self_attention_unet[CA]" in line]
    assert len(rows) == 2  # of the tables in which U-Net stands
    assert all(line.startswith("| –") for line in rows)
    alone = replace(strangers, contenders=contenders("hematoma", "lung_infection/lg_net"), out=comparison.out / "alone")
    text = write_tables(alone, compare(alone))
    assert [line[:11] for line in text.splitlines() if line.startswith("## ")] == [
        "## Table 1:",
        "## Table 2:",
        "## Table 7:",
    ]


def test_a_study_that_could_not_be_scored_is_the_reason(tmp_path: Path) -> None:
    run = TrainingRun(tmp_path)
    run.scores.mkdir()
    (run.scores / "failed.csv").write_text("study_id,reason\n007,truncated file\n008,no spacing\n")
    run.log.touch()
    assert run.reason(1) == "2 studies could not be scored, the first is 007: truncated file"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("warning\nerror: no such device\nlast line\n", "no such device"),
        ("Traceback (most recent call last):\n  File\nValueError: 3 is not 4\n\n", "ValueError: 3 is not 4"),
        ("", "ended with status 3"),
    ],
)
def test_the_reason_is_the_line_for_the_user_or_the_logs_last(log: str, reason: str, tmp_path: Path) -> None:
    run = TrainingRun(tmp_path)
    run.log.write_text(log)
    assert run.reason(3) == reason


@pytest.mark.usefixtures("stage")
def test_parameters_that_a_paper_prints_stand_beside_ours(comparison: Comparison) -> None:
    conditions = replace(comparison.conditions, task="liver_tumor")
    liver = replace(comparison, conditions=conditions, contenders=contenders("liver_tumor", "RAUNet"), seeds=(0,))
    count = sum(weights.numel() for weights in RAUNet(2, 3, 1, widths=[4, 8, 16, 32, 64]).parameters())
    assert f" {count:,} (paper 7.29 M) " in write_tables(liver, compare(liver))
