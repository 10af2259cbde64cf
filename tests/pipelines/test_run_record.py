import json
from pathlib import Path

import pytest

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.model import Model
from sliceweave.pipelines.run_record import RunRecord, read_run
from sliceweave.pipelines.study_kind import study_kind

MODEL = Model("hematoma", "0.2.0+12345678", {1: "hematoma"})


def record(**options: object) -> RunRecord:
    return RunRecord(MODEL, study_kind("hematoma"), {"dataset_dir": "studies", **options})


def test_a_run_that_has_begun_says_all_but_how_it_ended(tmp_path: Path) -> None:
    record(threshold=0.4, network={"widths": [4, 8]}).begin(tmp_path / "out")
    run = read_run(tmp_path / "out")
    assert run["model"] == {"name": "hematoma", "version": "0.2.0+12345678", "labels": {"1": "hematoma"}}
    assert {"sliceweave", "monai", "torch", "python"} <= {*run["versions"]}
    assert run["options"] == {
        "dataset_dir": str(Path.cwd() / "studies"),
        "threshold": 0.4,
        "network": {"widths": [4, 8]},
    }
    assert run["study_kind"]["window"] == [0, 100]
    assert run["command"]
    assert "finished" not in run


def test_a_finished_run_says_how_many_failed(tmp_path: Path) -> None:
    one = record()
    one.begin(tmp_path)
    one.finish(tmp_path, studies=7, failed=2)
    run = read_run(tmp_path)
    assert (run["studies"], run["failed"]) == (7, 2)
    assert run["finished"] >= run["started"]


def test_a_resumed_run_names_the_runs_before_it_and_a_new_one_does_not(tmp_path: Path) -> None:
    for resume in (False, True, "true"):
        record(resume=resume).begin(tmp_path)
    assert len(read_run(tmp_path)["earlier_runs"]) == 2
    record(resume="false").begin(tmp_path)
    assert read_run(tmp_path)["earlier_runs"] == []


def test_a_folder_without_a_record_has_none(tmp_path: Path) -> None:
    assert read_run(tmp_path) == {}


@pytest.mark.parametrize("content", ["{", "[1]", json.dumps({"versions": ["1"]}), "\xff"])
def test_a_file_that_is_no_record_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content, "latin-1")
    with pytest.raises(InputError, match=r"run\.json: expected the record of a run"):
        read_run(tmp_path)
