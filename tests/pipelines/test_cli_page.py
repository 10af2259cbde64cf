from pathlib import Path

import pytest
from miniature_report import write_record, write_results
from typer.testing import CliRunner

from sliceweave.pipelines.cli import app


def test_the_command_says_where_the_page_is_and_what_is_not_shown(tmp_path: Path) -> None:
    results = write_results(tmp_path, {"a": 5, "b": 3})
    write_record(results)
    (tmp_path / "images/scan1.nii.gz").write_text("another file")
    done = CliRunner().invoke(app, ["page", str(results)])
    assert done.exit_code == 0
    assert done.stdout.strip() == f"2 studies in {results / 'report.html'}"
    assert "b: scan1.nii.gz: is not the image that was measured" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["page", "empty"], "expected the folder of a run"),
        (["page", "results", "--images", "nowhere"], "'nowhere' does not exist"),
        (["page", "results", "--viewer", "nowhere.js"], "npm pack @niivue/niivue"),
        (["page", "results", "--out", "results/volumes.csv"], "cannot use"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path, {"a": 5})
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert words in str(done.exception)
    assert "\n" not in str(done.exception)
