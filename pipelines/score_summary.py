"""Many cases in a few numbers: the rows of ``summary.csv``, the table in the log, the values trackers see.

One row per label and metric over the cases that have it, in number ``cases``: ``low`` and ``high`` are the extremes,
``q1`` and ``q3`` the quartiles, ``ci95_…`` the ends of the mean's interval (see ``mean_interval``). Then what belongs
to no single case, where ``mean`` holds the value and the other cells are empty: how well volumes agree (``volume_…``,
see ``agreement``), ``pooled_…``, for which the voxels or lesions of all cases count together, and
``false_positives_per_study``. Rows of the label ``all`` come last: ``mean_iou`` and ``accuracy`` over all classes, and
with several labels the mean over these of each other metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from operator import add
from statistics import fmean

import numpy as np
import pandas as pd

from sliceweave.pipelines.agreement import Agreement, agreement
from sliceweave.pipelines.columns import METRICS, SUMMARY_COLUMNS
from sliceweave.pipelines.lesion_detection import Detection
from sliceweave.pipelines.mean_interval import mean_interval
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.scoring import CaseScore, LabelScore, Overlap, mean_iou, pixel_accuracy

Values = Mapping[str, float | None]

ALL = "all"
_STATISTICS = [column for column in SUMMARY_COLUMNS if column not in ("label", "metric", "cases")]
POOLED = ("dice", "iou", "precision", "recall")
METRIC_NAMES = {
    *METRICS,
    *("abs_volume_error_ml", "mean_iou", "pooled_mean_iou", "pooled_accuracy"),
    *(f"volume_{name}" for name in Agreement.__dataclass_fields__),
    *("pooled_lesion_sensitivity", "false_positives_per_study"),
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
    pooled = reduce(add, (score.overlap for score in scores))
    return [
        *(_row(label, metric, [score.metrics[metric] for score in scores]) for metric in METRICS),
        *_volume_rows(label, scores),
        *(_value_row(label, f"pooled_{name}", getattr(pooled, name), len(scores)) for name in POOLED),
        *_lesion_rows(label, [score.detection for score in scores if score.detection]),
    ]


def _volume_rows(label: str, scores: Sequence[LabelScore]) -> list[Row]:
    volumes_ml = [(score.volume_ml, score.reference_volume_ml) for score in scores]
    known_ml = [(ml, reference_ml) for ml, reference_ml in volumes_ml if ml is not None and reference_ml is not None]
    if not known_ml:
        return []
    found = agreement(*zip(*known_ml, strict=True))
    return [
        _row(label, "abs_volume_error_ml", [abs(ml - reference_ml) for ml, reference_ml in known_ml]),
        *(_value_row(label, f"volume_{name}", value, len(known_ml)) for name, value in asdict(found).items()),
    ]


def _lesion_rows(label: str, detections: Sequence[Detection]) -> list[Row]:
    if not detections:
        return []
    pooled, cases = reduce(add, detections), len(detections)
    sensitivity = pooled.sensitivity if pooled.lesions else None
    return [
        _value_row(label, "pooled_lesion_sensitivity", sensitivity, cases),
        _value_row(label, "false_positives_per_study", pooled.false_positives / cases, cases),
    ]


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
    statistics = _statistics(known) if known else dict.fromkeys(_STATISTICS)
    row = {"label": label, "metric": metric, **statistics, "cases": len(known)}
    return {column: row[column] for column in SUMMARY_COLUMNS}


def _statistics(values: Sequence[float]) -> Row:
    q1, median, q3 = (float(quartile) for quartile in np.percentile(values, (25, 50, 75)))
    ci95_low, ci95_high = mean_interval(values)
    return {
        "mean": fmean(values),
        "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "median": median,
        "low": min(values),
        "high": max(values),
        "q1": q1,
        "q3": q3,
        "ci95_low": ci95_low,
        "ci95_high": ci95_high,
    }


def _value_row(label: str, metric: str, value: float | None, cases: int) -> Row:
    return _row(label, metric, []) | {"mean": value, "cases": cases}


def _mean_and_sd(row: Row) -> str:
    if row["mean"] is None:
        return ""
    return f"{row['mean']:.3f}" + (f" ± {row['sd']:.3f}" if row["sd"] is not None else "")
