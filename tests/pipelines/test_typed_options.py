"""Misspelt options of a bundle's run."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.typed_options import refuse_unknown_options


def type_as_bundle_run(monkeypatch: pytest.MonkeyPatch, *typed: str) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", ModuleSpec("monai.bundle.__main__", None), raising=False)
    monkeypatch.setattr(sys, "argv", ["monai/bundle/__main__.py", *typed])


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "a.yaml").write_text("threshold: 0.5\ninferer: {slab: 3}\n", "utf-8")
    (tmp_path / "b.yaml").write_text("page: false\n", "utf-8")
    return f"['{tmp_path}/a.yaml','{tmp_path}/b.yaml']"


@pytest.mark.parametrize("typed", [["--thresold", "0.9"], ["--thresold=0.9"], ["--thresold::x", "1"]])
def test_a_misspelt_option_is_refused_with_the_one_it_may_have_meant(
    typed: list[str], config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_as_bundle_run(monkeypatch, "run", "--config_file", config, *typed)
    with pytest.raises(InputError, match="no option --thresold; did you mean --threshold"):
        refuse_unknown_options()


def test_a_plain_option_is_never_mistaken_for_a_component(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    type_as_bundle_run(monkeypatch, "run", "--config_file", config, "--infere", "True")
    with pytest.raises(InputError, match=r"no option --infere$"):
        refuse_unknown_options()


@pytest.mark.parametrize("value", ["False", "3", "sliding"])
def test_a_plain_value_for_a_component_is_refused(value: str, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    type_as_bundle_run(monkeypatch, "run", "--config_file", config, "--inferer", value)
    words = f"^--inferer is a component of the bundle, got {value}; set its parts, as --inferer::PART VALUE$"
    with pytest.raises(InputError, match=words):
        refuse_unknown_options()


@pytest.mark.parametrize("value", ["@other", "$None", "{'slab':5}", "None"])
def test_a_component_may_be_put_in_place_of_another(value: str, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    type_as_bundle_run(monkeypatch, "run", "--config_file", config, "--inferer", value)
    refuse_unknown_options()


def test_options_of_monai_and_of_any_of_the_files_are_known(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--threshold", "0.9", "--inferer::slab", "5", "--page", "True", "--bundle_root", ".", "--run_id", "run"]
    type_as_bundle_run(monkeypatch, "run", "training", "--config_file", config, *options)
    refuse_unknown_options()


@pytest.mark.parametrize("command", ["ckpt_export", "download"])
def test_other_commands_than_run_are_not_looked_at(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    type_as_bundle_run(monkeypatch, command, "--nothing", "1")
    refuse_unknown_options()


def test_another_program_may_have_any_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["other", "run", "--nothing", "1"])
    refuse_unknown_options()
