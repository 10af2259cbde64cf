import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sliceweave.pipelines import bundles, cli
from sliceweave.pipelines.errors import InputError

TASKS = {"echo_left_ventricle", "hematoma", "knee_cartilage", "liver_tumor", "lung_infection"}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the bundles' folder that may be changed."""
    root = tmp_path / "bundles"
    shutil.copytree(bundles.bundle_root("hematoma").parent, root, ignore=shutil.ignore_patterns("models", "*.py"))
    monkeypatch.setattr(bundles, "_ROOT", root)
    return root


def stale_files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for task in bundles.tasks() for path in bundles.stale(task)}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")


def test_dictionaries_merge_and_anything_else_is_replaced() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    over = {"a": {"c": [3]}, "d": {"e": 5}}
    assert bundles.merge(base, over) == {"a": {"b": 1, "c": [3]}, "d": {"e": 5}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


def test_an_unknown_task_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="no bundle is called 'spleen': choose from echo_left_ventricle, hematoma, "):
        bundles.bundle_root("spleen")


def test_labels_are_named_without_the_background() -> None:
    assert bundles.labels_of("hematoma") == {1: "hematoma"}
    assert bundles.labels_of("knee_cartilage") == {1: "femoral_cartilage", 2: "tibial_cartilage"}


def test_a_tasks_settings_win_over_the_shared_ones() -> None:
    assert bundles.everywhere("hematoma")["axcodes"] == "RAS"
    assert bundles.everywhere("knee_cartilage")["axcodes"] == "ASR"
    assert bundles.everywhere("knee_cartilage")["study_kind"]["has_volume"] is True  # of the shared dictionary, merged


def test_metadata_are_the_shared_ones_with_the_tasks_over_them_and_its_name() -> None:
    path = bundles.bundle_root("liver_tumor") / "configs/metadata.json"
    metadata = json.loads(bundles.rendered(path))
    assert metadata["name"] == "liver_tumor"
    assert metadata["network_data_format"]["inputs"]["image"]["modality"] == "CT"
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "tumor"}


@pytest.mark.parametrize(
    ("source", "old", "new", "files"),
    [
        # the knee has no threshold: its likeliest class wins; haematoma's inference has its own
        ("shared/everywhere.yaml", "threshold: 0.5", "threshold: 0.4", {
            f"{task}/configs/{stage}.yaml" for task in TASKS - {"knee_cartilage"} for stage in ("inference", "train")
        } - {"hematoma/configs/inference.yaml"}),
        ("shared/train.yaml", "val_interval: 1 ", "val_interval: 2 ", {f"{task}/configs/train.yaml" for task in TASKS}),
        ("shared/metadata.yaml", "version: 0.2.0", "version: 0.3.0", {
            f"{task}/configs/metadata.json" for task in TASKS
        }),
        ("shared/3d.yaml", "overlap: 0.25", "overlap: 0.5", {f"{task}/configs/3d.yaml" for task in TASKS}),
        ("shared/LICENSE", "Version 2.0, January 2004", "Version 2.1", {f"{task}/LICENSE" for task in TASKS}),
        ("liver_tumor/task.yaml", "level: liver", "level: lung", {
            f"liver_tumor/configs/{stage}.yaml" for stage in ("inference", "train")
        }),
    ],
)  # fmt: skip
def test_a_changed_value_makes_the_files_that_hold_it_stale_and_one_render_mends_them(
    sources: Path, source: str, old: str, new: str, files: set[str]
) -> None:
    assert stale_files(sources) == set()
    change(sources / source, old, new)
    assert stale_files(sources) == files

    check = CliRunner().invoke(cli.app, ["render", "--check"])
    assert check.exit_code == 1
    assert {line.removeprefix(f"stale: {sources}/") for line in check.stdout.splitlines()} == files
    assert stale_files(sources) == files  # a check writes nothing

    assert CliRunner().invoke(cli.app, ["render"]).exit_code == 0
    assert stale_files(sources) == set()
    assert all(new.strip() in (sources / name).read_text("utf-8") or name.endswith(".json") for name in files)


def test_a_check_of_current_files_succeeds_and_says_nothing(sources: Path) -> None:
    assert sources.is_dir()
    check = CliRunner().invoke(cli.app, ["render", "--check"])
    assert (check.exit_code, check.stdout) == (0, "")


def test_files_that_were_edited_or_removed_are_stale(sources: Path) -> None:
    (sources / "hematoma/configs/2.5d.yaml").unlink()
    change(sources / "hematoma/configs/train.yaml", "epochs: 50", "epochs: 51")
    assert stale_files(sources) == {"hematoma/configs/2.5d.yaml", "hematoma/configs/train.yaml"}
    assert CliRunner().invoke(cli.app, ["render"]).exit_code == 0
    assert stale_files(sources) == set()
