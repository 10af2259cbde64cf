from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sliceweave.pipelines.columns import METRICS
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.score_tables import ScoreTables
from sliceweave.pipelines.scoring import CaseScore, score_case
from sliceweave.pipelines.tables import read_table

SHAPE = (6, 5, 4)
ODD_IDS = ["=1+1", "007", 'a,b"c"', "Zoë 研究"]


def case(predicted: int = 2, true: int = 4, has_volume: bool = True) -> CaseScore:
    masks = np.zeros((2, *SHAPE), np.uint8)
    masks[0, :predicted, 1, 1] = masks[1, :true, 1, 1] = 1
    masks[:, 2, 3, 2] = 2
    geometry = Geometry(np.diag([2.0, 0.5, 1.0, 1.0]), SHAPE)
    return score_case(*masks, geometry, {1: "femoral", 2: "tibial"}, has_volume)


def started(folder: Path) -> ScoreTables:
    tables = ScoreTables(folder)
    tables.start()
    return tables


def test_every_study_has_a_row_per_label(tmp_path: Path) -> None:
    tables = started(tmp_path / "new" / "out")
    for study_id in ODD_IDS:
        tables.add(study_id, case())
    table = read_table(tmp_path / "new/out/cases.csv")
    header = (tmp_path / "new/out/cases.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == (
        "study_id,label,dice,iou,rvd,abs_rvd,precision,recall,accuracy,hd_mm,hd95_mm,assd_mm,volume_error_ml,"
        "volume_ml,reference_volume_ml,reference_lesions,detected_lesions,lesion_sensitivity,false_positive_lesions,"
        "mean_iou"
    )
    assert table["study_id"].tolist() == [study_id for study_id in ODD_IDS for _ in range(2)]
    assert table["label"].tolist() == ["femoral", "tibial"] * 4
    assert table["dice"].tolist() == pytest.approx([2 / 3, 1] * 4, abs=1e-6)
    assert table["volume_error_ml"].tolist() == pytest.approx([-0.002, 0] * 4)


def test_the_table_is_whole_after_each_study(tmp_path: Path) -> None:
    tables = started(tmp_path)
    for count in range(3):
        assert len(read_table(tmp_path / "cases.csv")) == 2 * count
        tables.add(f"study {count}", case())
    assert not (tmp_path / "summary.csv").exists()


def test_only_tables_of_an_earlier_run_go(tmp_path: Path) -> None:
    theirs = {"table_1_demographics.csv", "table_1.csv", "tables.md", "strata.csv"}
    for name in theirs:
        (tmp_path / name).write_text("theirs")
    started(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*theirs, "cases.csv"}
    started(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"table_1_demographics.csv", "cases.csv"}


def test_what_a_video_does_not_have_is_an_empty_cell(tmp_path: Path) -> None:
    started(tmp_path).add("film", case(has_volume=False))
    assert read_table(tmp_path / "cases.csv")["volume_error_ml"].isna().all()


def test_the_summary_holds_the_numbers_of_the_cases(tmp_path: Path) -> None:
    tables = started(tmp_path)
    for predicted in (1, 2, 3):
        tables.add(f"study {predicted}", case(predicted))
    tables.finish()
    cases = read_table(tmp_path / "cases.csv")
    summary = read_table(tmp_path / "summary.csv").set_index(["label", "metric"])
    assert list(summary.columns) == [
        *("mean", "sd", "median", "low", "high", "cases"),
        *("q1", "q3", "ci95_low", "ci95_high"),
    ]
    for label, rows in cases.groupby("label"):
        mean_iou = rows["mean_iou"].agg(["mean", "std", "median", "min", "max"]).tolist()
        assert summary.loc[("all", "mean_iou")].tolist()[:5] == pytest.approx(mean_iou, rel=1e-4)
        for metric in METRICS:
            expected = rows[metric].agg(["mean", "std", "median", "min", "max"]).tolist()
            assert summary.loc[(label, metric)].tolist()[:5] == pytest.approx(expected, rel=1e-4, abs=1e-9), metric
            quartiles = rows[metric].quantile([0.25, 0.75]).tolist()
            assert summary.loc[(label, metric), ["q1", "q3"]].tolist() == pytest.approx(quartiles, rel=1e-4, abs=1e-9)
    assert summary["cases"].eq(3).all()


def test_a_label_that_only_some_studies_have_gets_a_row_in_all(tmp_path: Path) -> None:
    tables = started(tmp_path)
    tables.add("with", case())
    tables.add("without", replace(case(), labels={}))
    tables.complete(["tibial", "femoral", "patellar"])
    table = read_table(tmp_path / "cases.csv")
    assert table["label"].tolist() == ["tibial", "femoral", "patellar"] * 2
    assert table["dice"].tolist() == pytest.approx([1, 2 / 3, 1, 1, 1, 1], abs=1e-6)
    assert table["reference_volume_ml"].tolist()[3:] == [0, 0, 0]


def test_failed_studies_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    tables = started(tmp_path)
    tables.add("good", case())
    assert not (tmp_path / "failed.csv").exists()
    tables.fail("=bad", "cannot be read, it says; 'why'")
    table = read_table(tmp_path / "failed.csv")
    assert table.to_dict("records") == [{"study_id": "=bad", "reason": "cannot be read, it says; 'why'"}]
    assert set(read_table(tmp_path / "cases.csv")["study_id"]) == {"good"}


def test_a_new_run_replaces_all_of_an_earlier_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = started(tmp_path)
    first.add("old", case())
    first.fail("bad", "why")
    first.finish()
    assert not caplog.records
    for name in ("strata.csv", "table_12.csv", "tables.md"):
        (tmp_path / name).write_text("of the earlier cases")
    first.start()
    assert "replaced" in caplog.text
    assert (first.cases, first.failed) == ({}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases.csv"]
    first.add("new", case())
    first.finish()
    assert set(read_table(tmp_path / "cases.csv")["study_id"]) == {"new"}
    assert pd.read_csv(tmp_path / "summary.csv")["cases"].eq(1).all()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot use .*file.*; choose another folder with --output_dir"):
        ScoreTables(tmp_path / "file" / "out").start()
