"""Records say what tables say: an oracle formats the same rows without them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sliceweave.pipelines.cells import format_cell
from sliceweave.pipelines.cli import app
from sliceweave.pipelines.columns import VOLUME_COLUMNS
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.rebuild import rebuild_tables
from sliceweave.pipelines.records import compose, parse
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import StudyFacts, StudyRows, failed_rows
from sliceweave.pipelines.tables import read_table

CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(),
    st.text(),
    st.floats(allow_nan=False, width=32).map(np.float32),
    st.integers(0, 9).map(np.int64),
    st.booleans().map(np.bool_),
)


def rows_of(volumes: dict[str, object]) -> StudyRows:
    return StudyRows("s", [dict.fromkeys(VOLUME_COLUMNS) | {"study_id": "s", "status": "ok"} | volumes])


@settings(deadline=None, max_examples=200)
@given(CELLS)
def test_a_cell_comes_out_of_a_record_as_the_table_writes_it(cell: object) -> None:
    record = parse(compose(rows_of({"volume_ml": cell}), 1, ""))
    assert record.tables["volumes"][0][VOLUME_COLUMNS.index("volume_ml")] == format_cell(cell)


def test_a_record_is_json_that_says_what_happened() -> None:
    facts = StudyFacts("=a", "5ha", "hematoma", "1+abc", 2.345, ("tilted", "oblique"), "real")
    content = json.loads(compose(failed_rows(facts, "cut short"), 7, "2026-01-02T03:04:05+00:00"))
    named = {name: content[name] for name in ("study_id", "status", "reason", "image_sha256", "model_version", "flags")}
    assert named == {
        "study_id": "=a",
        "status": "failed",
        "reason": "cut short",
        "image_sha256": "5ha",
        "model_version": "1+abc",
        "flags": ["tilted", "oblique"],
    }
    assert (content["number"], content["seconds"], content["written"]) == (7, 2.35, "2026-01-02T03:04:05+00:00")
    assert dict(zip(content["volumes"]["columns"], content["volumes"]["rows"][0], strict=True))["seconds"] == 2.35


def test_a_record_of_fewer_columns_still_fills_the_table() -> None:
    content = json.loads(compose(rows_of({"volume_ml": 1.5}), 1, ""))
    at = content["volumes"]["columns"].index("side")
    del content["volumes"]["columns"][at], content["volumes"]["rows"][0][at]
    cells = dict(zip(VOLUME_COLUMNS, parse(json.dumps(content).encode()).tables["volumes"][0], strict=True))
    assert (cells["volume_ml"], cells["side"]) == ("1.5", "")


@pytest.mark.parametrize(
    "damage",
    [
        {"record": 2},
        {"status": "fine"},
        {"number": None},
        {"image": {"size_bytes": 1}},
        {"volumes": {"columns": "ab", "rows": [["c", "d"]]}},
        {"volumes": {"columns": ["study_id"], "rows": [["a", "b"]]}},
        {"volumes": {"columns": ["study_id"], "rows": [[["a"]]]}},
        {"lesions": None},
    ],
)
def test_what_is_no_record_is_refused(damage: dict[str, object]) -> None:
    content = json.loads(compose(rows_of({}), 1, ""))
    with pytest.raises((ValueError, TypeError)):
        parse(json.dumps(content | damage).encode())


def filled(folder: Path, count: int) -> list[bytes]:
    report = Report(folder)
    report.start()
    for number in range(count):
        report.add(rows_of({"study_id": f"s{number}", "volume_ml": number / 3}) if number % 2 else failed(number))
    report.close()
    return tables(folder)


def failed(number: int) -> StudyRows:
    return failed_rows(StudyFacts(f"={number}, 'x'"), "cut\nshort")


def tables(folder: Path) -> list[bytes]:
    return [(folder / f"{name}.csv").read_bytes() for name in ("volumes", "lesions", "slices")]


def test_rebuilding_gives_the_tables_of_the_run_byte_for_byte(tmp_path: Path) -> None:
    before = filled(tmp_path, 5)
    for name in ("volumes", "lesions", "slices"):
        (tmp_path / f"{name}.csv").write_text("edited")
    done = CliRunner().invoke(app, ["rebuild", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, f"4 studies in {tmp_path / 'volumes.csv'}, 3 failed\n")
    assert tables(tmp_path) == before


def test_rebuilding_needs_no_lock(tmp_path: Path) -> None:
    report = Report(tmp_path)
    report.start()
    report.add(rows_of({}))
    assert rebuild_tables(tmp_path).studies == 1


def test_a_file_that_is_no_record_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = filled(tmp_path, 2)
    record = next(path for path in (tmp_path / "records").glob("*.json"))
    (tmp_path / "records/copy of it.json").write_bytes(record.read_bytes())
    done = CliRunner().invoke(app, ["rebuild", str(tmp_path)])
    assert done.exit_code == 1
    assert "copy of it.json: is no record of a study (its name is not that of its study); left out" in caplog.text
    assert tables(tmp_path) == before


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the folder of a run, with records/ in it"):
        rebuild_tables(tmp_path)


def test_parquet_holds_what_the_tables_hold(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason='needs pip install "sliceweave[parquet]"')
    filled(tmp_path, 4)
    assert CliRunner().invoke(app, ["rebuild", str(tmp_path), "--parquet"]).exit_code == 0
    written = pd.read_parquet(tmp_path / "volumes.parquet")
    pd.testing.assert_frame_equal(written, read_table(tmp_path / "volumes.csv"), check_dtype=False)
