"""What lies in every bundle's folder: the model zoo's rules for files and metadata, and configs that are complete."""

import configparser
import copy
import json
import os
import pydoc
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml
from bundle_runs import config_files, every_bundle
from monai.bundle import ComponentLocator, ConfigParser, ReferenceResolver, verify_metadata

from sliceweave.pipelines.bundles import OVERLAYS, STAGES, bundle_root, labels_of, rendered_files, stale, tasks

SCHEMA = Path(
    os.environ.get("SLICEWEAVE_SCHEMA", Path(__file__).parents[3] / "shared/schema/meta_schema_20240725.json")
)
REQUIRED_FILES = {
    "LICENSE", "configs/metadata.json", "configs/inference.yaml", "configs/train.yaml", "configs/evaluate.yaml",
    "configs/logging.conf", "models/model.pt", "docs/README.md", "docs/data_license.txt",
}  # fmt: skip
REQUIRED_KEYS = {
    "schema", "version", "changelog", "monai_version", "pytorch_version", "numpy_version", "required_packages_version",
    "name", "task", "description", "authors", "copyright", "intended_use", "network_data_format",
}  # fmt: skip
TENSOR_KEYS = {"type", "format", "num_channels", "spatial_shape", "dtype", "value_range"}
MONAI = ComponentLocator(excludes=["monai.apps"])
LARGEST_FILE = 25e6  # bytes that the zoo takes
LARGEST_WEIGHTS = 8e6
MERGED = [
    ["inference"],
    ["inference", "3d"],
    *[["train", overlay] for overlay in OVERLAYS],
    ["train", "evaluate", "3d"],
]
WITHOUT_OUR_IMPORT = """
import sys, yaml
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        assert isinstance(yaml.safe_load(file), dict), path
print(sum(name.split(".")[0] in ("sliceweave", "monai", "torch") for name in sys.modules))
"""


def metadata_of(task: str) -> dict[str, Any]:
    return json.loads((bundle_root(task) / "configs/metadata.json").read_text("utf-8"))


def stage_files() -> list[Path]:
    return [path for task in tasks() for path in rendered_files(task) if path.suffix == ".yaml"]


@cache
def content_of(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)


def targets(config: Any) -> Iterator[str]:
    """Every `_target_` of a config."""
    if isinstance(config, dict):
        yield from (value for key, value in config.items() if key == "_target_")
    if isinstance(config, dict | list):
        for value in config.values() if isinstance(config, dict) else config:
            yield from targets(value)


def test_there_is_a_bundle_for_each_of_the_five_papers() -> None:
    assert tasks() == ["echo_left_ventricle", "hematoma", "knee_cartilage", "liver_tumor", "lung_infection"]


@every_bundle
def test_rendered_files_are_what_the_sources_say(task: str) -> None:
    assert stale(task) == []


@every_bundle
def test_each_stage_and_overlay_is_a_file_that_says_where_it_comes_from(task: str) -> None:
    paths = [path for path in rendered_files(task) if path.suffix == ".yaml"]
    assert {path.stem for path in paths} == {*STAGES, *OVERLAYS}
    line = f"# Rendered by `sliceweave render` from bundles/shared and bundles/{task}/task.yaml: change those."
    assert {path.read_text("utf-8").splitlines()[0] for path in paths} == {line}


