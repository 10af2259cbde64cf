"""Many cases in a few numbers: the rows of ``summary.csv``, the table in the log, the values trackers see.

One row per label and metric over the cases that have it, in number ``cases``. Then what belongs to no single case,
where ``mean`` holds the value and the other cells are empty: ``volume_rmse_ml``, and ``pooled_…``, for which the voxels
of all cases count together. Rows of the label ``all`` come last: ``mean_iou`` and ``accuracy`` over all classes, and
with several labels the mean over these of each other metric.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from statistics import fmean

import numpy as np
import pandas as pd

from sliceweave.pipelines.cells import Cell
from sliceweave.pipelines.columns import METRICS
from sliceweave.pipelines.scoring import CaseScore, LabelScore, Overlap, mean_iou, pixel_accuracy

Row = dict[str, Cell]
Values = Mapping[str, float | None]

ALL = "all"
POOLED = ("dice", "iou", "precision", "recall")
METRIC_NAMES = {
    *METRICS,
    *("abs_volume_error_ml", "volume_rmse_ml", "mean_iou", "pooled_mean_iou", "pooled_accuracy"),
    *(f"pooled_{name}" for name in POOLED),
}


def summary_rows(cases: Sequence[CaseScore]) -> list[Row]:
    """The rows of the summary; none without cases. `sd` is that of a sample, empty for one case."""
    if not cases:
        return []
    rows: list[Row] = []
    for label in cases[0].labels:
        rows += _label_rows(label, [case.labels[label] for case in cases])
    return rows + _overall_rows(cases)


def means(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """The mean of each metric and label as `{"tumor_dice": 0.77}`, for those of the summary's rows that have one."""
    return {
        f"{row['label']}_{row['metric']}": float(row["mean"])
        for row in rows
        if row["metric"] in metrics and row["mean"] is not None
    }


def readable(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """The summary of some metrics for a reader: a line per label, a column per metric, mean ± sd."""
    cells = {(str(row["label"]), row["metric"]): _mean_and_sd(row) for row in rows if row["metric"] in metrics}
    labels = list(dict.fromkeys(label for label, _ in cells))
    columns = {metric: [cells.get((label, metric), "") for label in labels] for metric in metrics}
    return pd.DataFrame(columns, index=labels).to_string()


def _label_rows(label: str, scores: Sequence[LabelScore]) -> list[Row]:
    rows = [_row(label, metric, [score.metrics[metric] for score in scores]) for metric in METRICS]
    errors_ml = [score.volume_error_ml for score in scores if score.volume_error_ml is not None]
    if errors_ml:
        rmse_ml = fmean(error_ml**2 for error_ml in errors_ml) ** 0.5
        rows.append(_row(label, "abs_volume_error_ml", [abs(error_ml) for error_ml in errors_ml]))
        rows.append(_value_row(label, "volume_rmse_ml", rmse_ml, len(scores)))
    pooled = reduce(add, (score.overlap for score in scores))
    return rows + [_value_row(label, f"pooled_{name}", getattr(pooled, name), len(scores)) for name in POOLED]


def _overall_rows(cases: Sequence[CaseScore]) -> list[Row]:
    pooled: list[Overlap] = [reduce(add, overlaps) for overlaps in zip(*(case.classes for case in cases), strict=True)]
    several = [metric for metric in METRICS if metric != "accuracy"] if len(cases[0].labels) > 1 else []
    return [
        *(_row(ALL, metric, [_mean_over_labels(case, metric) for case in cases]) for metric in several),
        _row(ALL, "mean_iou", [case.mean_iou for case in cases]),
        _row(ALL, "accuracy", [case.accuracy for case in cases]),
        _value_row(ALL, "pooled_mean_iou", mean_iou(pooled), len(cases)),
        _value_row(ALL, "pooled_accuracy", pixel_accuracy(pooled), len(cases)),
    ]


def _mean_over_labels(case: CaseScore, metric: str) -> float | None:
    values = [score.metrics[metric] for score in case.labels.values()]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _row(label: str, metric: str, values: Sequence[float | None]) -> Row:
    known = [value for value in values if value is not None]
    empty = dict.fromkeys(("mean", "sd", "median", "low", "high"))
    return {"label": label, "metric": metric, **(_statistics(known) if known else empty), "cases": len(known)}


def _statistics(values: Sequence[float]) -> Row:
    return {
        "mean": fmean(values),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "median": float(np.median(values)),
        "low": min(values),
        "high": max(values),
    }


def _value_row(label: str, metric: str, value: float, cases: int) -> Row:
    return _row(label, metric, []) | {"mean": value, "cases": cases}


def _mean_and_sd(row: Row) -> str:
    if row["mean"] is None:
        return ""
    return f"{row['mean']:.3f}" + (f" ± {row['sd']:.3f}" if row["sd"] is not None else "")
