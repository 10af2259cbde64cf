import numpy as np
import pytest

from sliceweave.pipelines.columns import METRICS, SUMMARY_COLUMNS
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.score_summary import METRIC_NAMES, Row, means, readable, summary_rows
from sliceweave.pipelines.scoring import CaseScore, score_case

SHAPE = (10, 6, 5)
GEOMETRY = Geometry(np.diag([2.0, 0.5, 1.0, 1.0]), SHAPE)  # 0.001 ml a voxel


def case(*rows: tuple[int, int], labels: tuple[str, ...] = ("tumor",), has_volume: bool = True) -> CaseScore:
    """A case where, class by class, so many voxels in a row are predicted and true, from one end."""
    masks = np.zeros((2, *SHAPE), np.uint8)
    for value, lengths in enumerate(rows, 1):
        for mask, length in zip(masks, lengths, strict=True):
            mask[:length, 2 * value - 1, 2] = value
    return score_case(*masks, GEOMETRY, dict(enumerate(labels, 1)), has_volume)


def by_name(cases: list[CaseScore]) -> dict[tuple[object, object], Row]:
    rows = summary_rows(cases)
    assert all(tuple(row) == SUMMARY_COLUMNS for row in rows)
    named = {(row["label"], row["metric"]): row for row in rows}
    assert len(named) == len(rows)
    return named


def test_each_metric_has_its_mean_deviation_median_and_extremes() -> None:
    row = by_name([case((2, 4)), case((4, 4)), case((0, 4)), case((2, 8))])["tumor", "dice"]
    dice = [4 / 6, 1, 0, 0.4]
    assert row["mean"] == pytest.approx(np.mean(dice))
    assert row["sd"] == pytest.approx(np.sqrt(np.sum((np.array(dice) - np.mean(dice)) ** 2) / 3))
    assert row["median"] == pytest.approx((4 / 6 + 0.4) / 2)
    assert (row["low"], row["high"], row["cases"]) == (0, 1, 4)


def test_signed_and_absolute_differences_of_volume_are_both_there() -> None:
    rows = by_name([case((2, 4)), case((6, 4))])
    assert (rows["tumor", "rvd"]["mean"], rows["tumor", "abs_rvd"]["mean"]) == (0, 0.5)
    assert rows["tumor", "volume_error_ml"]["mean"] == pytest.approx(0)
    assert rows["tumor", "abs_volume_error_ml"]["mean"] == pytest.approx(0.002)


def test_the_root_mean_square_of_volume_errors_weighs_large_ones_more() -> None:
    row = by_name([case((1, 4)), case((8, 4))])["tumor", "volume_rmse_ml"]
    assert row["mean"] == pytest.approx(np.sqrt((0.003**2 + 0.004**2) / 2))
    assert (row["sd"], row["low"], row["cases"]) == (None, None, 2)


def test_pooled_scores_count_the_voxels_of_all_cases_together() -> None:
    rows = by_name([case((2, 4)), case((10, 10))])
    assert rows["tumor", "pooled_dice"]["mean"] == pytest.approx(2 * 12 / (12 + 14))
    assert rows["tumor", "pooled_recall"]["mean"] == pytest.approx(12 / 14)
    assert rows["all", "pooled_accuracy"]["mean"] == pytest.approx(1 - 2 / 600)
    assert rows["all", "pooled_mean_iou"]["mean"] == pytest.approx((12 / 14 + 586 / 588) / 2)


def test_all_classes_include_the_background() -> None:
    row = by_name([case((2, 4))])["all", "mean_iou"]
    assert row["mean"] == pytest.approx((2 / 4 + 296 / 298) / 2)
    assert row["sd"] is None


def test_with_several_labels_their_mean_is_summed_up_case_by_case() -> None:
    pairs = [((2, 4), (10, 10)), ((4, 4), (5, 10))]
    rows = by_name([case(*pair, labels=("femoral", "tibial")) for pair in pairs])
    per_case = [(2 / 3 + 1) / 2, (1 + 2 / 3) / 2]
    assert rows["all", "dice"]["mean"] == pytest.approx(np.mean(per_case))
    assert rows["all", "dice"]["sd"] == pytest.approx(0)
    assert rows["all", "accuracy"]["mean"] == pytest.approx(1 - (2 + 5) / 2 / 300)
    assert rows["femoral", "dice"]["low"] == pytest.approx(2 / 3)


def test_a_single_label_has_no_mean_over_labels() -> None:
    overall = [metric for label, metric in by_name([case((2, 4))]) if label == "all"]
    assert overall == ["mean_iou", "accuracy", "pooled_mean_iou", "pooled_accuracy"]


def test_videos_have_no_millilitres() -> None:
    rows = by_name([case((2, 4), (1, 1), labels=("inner", "outer"), has_volume=False)])
    assert [rows[label, "volume_error_ml"]["mean"] for label in ("inner", "outer", "all")] == [None, None, None]
    assert ("inner", "volume_rmse_ml") not in rows
    assert rows["all", "hd_mm"]["mean"] is not None


def test_a_missed_lesion_counts_in_every_mean() -> None:
    rows = by_name([case((4, 4)), case((0, 4)), case((0, 0))])
    assert all(rows["tumor", metric]["cases"] == 3 for metric in METRICS)
    diagonal_mm = np.linalg.norm([20.0, 3.0, 5.0])
    assert rows["tumor", "hd95_mm"]["mean"] == pytest.approx(diagonal_mm / 3)
    assert rows["tumor", "dice"]["mean"] == pytest.approx(2 / 3)


def test_no_cases_have_no_summary() -> None:
    assert summary_rows([]) == []


def test_the_names_that_can_be_chosen_are_those_of_the_rows() -> None:
    assert {row["metric"] for row in summary_rows([case((2, 4))])} == METRIC_NAMES


def test_trackers_get_the_chosen_means_by_label() -> None:
    rows = summary_rows([case((2, 4)), case((4, 4))])
    assert means(rows, ["precision", "mean_iou"]) == {
        "tumor_precision": 1,
        "all_mean_iou": pytest.approx(((0.5 + 296 / 298) / 2 + 1) / 2),
    }


def test_the_log_shows_a_line_per_label_and_a_column_per_metric() -> None:
    rows = summary_rows([case((2, 4), (1, 1), labels=("a", "b")), case((4, 4), (1, 1), labels=("a", "b"))])
    lines = readable(rows, ["dice", "mean_iou"]).splitlines()
    assert lines[0].split() == ["dice", "mean_iou"]
    assert lines[1].split() == ["a", "0.833", "±", "0.236"]
    assert [line.split()[0] for line in lines[1:]] == ["a", "b", "all"]
    assert lines[3].count("±") == 2
    single = readable(summary_rows([case((2, 4))]), ["dice"]).splitlines()
    assert [line.split() for line in single] == [["dice"], ["tumor", "0.667"]]
