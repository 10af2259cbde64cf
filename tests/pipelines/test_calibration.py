import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from sliceweave.pipelines.calibration import (
    Calibration,
    LabelCalibration,
    calibration_for,
    calibration_of,
    read_calibration,
    uncalibrated,
    write_calibration,
)
from sliceweave.pipelines.cli import app
from sliceweave.pipelines.columns import VOLUME_COLUMNS
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.rows import LabelResult
from sliceweave.pipelines.volumetry import measure

GEOMETRY = Geometry(np.diag([10.0, 10.0, 10.0, 1.0]), (4, 4, 4))
CALIBRATION = Calibration(
    "hematoma", "0.1.0+0123abcd", 0.9, "generated", ("seeds 1",), {"hematoma": LabelCalibration(9, 2.0)}
)


def table(studies: int = 9, **columns: object) -> pd.DataFrame:
    """Studies of 10 ml that are found 1, 2, … ml too large, with a spread of 0.5 ml: scores of 1, 2, …"""
    rows = pd.DataFrame({"study_id": [f"s{i}" for i in range(studies)]}).reindex(columns=list(VOLUME_COLUMNS))
    known = {"status": "ok", "label": "hematoma", "volume_ml": 11.0 + np.arange(studies), "reference_volume_ml": 10.0}
    known |= {"spread_ml": 0.5, "source": "generated", "model": "hematoma", "model_version": "0.1.0+0123abcd"}
    return rows.assign(**{**known, **columns})


def result(voxels: int, spread_ml: float | None = 0.5, label: str = "hematoma") -> LabelResult:
    """One of as many millilitres."""
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask.flat[:voxels] = 1
    return LabelResult(label, measure(mask, GEOMETRY), spread_ml=spread_ml)


def test_each_label_has_the_quantile_of_its_own_studies() -> None:
    knee = [
        table(9, label="femoral_cartilage", model="knee_cartilage"),
        table(19, label="tibial_cartilage", model="knee_cartilage"),
    ]
    found = calibration_of(pd.concat(knee), 0.9, ["ours"])
    assert found.labels == {
        "femoral_cartilage": LabelCalibration(9, 9.0),
        "tibial_cartilage": LabelCalibration(19, 18.0),
    }
    assert (found.task, found.model_version, found.source) == ("knee_cartilage", "0.1.0+0123abcd", "generated")


