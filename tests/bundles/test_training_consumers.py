"""Programs that train a bundle: MONAI Label's overrides, MONAI's federated client, and experiment tracking."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle_runs import FolderOf, Overrides, every_bundle, quick, run, workflow
from monai.bundle import ConfigParser
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics, ModelType
from monai.fl.utils.exchange_object import ExchangeObject

from sliceweave.pipelines.bundles import labels_of, tasks
from sliceweave.pipelines.checkpoints import declared_settings


def pairs_of(cohort: Path) -> list[dict[str, str]]:
    """Image and label of each study, and nothing else."""
    labels = sorted((cohort / "labels").iterdir())
    return [{"image": str(cohort / "images" / label.name), "label": str(label)} for label in labels]


def label_style_overrides(root: Path, cohort: Path, pretrained: bool) -> Overrides:
    """What MONAI Label sets: its own cases without ids, epochs, device, and the bundle's handlers with one more."""
    parser = ConfigParser()
    parser.read_config(str(root / "configs/train.yaml"))
    handlers = parser.get("train#handlers", [])
    if pretrained:
        path = str(root / "models/model.pt")
        loader = {"_target_": "CheckpointLoader", "load_path": path, "load_dict": {"model": "$@network"}}
        handlers.insert(0, {**loader, "strict": False})
    pairs = pairs_of(cohort)
    return {
        "train#trainer#max_epochs": 2,
        "train#dataset#data": pairs[:-1],
        "validate#dataset#data": pairs[-1:],
        "train#handlers": handlers,
        "device": "cpu",
    }


@pytest.mark.parametrize(("task", "pretrained"), [("hematoma", False), *((task, True) for task in tasks())])
def test_training_as_monai_label_starts_it(
    task: str, pretrained: bool, cohort: FolderOf, own_bundle: FolderOf, tmp_path: Path
) -> None:
    root = own_bundle(task)
    overrides = label_style_overrides(root, cohort(task), pretrained)
    flow = run(task, ["train"], {**overrides, "output_dir": str(tmp_path)}, root)
    assert flow.trainer.state.epoch == 2
    assert len(flow.trainer.state.dataloader.dataset.data) == 4
    score = flow.evaluator.state.best_metric
    assert (score > 0.6) == pretrained  # two epochs alone teach little
    state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert declared_settings(state)["plane_size"] == [32, 32]


@every_bundle
def test_evaluation_takes_cases_without_ids(task: str, cohort: FolderOf, own_bundle: FolderOf, tmp_path: Path) -> None:
    overrides = {"validate#dataset#data": pairs_of(cohort(task))[:2], "output_dir": str(tmp_path)}
    run(task, ["train", "evaluate"], {**overrides, **quick(task)}, own_bundle(task))
    with (tmp_path / "cases.csv").open(newline="") as file:
        assert {row["study_id"] for row in csv.DictReader(file)} == {f"{task}-0", f"{task}-1"}


@pytest.fixture
def client(cohort: FolderOf, own_bundle: FolderOf, tmp_path: Path) -> Any:
    """Makes a federated client of a task's bundle: `train` trains, `evaluate` over `train` evaluates."""

    def initialized(task: str) -> MonaiAlgo:
        root, places = own_bundle(task), {"dataset_dir": str(cohort(task)), **quick(task)}
        algorithm = MonaiAlgo(
            bundle_root=root.name,
            local_epochs=1,
            send_weight_diff=False,
            config_train_filename="configs/train.yaml",
            train_kwargs={**places, "output_dir": str(tmp_path / "train")},
            config_evaluate_filename=["configs/train.yaml", "configs/evaluate.yaml"],
            eval_kwargs={**places, "output_dir": str(tmp_path / "evaluate")},
        )
        algorithm.initialize({ExtraItems.CLIENT_NAME: "site", ExtraItems.APP_ROOT: str(root.parent)})
        return algorithm

    return initialized


@every_bundle
def test_a_federated_client_evaluates_trains_and_hands_its_weights_over(
    task: str, client: Any, own_bundle: FolderOf
) -> None:
    algorithm = client(task)
    shipped = torch.load(own_bundle(task) / "models/model.pt", weights_only=True)
    data = ExchangeObject(weights={name: weights.clone() for name, weights in shipped.items()})

    metrics = algorithm.evaluate(data).metrics
    assert metrics is not None
    dice = [value for name, value in metrics.items() if name.endswith("_dice")]
    assert len(dice) >= len(labels_of(task))
    assert min(dice) > 0.5

    for rounds in (1, 2):
        algorithm.train(data)
        update = algorithm.get_weights()
        assert algorithm.trainer.state.epoch == rounds
        assert update.weights.keys() == shipped.keys()
        assert update.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] == algorithm.trainer.state.epoch_length
        data = ExchangeObject(weights={name: weights.clone() for name, weights in update.weights.items()})  # as sent
    assert any(not torch.equal(update.weights[name], shipped[name]) for name in shipped)
    best = algorithm.get_weights({ExtraItems.MODEL_TYPE: ModelType.BEST_MODEL}).weights
    assert all(torch.equal(best[name], shipped[name]) for name in shipped)
    algorithm.finalize()


def test_training_is_tracked_in_a_local_database(
    cohort: FolderOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install sliceweave[tracking]")
    pytest.importorskip("sqlalchemy", reason="pip install sliceweave[tracking]")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    task = "hematoma"
    places = {"dataset_dir": str(cohort(task)), "output_dir": str(tmp_path), "experiment_name": "bleeding"}
    flow = workflow(task, ["train"], {**places, **quick(task), "tracking": "mlflow"})
    flow.initialize()
    assert flow.check_properties() == []
    flow.run()
    flow.finalize()
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlruns.db'}")
    experiment = client.get_experiment_by_name("bleeding")
    (tracked,) = client.search_runs(experiment.experiment_id)
    losses = client.get_metric_history(tracked.info.run_id, "train_loss")
    scores = client.get_metric_history(tracked.info.run_id, "val_mean_dice")
    assert len(losses) == flow.trainer.state.iteration
    assert losses[-1].value == pytest.approx(flow.trainer.state.output[0]["loss"])
    assert scores[-1].value == pytest.approx(flow.evaluator.state.metrics["val_mean_dice"])
    assert tracked.info.status == "FINISHED"
    assert len(list(tmp_path.glob("config_*.json"))) == 1


def test_evaluation_is_tracked_too(
    cohort: FolderOf, own_bundle: FolderOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install sliceweave[tracking]")
    pytest.importorskip("sqlalchemy", reason="pip install sliceweave[tracking]")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    task = "knee_cartilage"
    places = {"dataset_dir": str(cohort(task)), "output_dir": str(tmp_path), **quick(task)}
    flow = run(task, ["train", "evaluate"], {**places, "tracking": "mlflow"}, own_bundle(task))
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlruns.db'}")
    (tracked,) = client.search_runs(client.get_experiment_by_name("monai_experiment").experiment_id)
    for name in ("femoral_cartilage_dice", "tibial_cartilage_dice"):
        assert tracked.data.metrics[name] == pytest.approx(flow.evaluator.state.metrics[name])
