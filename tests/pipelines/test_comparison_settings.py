import json
from pathlib import Path

import pytest

from sliceweave.pipelines.comparison_settings import differences, keep_settings
from sliceweave.pipelines.errors import InputError

SETTINGS = {"task": "hematoma", "configuration": {"epochs": 2, "loss": {"gamma": 0.3}, "plane_size": [64, 64]}}


def test_a_rerun_with_the_same_settings_goes_on(tmp_path: Path) -> None:
    keep_settings(tmp_path, SETTINGS)
    written = (tmp_path / "settings.json").read_bytes()
    keep_settings(tmp_path, {**SETTINGS, "configuration": {**SETTINGS["configuration"], "plane_size": (64, 64)}})
    assert (tmp_path / "settings.json").read_bytes() == written
    assert json.loads(written) == SETTINGS


def test_other_settings_are_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    keep_settings(tmp_path, SETTINGS)
    other = {"task": "hematoma", "configuration": {"epochs": 3, "loss": {"gamma": 0.3}, "plane_size": [64, 32]}}
    with pytest.raises(InputError) as caught:
        keep_settings(tmp_path, other)
    assert str(caught.value) == (
        f"{tmp_path} was begun with other settings: configuration::epochs was 2, is 3, "
        "configuration::plane_size was [64, 64], is [64, 32]; repeat those, or name another --out"
    )
    assert json.loads((tmp_path / "settings.json").read_bytes()) == SETTINGS


def test_many_differences_are_counted(tmp_path: Path) -> None:
    keep_settings(tmp_path, {"studies": {f"s{n}": "a" for n in range(6)}})
    with pytest.raises(InputError, match=r"studies::s0 was \"a\", is \"b\", .* and 3 more; repeat"):
        keep_settings(tmp_path, {"studies": {f"s{n}": "b" for n in range(6)}})


def test_what_is_there_on_one_side_only_is_a_difference() -> None:
    assert list(differences({"a": 1, "c": {}}, {"b": {"x": 2}, "c": {}})) == [
        "a was 1, is not there",
        "b::x was not there, is 2",
    ]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match="is not empty and was not made by compare"):
        keep_settings(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_settings_that_cannot_be_read_are_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_bytes(content)
    with pytest.raises(InputError, match="settings"):
        keep_settings(tmp_path, SETTINGS)