def test_studies_that_failed_or_have_no_reference_take_no_part() -> None:
    rows = table(11)
    rows.loc[9, "reference_volume_ml"] = np.nan
    rows.loc[10, ["status", "label", "volume_ml", "spread_ml", "source"]] = ["failed", "", np.nan, np.nan, ""]
    assert calibration_of(rows, 0.9, ["ours"]).labels["hematoma"] == LabelCalibration(9, 9.0)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (table(source=["real"] + 8 * ["generated"]), "expected one source for all studies, got generated, real"),
        (table(source=["painted"] + 8 * ["generated"]), "expected one source for all studies, got generated, painted"),
        (table(source=""), "expected a source, real, generated, painted, got ''"),
        (table(model_version=["2+a"] + 8 * ["1+a"]), "expected one model_version for all studies, got 1+a, 2+a"),
        (table(model=["knee"] + 8 * ["hematoma"]), "expected one model for all studies, got hematoma, knee"),
        (table(spread_ml=np.nan), "rows have no spread_ml; measure the studies with --tta True"),
        (table(spread_ml=[np.nan] + 8 * [0.5]), "rows have no spread_ml"),
        (table(reference_volume_ml=np.nan), "no row has a reference_volume_ml"),
        (table(spread_ml=["much"] + 8 * ["0.5"]), "expected a number as spread_ml, found 'much'"),
        (pd.concat([table(), table()]), "has two rows for label 'hematoma'; remove one"),
        (table().drop(columns=["source", "spread_ml"]), "found no column spread_ml, source"),
    ],
)
def test_studies_that_make_no_calibration_are_refused_in_one_line(rows: pd.DataFrame, words: str) -> None:
    with pytest.raises(InputError, match=words.replace("+", "\\+")) as error:
        calibration_of(rows, 0.9, ["ours"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("data", [[], [" "]])
def test_a_calibration_names_its_data(data: list[str]) -> None:
    with pytest.raises(InputError, match="say what they are with --data NAME"):
        calibration_of(table(), 0.9, data)


def test_an_interval_is_the_quantile_times_spread_and_half_a_millilitre() -> None:
    found = CALIBRATION.applied(result(10, 1.0))
    assert found.volume_range_ml == pytest.approx((7.0, 13.0))
    assert found.coverage == 0.9
    assert CALIBRATION.applied(result(1, 1.0)).volume_range_ml == (0.0, pytest.approx(4.0))


def test_there_is_no_interval_without_a_spread_or_for_a_label_that_was_not_calibrated() -> None:
    for given in (result(10, None), result(10, 1.0, "tumor")):
        assert CALIBRATION.applied(given) == given


def test_too_few_studies_give_no_interval_and_a_line_that_says_so() -> None:
    few = calibration_of(table(8), 0.9, ["ours"])
    assert few.labels == {"hematoma": LabelCalibration(8, None)}
    assert few.too_few() == "no interval at 0.9: hematoma has 8 of the 9 studies it takes"
    assert few.applied(result(10)).volume_range_ml is None
    assert few.applied(result(10)).coverage is None
    assert calibration_of(table(9), 0.9, ["ours"]).too_few() == ""


def test_a_calibration_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    path = tmp_path / "new" / "c.json"
    for calibration in (CALIBRATION, replace(CALIBRATION, labels={"hematoma": LabelCalibration(3, None)})):
        write_calibration(calibration, path)
        assert read_calibration(path) == calibration


@pytest.mark.parametrize(
    "content",
    ["", "no JSON", "[]", "{}", '{"labels": {"a": 1}}', '{"labels": {}, "coverage": "0.9"}', "\xff"],
)
def test_a_file_that_is_no_calibration_is_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(content, "latin-1")
    with pytest.raises(InputError, match=r"c\.json: not what `sliceweave calibrate` writes"):
        read_calibration(path)
    with pytest.raises(InputError, match=r"nowhere\.json: cannot be read: No such file"):
        read_calibration(tmp_path / "nowhere.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-1.0", '"2"'])
def test_a_quantile_that_is_no_number_is_refused(number: str, tmp_path: Path) -> None:
    write_calibration(CALIBRATION, tmp_path / "c.json")
    text = (tmp_path / "c.json").read_text("utf-8")
    (tmp_path / "c.json").write_text(text.replace('"quantile": 2.0', f'"quantile": {number}'), "utf-8")
    with pytest.raises(InputError, match=r"c\.json: not what"):
        read_calibration(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("task", "version"), [("knee_cartilage", "0.1.0+0123abcd"), ("hematoma", "0.1.0+ffffffff"), ("hematoma", "0.2.0")]
)
def test_a_calibration_of_another_task_or_other_weights_is_refused(task: str, version: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    write_calibration(CALIBRATION, path)
    with pytest.raises(InputError, match=r"made for hematoma 0\.1\.0\+0123abcd, this run is"):
        calibration_for(str(path), task, version)
    assert calibration_for(str(path), "hematoma", "0.1.0+0123abcd") == CALIBRATION
    assert calibration_for(None, task, version) is None


def test_volumes_with_intervals_calibrate_the_model_as_it_is_without() -> None:
    assert uncalibrated("0.1.0+0123abcd.89abcdef") == "0.1.0+0123abcd"
    assert uncalibrated("0.1.0+0123abcd") == "0.1.0+0123abcd"
    assert uncalibrated("0.1.0+none.89abcdef") == "0.1.0+none"
    rows = table(model_version="0.1.0+0123abcd.89abcdef")
    assert calibration_of(rows, 0.9, ["ours"]).model_version == "0.1.0+0123abcd"


def test_a_file_that_is_no_calibration_is_not_replaced_by_one(tmp_path: Path) -> None:
    path = tmp_path / "volumes.csv"
    path.write_text("study_id\n")
    calibration = calibration_of(table(), 0.9, ["ours"])
    with pytest.raises(InputError, match=r"volumes.csv: is no calibration, and would be replaced by one"):
        write_calibration(calibration, path)
    assert path.read_text() == "study_id\n"
    for _ in range(2):
        write_calibration(calibration, tmp_path / "calibration.json")


def test_the_command_writes_what_a_reader_needs_to_know(tmp_path: Path) -> None:
    table(19).to_csv(tmp_path / "volumes.csv", index=False)
    arguments = [str(tmp_path / "volumes.csv"), "--out", str(tmp_path / "c.json"), "--data", "set A", "--data", "set B"]
    done = CliRunner().invoke(app, ["calibrate", *arguments, "--coverage", "0.8"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "hematoma: quantile 16 of 19 generated studies"
    assert "Coverage is marginal" in done.stdout
    content = json.loads((tmp_path / "c.json").read_text("utf-8"))
    assert content["labels"] == {"hematoma": {"cases": 19, "quantile": 16.0}}
    assert content["data"] == ["set A", "set B"]
    assert (content["task"], content["model_version"]) == ("hematoma", "0.1.0+0123abcd")
    assert (content["coverage"], content["source"]) == (0.8, "generated")
    assert "marginal" in content["statement"]
    assert "spread_ml + 0.5 ml" in content["score"]


def test_the_command_names_the_table_that_makes_no_calibration(tmp_path: Path) -> None:
    table(spread_ml=np.nan).to_csv(tmp_path / "volumes.csv", index=False)
    arguments = [str(tmp_path / "volumes.csv"), "--out", str(tmp_path / "c.json"), "--data", "a"]
    done = CliRunner().invoke(app, ["calibrate", *arguments])
    assert str(done.exception).startswith(f"{tmp_path / 'volumes.csv'}: rows have no spread_ml; measure")


def test_the_command_refuses_a_table_that_is_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["calibrate", str(tmp_path / "no.csv"), "--out", str(tmp_path / "c"), "--data", "a"])
    assert isinstance(done.exception, InputError)
    assert "no.csv: expected a CSV table" in str(done.exception)
    assert not (tmp_path / "c").exists()
