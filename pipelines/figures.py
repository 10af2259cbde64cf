"""The figures of an evaluation: volume and error curves, Bland–Altman, agreement, boxes of each metric."""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from tqdm import tqdm

from sliceweave.pipelines.atomic import make_folder
from sliceweave.pipelines.case_values import (
    Cases,
    check_table,
    has_column,
    labels_of,
    missing_counts,
    reference_of,
    values_of,
)
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.figure_agreement import agreement_scatter, bland_altman
from sliceweave.pipelines.figure_boxes import metric_boxes
from sliceweave.pipelines.figure_curves import error_curve, volume_curve
from sliceweave.pipelines.figure_style import figure_style, write_figure
from sliceweave.pipelines.studies import file_stem

logger = logging.getLogger(__name__)

Draw = Callable[["pd.Series[float]", pd.DataFrame, str], Figure]

DEFAULT_METRICS = ("dice", "iou", "hd95_mm", "assd_mm")
_VOLUMES: dict[str, Draw] = {
    "volumes": volume_curve,
    "volume_errors": error_curve,
    "bland_altman": bland_altman,
    "agreement": agreement_scatter,
}


def figures_of(cases: Cases, directory: Path, metrics: Sequence[str] = DEFAULT_METRICS) -> list[Path]:
    """Writes each figure that the tables have the numbers for as SVG and PNG; the paths, in the order of a report.

    Volume figures need `volume_ml` and `reference_volume_ml`: `volumes`, `volume_errors`, `bland_altman`, `agreement`,
    with `_<label>` where there are several labels. Each metric gives its boxes, all labels in one figure. Values that
    are missing are left out and counted below the figure; a figure of nothing else is not drawn, which is logged.

    Args:
        cases: the table of each model, as `sliceweave evaluate` or a volume report writes it.
        directory: made where it is not there.
        metrics: columns to draw as boxes.

    Raises:
        InputError: a table that cannot be shown, or a figure that cannot be written.
    """
    for name, table in cases.items():
        check_table(table, name)
    make_folder(directory, "choose another folder with --out")
    with figure_style():
        drawn = chain(_volume_figures(cases), _boxes(cases, metrics))
        progress = tqdm(drawn, desc="figures", unit="figure", disable=None)
        return [path for stem, figure in progress for path in write_figure(figure, directory, stem)]


def check_metrics(cases: Cases, metrics: Sequence[str]) -> None:
    """Raises InputError where no table has a column of such a name."""
    columns = {str(column) for table in cases.values() for column in table.select_dtypes("number")}
    if unknown := [metric for metric in metrics if metric not in columns]:
        choice = ", ".join(sorted(columns)) or "(none)"
        raise InputError(f"--metrics: no table has the column {', '.join(unknown)}; choose from {choice}")


def _volume_figures(cases: Cases) -> Iterator[tuple[str, Figure]]:
    if absent := [name for name in ("volume_ml", "reference_volume_ml") if not has_column(cases, name)]:
        logger.info("no figures of volumes: the tables have no %s", " and no ".join(absent))
        return
    labels = labels_of(cases)
    for label in labels:
        ending = f"_{file_stem(label)}" if len(labels) > 1 else ""
        reference_ml, predicted_ml, note = _volumes(cases, label)
        if reference_ml.empty or predicted_ml.isna().all(axis=None):
            logger.warning("no figures of volumes of %s: %s", label, note)
            continue
        note = "; ".join(filter(None, [label if ending else "", note]))
        yield from ((f"{stem}{ending}", draw(reference_ml, predicted_ml, note)) for stem, draw in _VOLUMES.items())


def _volumes(cases: Cases, label: str) -> tuple["pd.Series[float]", pd.DataFrame, str]:
    """Reference by study, prediction by study and model, and what is left out of them."""
    reference_ml = reference_of(cases, label)
    known = reference_ml.notna()
    predicted_ml = values_of(cases, "volume_ml", label)[known]
    unknown = f"left out without a reference volume: {(~known).sum()}" if not known.all() else ""
    missing = missing_counts(predicted_ml)
    absent = f"no value, not shown: {missing}" if missing else ""
    note = "; ".join(filter(None, [f"{known.sum()} cases", unknown, absent]))
    return reference_ml[known], predicted_ml, note


def _boxes(cases: Cases, metrics: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    for metric in metrics:
        if not has_column(cases, metric):
            logger.info("no figure of %s: the tables have no such numbers", metric)
            continue
        values = {label: values_of(cases, metric, label) for label in labels_of(cases)}
        if not values:
            raise InputError("expected a label in some row of the tables, got none; name one in the column `label`")
        yield file_stem(metric), metric_boxes(values, metric, _box_note(values))


def _box_note(values: dict[str, pd.DataFrame]) -> str:
    cases = max(len(table) for table in values.values())
    missing = [f"{label}: {counts}" for label, table in values.items() if (counts := missing_counts(table))]
    return f"{cases} cases" + (f"; no value, not shown: {'; '.join(missing)}" if missing else "")
