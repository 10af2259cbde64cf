from pathlib import Path

import pytest

from sliceweave.pipelines import bundles
from sliceweave.pipelines.errors import InputError


def test_dictionaries_merge_and_anything_else_is_replaced() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 4}
    over = {"a": {"c": [3]}, "d": {"e": 5}}
    assert bundles.merge(base, over) == {"a": {"b": 1, "c": [3]}, "d": {"e": 5}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 4}


def test_an_unknown_task_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="no bundle is called 'spleen': choose from hematoma"):
        bundles.bundle_root("spleen")


def test_a_changed_source_makes_the_stage_files_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in [
        *bundles.bundle_root("hematoma").parent.glob("shared/*.yaml"),
        *bundles.bundle_root("hematoma").glob("*.yaml"),
    ]:
        copy = tmp_path / path.relative_to(bundles.bundle_root("hematoma").parent)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "hematoma/configs").mkdir()
    monkeypatch.setattr(bundles, "_ROOT", tmp_path)
    assert len(bundles.stale("hematoma")) == 5
    for path in bundles.stage_files("hematoma"):
        path.write_text(bundles.rendered(path), "utf-8")
    assert bundles.stale("hematoma") == []
    source = tmp_path / "shared/inference.yaml"
    source.write_text(source.read_text("utf-8").replace("threshold: 0.5", "threshold: 0.4"), "utf-8")
    assert [path.name for path in bundles.stale("hematoma")] == ["inference.yaml"]
