import numpy as np
import pytest
from numpy.typing import NDArray

from sliceweave.pipelines.columns import LESION_COLUMNS, SLICE_COLUMNS, VOLUME_COLUMNS
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.rows import (
    LabelResult,
    StudyFacts,
    failed_rows,
    lesion_rows,
    slice_rows,
    study_rows,
    volume_row,
)
from sliceweave.pipelines.volumetry import measure

FACTS = StudyFacts("pt1", "ab12", "hematoma", "0.1.0", 1.23456, ("windowed_input",))
GEOMETRY = Geometry(np.diag([0.45, 0.5, 5.0, 1.0]), (20, 24, 9))


def two_boxes() -> NDArray[np.uint8]:
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask[2:6, 3:9, 1:4] = 1
    mask[12:14, 3:5, 6] = 1
    return mask


def result(mask: NDArray[np.uint8]) -> LabelResult:
    return LabelResult("hematoma", measure(mask, GEOMETRY), reference_volume_ml=0.5)


def test_volume_columns_are_those_of_the_report() -> None:
    assert ",".join(VOLUME_COLUMNS) == (
        "study_id,status,reason,label,volume_ml,volume_low_ml,volume_high_ml,coverage,spread_ml,"
        "reference_volume_ml,abc2_ml,a_mm,b_mm,c_mm,lesions,largest_lesion_ml,slices,max_area_mm2,centroid_r_mm,centroid_a_mm,centroid_s_mm,side,"
        "voxel_ml,spacing_mm,flags,source,image_sha256,model,model_version,seconds"
    )


@pytest.mark.parametrize("mask", [two_boxes(), np.zeros(GEOMETRY.shape, np.uint8)], ids=["lesions", "healthy"])
def test_rows_fill_every_column_and_no_other(mask: NDArray[np.uint8]) -> None:
    assert set(volume_row(FACTS, GEOMETRY, result(mask))) == set(VOLUME_COLUMNS)
    assert set(failed_rows(FACTS, "no").volumes[0]) == set(VOLUME_COLUMNS)
    assert all(set(row) == set(LESION_COLUMNS) for row in lesion_rows("pt1", result(mask)))
    assert all(set(row) == set(SLICE_COLUMNS) for row in slice_rows("pt1", GEOMETRY, result(mask)))


def test_a_volume_row_says_what_was_measured() -> None:
    row = volume_row(FACTS, GEOMETRY, result(two_boxes()))
    pixel_mm2, thickness_mm = 0.45 * 0.5, 5
    assert row["status"] == "ok"
    assert row["volume_ml"] == pytest.approx((24 * 3 + 4) * pixel_mm2 * thickness_mm / 1000)
    assert row["largest_lesion_ml"] == pytest.approx(24 * 3 * pixel_mm2 * thickness_mm / 1000)
    assert (row["lesions"], row["slices"], row["reference_volume_ml"]) == (2, 4, 0.5)
    assert row["spacing_mm"] == "0.45x0.5x5"
    assert row["flags"] == "windowed_input;tiny_lesion"
    assert (row["image_sha256"], row["model"], row["model_version"], row["seconds"]) == (
        "ab12",
        "hematoma",
        "0.1.0",
        1.23,
    )


def test_abc2_of_a_volume_row_is_that_of_the_largest_lesion() -> None:
    row = volume_row(FACTS, GEOMETRY, result(two_boxes()))
    largest = lesion_rows("pt1", result(two_boxes()))[0]
    for column in ("abc2_ml", "a_mm", "b_mm", "c_mm", "max_area_mm2"):
        assert row[column] == largest[column]
    assert row["c_mm"] == 15


def test_a_healthy_study_is_zero_ml_with_empty_fields() -> None:
    healthy = result(np.zeros(GEOMETRY.shape, np.uint8))
    row = volume_row(FACTS, GEOMETRY, healthy)
    assert (row["status"], row["volume_ml"], row["lesions"], row["slices"]) == ("ok", 0.0, 0, 0)
    assert {column for column, cell in row.items() if cell is None} == {
        *("volume_low_ml", "volume_high_ml", "coverage", "abc2_ml", "a_mm", "b_mm", "c_mm", "largest_lesion_ml"),
        *("max_area_mm2", "centroid_r_mm", "centroid_a_mm", "centroid_s_mm", "spread_ml"),
    }
    assert row["side"] == ""
    assert lesion_rows("pt1", healthy) == []
    assert {row["area_mm2"] for row in slice_rows("pt1", GEOMETRY, healthy)} == {0.0}


def test_an_interval_fills_its_columns() -> None:
    ranged = LabelResult("hematoma", measure(two_boxes(), GEOMETRY), (0.1, 0.3), 0.9)
    row = volume_row(FACTS, GEOMETRY, ranged)
    assert (row["volume_low_ml"], row["volume_high_ml"], row["coverage"]) == (0.1, 0.3, 0.9)


def test_lesions_are_numbered_from_the_largest() -> None:
    rows = lesion_rows("pt1", result(two_boxes()))
    assert [row["lesion"] for row in rows] == [1, 2]
    assert [row["slices"] for row in rows] == [3, 1]
    assert [row["touches_border"] for row in rows] == [False, False]


def test_slice_rows_multiply_to_the_volume_also_between_uneven_slices() -> None:
    positions_mm = np.array([0.0, 5, 10, 15, 20, 27, 34, 41, 48])
    affine_ras = np.diag([0.45, 0.5, 6.0, 1.0])
    affine_ras[2, 2:] = np.polyfit(np.arange(9), positions_mm, 1)
    uneven = Geometry(affine_ras, GEOMETRY.shape, np.outer(positions_mm, [0, 0, 1]))
    measured = LabelResult("hematoma", measure(two_boxes(), uneven))
    rows = slice_rows("pt1", uneven, measured)
    assert [row["slice"] for row in rows] == list(range(9))
    assert [row["slice"] for row in rows if row["area_mm2"]] == [1, 2, 3, 6]
    volume_ml = sum(float(row["area_mm2"] or 0) * float(row["thickness_mm"] or 0) for row in rows) / 1000
    assert volume_ml == pytest.approx(measured.measurement.volume_ml)


def test_a_study_has_one_volume_row_per_label() -> None:
    rows = study_rows(FACTS, GEOMETRY, [result(two_boxes()), LabelResult("edema", measure(two_boxes(), GEOMETRY))])
    assert [row["label"] for row in rows.volumes] == ["hematoma", "edema"]
    assert [row["label"] for row in rows.lesions] == ["hematoma"] * 2 + ["edema"] * 2
    assert len(rows.slices) == 2 * 9


def test_a_failed_study_is_one_row_with_a_one_line_reason_and_no_label() -> None:
    rows = failed_rows(FACTS, "file is cut short:\n  expected 512 slices")
    assert (len(rows.volumes), rows.lesions, rows.slices) == (1, (), ())
    row = rows.volumes[0]
    assert (row["status"], row["reason"]) == ("failed", "file is cut short: expected 512 slices")
    assert row["label"] is None
    assert (row["model"], row["flags"]) == ("hematoma", "windowed_input")
