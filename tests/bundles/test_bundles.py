"""What every bundle must do for MONAI and the programs that read MONAI bundles."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out
from monai.transforms import Compose, LoadImage

from sliceweave.pipelines.bundles import bundle_root, rendered, stage_files, stale, tasks
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_grid import PhantomOptions

SCHEMA = Path(
    os.environ.get("SLICEWEAVE_SCHEMA", Path(__file__).parents[3] / "shared/schema/meta_schema_20240725.json")
)
REQUIRED_KEYS = {
    "schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version", "required_packages_version",
    "task", "description", "authors", "copyright", "network_data_format",
}  # fmt: skip
TENSOR_KEYS = {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"}

every_bundle = pytest.mark.parametrize("task", tasks())


def metadata_of(task: str) -> dict:
    return json.loads((bundle_root(task) / "configs/metadata.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies")
    write_phantoms(
        "hematoma", folder, studies=3, seed=5, options=PhantomOptions(size=64, slices=6, spacing_mm=(3.6, 3.6, 26))
    )
    return folder


@pytest.fixture
def quick() -> dict[str, object]:
    """Overrides that make a bundle small: thin, little images."""
    return {"widths": [4, 4, 4, 8], "plane_size": [32, 32]}


@every_bundle
def test_stage_files_are_what_the_sources_say(task: str) -> None:
    assert stale(task) == []


@every_bundle
def test_stage_files_say_where_they_come_from_and_are_complete(task: str) -> None:
    for path in stage_files(task):
        text = path.read_text("utf-8")
        assert text.startswith(f"# Rendered by `sliceweave render` from bundles/shared and bundles/{task}/task.yaml")
        assert yaml.safe_load(text) == yaml.safe_load(rendered(path))


@every_bundle
def test_metadata_has_the_required_keys(task: str) -> None:
    metadata = metadata_of(task)
    assert metadata.keys() >= REQUIRED_KEYS
    assert metadata["version"] in metadata["changelog"]
    formats = metadata["network_data_format"]
    assert formats["inputs"].keys() == {"image"}
    assert formats["outputs"].keys() == {"pred"}
    for tensor in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        assert tensor.keys() >= TENSOR_KEYS
    assert formats["outputs"]["pred"]["channel_def"]["0"] == "background"
    parser = ConfigParser()
    parser.read_meta(str(bundle_root(task) / "configs/metadata.json"))
    assert parser["_meta_"]["required_packages_version"] == metadata["required_packages_version"]


@every_bundle
@pytest.mark.skipif(not SCHEMA.is_file(), reason="MONAI's metadata schema is not here; name it in SLICEWEAVE_SCHEMA")
def test_metadata_passes_monais_verification(task: str, tmp_path: Path) -> None:
    jsonschema.validate(metadata_of(task), json.loads(SCHEMA.read_text("utf-8")))
    copy = tmp_path / "schema.json"
    copy.write_bytes(SCHEMA.read_bytes())
    verify_metadata(str(bundle_root(task) / "configs/metadata.json"), filepath=str(copy))


@every_bundle
def test_the_network_takes_and_gives_what_the_metadata_say(task: str) -> None:
    root = bundle_root(task)
    verify_net_in_out(
        "network_def", str(root / "configs/metadata.json"), str(root / "configs/inference.yaml"), device="cpu", n=4
    )


@every_bundle
def test_weights_are_small_plain_and_export_to_torchscript(task: str, tmp_path: Path) -> None:
    root, target = bundle_root(task), tmp_path / "model.ts"
    weights = root / "models/model.pt"
    assert weights.stat().st_size <= 8e6
    assert all(torch.is_tensor(value) for value in torch.load(weights, weights_only=True).values())
    ckpt_export(
        "network_def",
        filepath=str(target),
        ckpt_file=str(weights),
        meta_file=str(root / "configs/metadata.json"),
        config_file=str(root / "configs/inference.yaml"),
    )
    assert torch.jit.load(target)(torch.rand(1, 1, 64, 48)).shape == (1, 1, 64, 48)


def workflow(task: str, stages: list[str], kind: str, overrides: dict[str, object]) -> ConfigWorkflow:
    files = [str(bundle_root(task) / "configs" / f"{stage}.yaml") for stage in stages]
    return ConfigWorkflow(config_file=files, workflow_type=kind, bundle_root=str(bundle_root(task)), **overrides)


@every_bundle
def test_inference_has_monais_properties_and_creates_nothing_before_it_runs(
    task: str, studies: Path, tmp_path: Path
) -> None:
    flow = workflow(task, ["inference"], "infer", {"dataset_dir": str(studies), "output_dir": str(tmp_path / "out")})
    flow.initialize()
    assert flow.check_properties() == []
    assert not (tmp_path / "out").exists()
    flow.run()
    flow.finalize()
    assert (tmp_path / "out/volumes.csv").is_file()


@every_bundle
def test_training_has_monais_properties_learns_saves_and_goes_on(
    task: str, studies: Path, tmp_path: Path, quick: dict[str, object]
) -> None:
    overrides = {"dataset_dir": str(studies), "output_dir": str(tmp_path), "epochs": 1, **quick}
    flow = workflow(task, ["train"], "train", overrides)
    flow.initialize()
    assert flow.check_properties() == []
    flow.run()
    flow.finalize()
    assert (tmp_path / "model.pt").is_file()
    assert list(tmp_path.glob("events.out.tfevents.*"))
    first = torch.load(tmp_path / "last.pt", weights_only=True)
    assert first["trainer"]["iteration"] == flow.trainer.state.epoch_length

    again = workflow(task, ["train"], "train", overrides | {"epochs": 3, "resume": True})
    again.initialize()
    again.run()
    second = torch.load(tmp_path / "last.pt", weights_only=True)
    assert second["trainer"]["iteration"] == 3 * first["trainer"]["iteration"]
    assert second["validator"]["best_metric"] >= first["validator"]["best_metric"]


@every_bundle
def test_evaluation_scores_the_shipped_weights(task: str, studies: Path, tmp_path: Path) -> None:
    flow = workflow(task, ["train", "evaluate"], "train", {"dataset_dir": str(studies), "output_dir": str(tmp_path)})
    flow.initialize()
    flow.run()
    metrics = (tmp_path / "metrics.csv").read_text("utf-8")
    assert "val_mean_dice" in metrics
    scores = (tmp_path / "val_mean_dice_raw.csv").read_text("utf-8")
    assert all(str(path) in scores for path in (studies / "images").glob("*.nii.gz"))


@pytest.fixture
def single_threaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("single_threaded")
@every_bundle
def test_two_processes_train_together(task: str, studies: Path, tmp_path: Path) -> None:
    configs = bundle_root(task) / "configs"
    files = f"['{configs / 'train.yaml'}','{configs / 'multi_gpu.yaml'}']"
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "monai.bundle",
        "run",
    ]
    options = ["--config_file", files, "--bundle_root", str(bundle_root(task)), "--dataset_dir", str(studies)]
    small = ["--output_dir", str(tmp_path), "--epochs", "1", "--widths", "[4,4,4,8]", "--plane_size", "[32,32]"]
    done = subprocess.run([*run, *options, *small], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "model.pt").is_file()


@every_bundle
def test_consumers_find_one_chain_with_a_loader_and_one_mask_channel(task: str, studies: Path) -> None:
    parser = ConfigParser()
    parser.read_config(str(bundle_root(task) / "configs/inference.yaml"))
    parser.read_meta(str(bundle_root(task) / "configs/metadata.json"))
    chain, after = parser.get_parsed_content("preprocessing"), parser.get_parsed_content("postprocessing")
    assert isinstance(chain, Compose)
    assert isinstance(after, Compose)
    assert "LoadImage" in type(chain.transforms[0]).__name__
    path = next((studies / "images").glob("*.nii.gz"))
    case = chain({"image": str(path)})
    case["pred"] = case["image"] * 0 + 5
    result = after(case)["pred"]
    assert result.shape == (1, *LoadImage()(path).shape)
    assert (result == 1).all()