def test_stage_files_parse_as_plain_yaml_without_our_package_or_monai() -> None:
    files = [str(path) for path in stage_files()]
    done = subprocess.run([sys.executable, "-c", WITHOUT_OUR_IMPORT, *files], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert len(files) == 5 * (len(STAGES) + len(OVERLAYS))


def test_stage_files_have_no_anchors_aliases_or_merge_keys() -> None:
    for path in stage_files():
        tokens = list(yaml.scan(path.read_text("utf-8"), yaml.CSafeLoader))
        assert not [token for token in tokens if isinstance(token, yaml.AnchorToken | yaml.AliasToken)], path
        assert not [token for token in tokens if isinstance(token, yaml.ScalarToken) and token.value == "<<"], path


@pytest.mark.parametrize("stages", MERGED, ids=" ".join)
@every_bundle
def test_every_reference_leads_somewhere(task: str, stages: list[str]) -> None:
    parser = ConfigParser({"_meta_": metadata_of(task)})
    for path in config_files(task, stages):
        parser.update(copy.deepcopy(content_of(Path(path))))
    parser.parse()
    items = parser.ref_resolver.items
    missing = {
        (name, wanted)
        for name, item in items.items()
        for wanted in ReferenceResolver.find_refs_in_config(config=item.get_config(), id=name)
        if wanted not in items
    }
    assert len(items) > 100
    assert missing == set()


@every_bundle
def test_every_target_is_there_to_be_called(task: str) -> None:
    names = {name for path in rendered_files(task) if path.suffix == ".yaml" for name in targets(content_of(path))}
    modules = {name: MONAI.get_component_module_name(name) for name in names if "." not in name}
    full = {name: f"{modules[name]}.{name}" if name in modules else name for name in names}
    assert len(names) > 30
    assert [name for name in names if not callable(pydoc.locate(full[name]))] == []


@every_bundle
def test_the_zoos_files_are_there_and_small_and_none_is_code(task: str) -> None:
    files = {str(path.relative_to(bundle_root(task))): path for path in bundle_root(task).rglob("*") if path.is_file()}
    assert set(files) - REQUIRED_FILES == {
        "task.yaml",
        "docs/about.md",
        *(f"configs/{name}.yaml" for name in OVERLAYS[1:]),
        *(["models/model_standard.pt"] if task == "hematoma" else []),
    }
    assert set(files) >= REQUIRED_FILES
    assert not [name for name in files if name.endswith(".py")]
    assert max(path.stat().st_size for path in files.values()) < LARGEST_FILE


@every_bundle
def test_documents_say_something_and_the_licence_is_apaches(task: str) -> None:
    root = bundle_root(task)
    assert "Apache License" in (root / "LICENSE").read_text("utf-8")
    assert len((root / "docs/data_license.txt").read_text("utf-8")) > 100
    readme = (root / "docs/README.md").read_text("utf-8")
    assert "python -m monai.bundle run" in readme
    assert f"sliceweave bundle {task}" in readme


def test_every_extra_that_the_pages_name_can_be_installed() -> None:
    root = Path(__file__).parents[2]
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg", "utf-8")
    pages = [root / "README.md", *(bundle_root(task) / "docs/README.md" for task in tasks())]
    named = {extra for page in pages for extra in re.findall(r"sliceweave\[(\w+)\]", page.read_text("utf-8"))}
    assert {"dicom", "onnx", "tracking"} <= named
    assert named <= setup["options.extras_require"].keys()


@every_bundle
def test_shipped_weights_are_small_plain_and_fit_the_network_of_inference(task: str) -> None:
    weights = bundle_root(task) / "models/model.pt"
    assert weights.stat().st_size <= LARGEST_WEIGHTS
    state = torch.load(weights, weights_only=True)
    assert all(torch.is_tensor(value) for value in state.values())
    parser = ConfigParser()
    parser.read_config(config_files(task, ["inference"]))
    parser.get_parsed_content("network_def").load_state_dict(state, strict=True)


@every_bundle
def test_metadata_has_the_required_keys_and_a_changelog_of_its_version(task: str) -> None:
    metadata = metadata_of(task)
    assert metadata.keys() >= REQUIRED_KEYS
    assert metadata["name"] == task
    assert all(metadata[key] for key in REQUIRED_KEYS)
    assert metadata["version"] in metadata["changelog"]
    parser = ConfigParser()
    parser.read_meta(str(bundle_root(task) / "configs/metadata.json"))
    assert parser["_meta_"]["required_packages_version"] == metadata["required_packages_version"]


@every_bundle
def test_metadata_describes_one_image_and_one_prediction_with_named_channels(task: str) -> None:
    formats = metadata_of(task)["network_data_format"]
    assert [*formats["inputs"]] == ["image"]
    assert [*formats["outputs"]] == ["pred"]
    image, pred = formats["inputs"]["image"], formats["outputs"]["pred"]
    assert image.keys() >= TENSOR_KEYS
    assert pred.keys() >= TENSOR_KEYS
    assert pred["channel_def"]["0"] == "background"
    named = {int(value): name for value, name in pred["channel_def"].items() if value != "0"}
    assert named == labels_of(task)
    assert pred["num_channels"] == (1 if len(named) == 1 else len(named) + 1)


@every_bundle
@pytest.mark.skipif(not SCHEMA.is_file(), reason="MONAI's metadata schema is not here; name it in SLICEWEAVE_SCHEMA")
def test_metadata_passes_monais_verification(task: str, tmp_path: Path) -> None:
    jsonschema.validate(metadata_of(task), json.loads(SCHEMA.read_text("utf-8")))
    schema = tmp_path / "schema.json"
    schema.write_bytes(SCHEMA.read_bytes())
    verify_metadata(str(bundle_root(task) / "configs/metadata.json"), filepath=str(schema))
