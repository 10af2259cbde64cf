"""Every bundle trains, resumes and is evaluated on a miniature cohort."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bundle_runs import NARROW, FolderOf, every_bundle, quick, run, workflow
from ignite.engine import Engine

from sliceweave.pipelines.bundles import labels_of
from sliceweave.pipelines.checkpoints import declared_settings
from sliceweave.pipelines.columns import CASE_COLUMNS
from sliceweave.pipelines.errors import InputError, input_error_in

LEARNED = 0.7  # Dice of the validation study, best epoch


@every_bundle
def test_training_learns_and_leaves_weights_a_log_and_its_last_state(task: str, trained: FolderOf) -> None:
    folder = trained(task)
    state = torch.load(folder / "last.pt", weights_only=True)
    assert state["validator"]["best_metric"] > LEARNED
    assert state["trainer"]["iteration"] == 12 * state["trainer"]["epoch_length"]
    assert (folder / "model.pt").is_file()
    assert list(folder.glob("events.out.tfevents.*"))


@every_bundle
def test_trained_weights_are_plain_and_say_what_they_were_made_for(task: str, trained: FolderOf) -> None:
    state = torch.load(trained(task) / "model.pt", weights_only=True)
    assert all(torch.is_tensor(value) for value in state.values())
    settings = {"spatial_dims": 2, "slab": 1, "plane_size": [32, 32], "region": "whole", **NARROW[task]}
    assert declared_settings(state) == settings


@every_bundle
def test_a_training_that_was_stopped_and_resumed_ends_as_one_that_was_not(
    task: str, cohort: FolderOf, trained: FolderOf, tmp_path: Path
) -> None:
    places = {"dataset_dir": str(cohort(task)), "output_dir": str(tmp_path), **quick(task)}
    run(task, ["train"], {**places, "epochs": 5})
    stopped = torch.load(tmp_path / "last.pt", weights_only=True)
    run(task, ["train"], {**places, "epochs": 12, "resume": True})
    resumed = torch.load(tmp_path / "last.pt", weights_only=True)
    whole = torch.load(trained(task) / "last.pt", weights_only=True)
    assert stopped["trainer"]["iteration"] == 5 * stopped["trainer"]["epoch_length"]
    assert resumed["trainer"]["iteration"] == whole["trainer"]["iteration"]
    assert resumed["validator"]["best_metric"] == whole["validator"]["best_metric"]
    assert resumed["lr_scheduler"]["last_epoch"] == whole["lr_scheduler"]["last_epoch"] == 12
    assert_same(resumed["network"], whole["network"])
    weights = [torch.load(folder / "model.pt", weights_only=True) for folder in (tmp_path, trained(task))]
    assert_same(*weights)


@every_bundle
def test_a_training_can_start_from_weights(task: str, cohort: FolderOf, trained: FolderOf) -> None:
    weights = trained(task) / "model.pt"
    flow = workflow(task, ["train"], {"dataset_dir": str(cohort(task)), **quick(task), "start_from": str(weights)})
    assert_same(flow.parser.get_parsed_content("network").state_dict(), torch.load(weights, weights_only=True))


def test_weights_to_start_from_that_do_not_fit_are_one_clear_line(cohort: FolderOf, trained: FolderOf) -> None:
    weights = trained("hematoma") / "model.pt"
    options = {**quick("liver_tumor"), "dataset_dir": str(cohort("liver_tumor")), "start_from": str(weights)}
    with pytest.raises(RuntimeError) as caught:
        workflow("liver_tumor", ["train"], options).parser.get_parsed_content("network")
    complaint = input_error_in(caught.value)
    assert complaint is not None
    assert "model.pt: not the weights of this RAUNet" in str(complaint)


def test_a_resumed_training_keeps_to_the_options_it_began_with(
    cohort: FolderOf, trained: FolderOf, tmp_path: Path
) -> None:
    shutil.copy(trained("hematoma") / "last.pt", tmp_path)
    places = {"dataset_dir": str(cohort("hematoma")), "output_dir": str(tmp_path), **quick("hematoma"), "epochs": 14}
    with pytest.raises((InputError, RuntimeError)) as caught:
        run("hematoma", ["train"], {**places, "resume": True, "batch_size": 2, "plane_size": [48, 48]})
    meant = str(input_error_in(caught.value))
    assert "plane_size was [32, 32], is [48, 48], batch_size was 4, is 2, steps in an epoch was" in meant


@every_bundle
def test_healthy_validation_studies_count_and_a_false_alarm_is_zero(task: str) -> None:
    (name, metric), *others = workflow(task, ["train"], {}).parser.get_parsed_content("validate::key_metric").items()
    empty = torch.zeros(1, 6, 5, 4)
    marked, alarm = empty.clone(), empty.clone()
    marked[:, 1:3], alarm[:, 2, 2, 2] = 1, 1
    engine = Engine(lambda _, pair: [dict(zip(("pred", "label"), pair, strict=True))])
    metric.attach(engine, name)
    engine.run([(empty, empty), (alarm, empty), (marked, marked)])
    assert (name, others) == ("val_mean_dice", [])
    second = [1, 1, 1] if len(labels_of(task)) == 2 else []  # of a class that is nowhere
    assert engine.state.metrics[name] == pytest.approx(np.mean([1, 0, 1, *second]))


def test_mixed_precision_may_be_declined_in_text(cohort: FolderOf, tmp_path: Path) -> None:
    places = {"dataset_dir": str(cohort("hematoma")), "output_dir": str(tmp_path), **quick("hematoma")}
    flow = workflow("hematoma", ["train"], {**places, "amp": "false"})
    flow.initialize()
    assert flow.trainer.amp is False
    assert flow.evaluator.amp is False


def assert_same(states: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> None:
    assert states.keys() == others.keys()
    assert [name for name in states if not torch.equal(states[name], others[name])] == []


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, cohort: FolderOf, trained: FolderOf) -> FolderOf:
    """Output folder of an evaluation of the trained weights on the cohort they have learned."""
    done: dict[str, Path] = {}

    def evaluate(task: str) -> Path:
        if task not in done:
            done[task] = tmp_path_factory.mktemp(f"{task}-evaluation")
            places = {"dataset_dir": str(cohort(task)), "output_dir": str(done[task])}
            options = {**places, **quick(task), "slab": 1, "checkpoint": str(trained(task) / "model.pt")}
            run(task, ["train", "evaluate"], options)
        return done[task]

    return evaluate


@every_bundle
def test_evaluation_scores_each_label_of_each_study(task: str, cohort: FolderOf, evaluated: FolderOf) -> None:
    cases = pd.read_csv(evaluated(task) / "cases.csv")
    studies = sorted(path.name.removesuffix(".nii.gz") for path in (cohort(task) / "images").iterdir())
    assert tuple(cases.columns) == CASE_COLUMNS
    assert sorted(cases["study_id"].unique()) == studies
    assert set(zip(cases["study_id"], cases["label"], strict=True)) == {
        (study, label) for study in studies for label in labels_of(task).values()
    }
    assert not (evaluated(task) / "failed.csv").exists()


@every_bundle
def test_evaluation_agrees_with_what_the_network_has_learned(task: str, evaluated: FolderOf) -> None:
    cases = pd.read_csv(evaluated(task) / "cases.csv")
    assert cases["dice"].mean() > LEARNED
    np.testing.assert_allclose(cases["dice"], 2 * cases["iou"] / (1 + cases["iou"]), atol=2e-4)
    assert cases[["dice", "iou", "precision", "recall", "accuracy"]].stack().between(0, 1).all()
    np.testing.assert_allclose(cases["abs_rvd"], cases["rvd"].abs(), atol=1e-9)
    measured = cases.dropna(subset=["hd_mm"])
    assert len(measured) == len(cases)
    assert (measured["hd95_mm"] <= measured["hd_mm"]).all()
    assert (measured["hd_mm"] < 300).all()  # within the body
    assert cases["volume_error_ml"].isna().all() == (task == "echo_left_ventricle")


@every_bundle
def test_the_summary_is_of_the_cases(task: str, evaluated: FolderOf) -> None:
    cases = pd.read_csv(evaluated(task) / "cases.csv")
    summary = pd.read_csv(evaluated(task) / "summary.csv")
    for label in labels_of(task).values():
        (row,) = summary[(summary["label"] == label) & (summary["metric"] == "dice")].to_dict("records")
        assert row["mean"] == pytest.approx(cases[cases["label"] == label]["dice"].mean(), abs=1e-4)


@pytest.mark.parametrize("stages", [["inference", "2.5d"], ["train", "evaluate", "2.5d"]], ids=" ".join)
def test_weights_of_another_mode_are_refused_in_one_line(
    stages: list[str], cohort: FolderOf, trained: FolderOf, tmp_path: Path
) -> None:
    task = "liver_tumor"
    message = refusal(task, stages, {**quick(task)}, cohort(task), trained(task) / "model.pt", tmp_path)
    assert "weights for mode 2d, but this run is 2.5d: merge 2d.yaml after the stage's file" in message


def test_weights_of_other_widths_are_refused_with_what_to_pass(
    cohort: FolderOf, trained: FolderOf, tmp_path: Path
) -> None:
    task = "lung_infection"
    given = {"slab": 1, "widths": [2 * width for width in NARROW[task]["widths"]]}
    message = refusal(task, ["inference"], given, cohort(task), trained(task) / "model.pt", tmp_path)
    assert f'they were made with --widths "{NARROW[task]["widths"]}"' in message
    assert '--plane_size "[32, 32]"' in message


def refusal(
    task: str, stages: list[str], overrides: dict[str, object], cohort: Path, weights: Path, folder: Path
) -> str:
    places = {"dataset_dir": str(cohort), "output_dir": str(folder), "checkpoint": str(weights)}
    with pytest.raises((InputError, RuntimeError)) as caught:
        run(task, stages, {**places, **overrides})
    meant = input_error_in(caught.value)
    assert meant is not None
    assert "\n" not in str(meant)
    assert str(weights) in str(meant)
    assert not list(folder.glob("*_mask.nii.gz"))
    return str(meant)
