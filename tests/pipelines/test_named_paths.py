from pathlib import Path

import pytest

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.named_paths import named_paths


def test_names_stand_before_the_first_equals_sign(tmp_path: Path) -> None:
    found = named_paths(["U-Net=runs/a=b", "Ours (SA) = x y", f"{tmp_path}"], "--models")
    assert found == {"U-Net": Path("runs/a=b"), "Ours (SA)": Path("x y"), tmp_path.name: tmp_path}
    assert list(found) == ["U-Net", "Ours (SA)", tmp_path.name]


def test_a_path_that_exists_is_no_name(tmp_path: Path) -> None:
    folder = tmp_path / "epochs=5"
    folder.mkdir()
    (folder / "cases.csv").touch()
    assert named_paths([f"{folder}"], "--models") == {"epochs=5": folder}
    assert named_paths([f"{folder / 'cases.csv'}"], "--models") == {"epochs=5": folder / "cases.csv"}


@pytest.mark.parametrize(
    ("texts", "words"), [(["=x"], "NAME=PATH, got '=x'"), (["a="], "got 'a='"), (["a=1", "a=2"], "called 'a'")]
)
def test_a_name_twice_or_half_a_pair_is_a_clear_error(texts: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        named_paths(texts, "--models")
