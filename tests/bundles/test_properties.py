"""MONAI's workflow properties: what a program that drives a bundle expects to find in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from bundle_runs import FolderOf, every_bundle, quick, workflow
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.engines import SupervisedEvaluator, SupervisedTrainer

from sliceweave.pipelines.bundles import labels_of
from sliceweave.pipelines.checkpoints import declare, mode_of, save_atomically
from sliceweave.pipelines.errors import InputError, input_error_in

MODES = ("2d", "2.5d", "3d")
BLOCKS = {"block_size": [32, 32, 16]}


def initialized(flow: ConfigWorkflow) -> ConfigWorkflow:
    flow.initialize()
    return flow


def overrides_for(task: str, cohort: FolderOf, folder: Path) -> dict[str, object]:
    return {"dataset_dir": str(cohort(task)), "output_dir": str(folder / "out"), **quick(task), **BLOCKS}


def write_fresh_weights(flow: ConfigWorkflow, path: Path) -> None:
    """Weights of the workflow's network as chance made them."""
    network, settings = (flow.parser.get_parsed_content(name) for name in ("network_def", "network_settings"))
    save_atomically(declare(network.state_dict(), settings), path)


@pytest.mark.parametrize("mode", MODES)
@every_bundle
def test_inference_has_monais_properties_in_every_mode_and_makes_nothing_before_it_runs(
    task: str, mode: str, cohort: FolderOf, tmp_path: Path
) -> None:
    places = {**overrides_for(task, cohort, tmp_path), "checkpoint": str(tmp_path / "weights.pt")}
    flow = workflow(task, ["inference", mode], places)
    write_fresh_weights(flow, tmp_path / "weights.pt")
    initialized(flow)
    assert flow.check_properties() == []
    assert isinstance(flow.evaluator, SupervisedEvaluator)
    assert mode_of(flow.parser.get_parsed_content("network_settings")) == mode
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mode", MODES)
@every_bundle
def test_training_has_monais_properties_in_every_mode(task: str, mode: str, cohort: FolderOf, tmp_path: Path) -> None:
    flow = initialized(workflow(task, ["train", mode], overrides_for(task, cohort, tmp_path)))
    assert flow.check_properties() == []
    assert isinstance(flow.trainer, SupervisedTrainer)
    assert isinstance(flow.evaluator, SupervisedEvaluator)
    assert mode_of(flow.parser.get_parsed_content("network_settings")) == mode
    assert flow.max_epochs == 2


@pytest.mark.parametrize("mode", MODES)
@every_bundle
def test_evaluation_has_monais_properties_in_every_mode(task: str, mode: str, cohort: FolderOf, tmp_path: Path) -> None:
    places = {**overrides_for(task, cohort, tmp_path), "checkpoint": str(tmp_path / "weights.pt")}
    flow = workflow(task, ["train", "evaluate", mode], places)
    write_fresh_weights(flow, tmp_path / "weights.pt")
    initialized(flow)
    assert flow.check_properties() == []
    assert isinstance(flow.evaluator, SupervisedEvaluator)
    assert mode_of(flow.parser.get_parsed_content("network_settings")) == mode


@pytest.fixture
def process_group(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What torchrun tells a process that is the only one."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@every_bundle
def test_training_on_several_devices_has_monais_properties(task: str, cohort: FolderOf, tmp_path: Path) -> None:
    flow = initialized(workflow(task, ["train", "multi_gpu"], overrides_for(task, cohort, tmp_path)))
    assert flow.check_properties() == []
    assert isinstance(flow.trainer.network, torch.nn.parallel.DistributedDataParallel)
    flow.finalize()
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("stages", [["inference", "3d"], ["train", "compact", "3d"]], ids=" ".join)
@every_bundle
def test_blocks_are_no_larger_than_the_plane_and_weights_say_how_large(task: str, stages: list[str]) -> None:
    parser = workflow(task, stages, {}).parser
    plane, block = parser["plane_size"], parser["block_size"]
    assert all(side <= whole for side, whole in zip(block, plane, strict=False))
    assert parser.get_parsed_content("network_settings")["block_size"] == block
    inferer = parser.get_parsed_content("inferer")
    assert (inferer.roi_size, inferer.progress) == (block, False)  # a bar for each study would fill a log


@every_bundle
def test_another_block_makes_another_model_version(task: str, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    versions = {
        workflow(task, ["inference", "3d"], {"checkpoint": str(weights), "block_size": [64, 64, depth]})
        .parser.get_parsed_content("model")
        .version
        for depth in (8, 16)
    }
    assert len(versions) == 2


@pytest.mark.parametrize("stages", [["inference"], ["train", "evaluate"]], ids=" ".join)
@every_bundle
def test_a_threshold_is_taken_where_there_is_one_and_refused_where_the_likeliest_class_wins(
    task: str, stages: list[str]
) -> None:
    classes = len(labels_of(task)) + 1
    assert (workflow(task, stages, {}).parser.get_parsed_content("threshold") is None) == (classes > 2)
    flow = workflow(task, stages, {"threshold": 0.3})
    if classes > 2:
        with pytest.raises((InputError, RuntimeError)) as caught:
            flow.parser.get_parsed_content("decision")
        assert "--threshold means nothing in this task" in str(input_error_in(caught.value))
    else:
        decided = flow.parser.get_parsed_content("decision")({"pred": torch.tensor([[0.2, 0.4]])})["pred"]
        assert decided.tolist() == [[0, 1]]


@every_bundle
def test_the_compact_overlay_trains_the_network_that_inference_and_evaluation_expect(task: str) -> None:
    settings = [
        workflow(task, stages, {}).parser.get_parsed_content("network_settings")
        for stages in (["train", "compact"], ["train", "evaluate"], ["inference"])
    ]
    assert settings[0] == settings[1] == settings[2]
    assert settings[0]["spatial_dims"] == 2
    parser = ConfigParser({"widths": settings[0]["widths"]})
    assert len(parser["widths"]) in (4, 5)
