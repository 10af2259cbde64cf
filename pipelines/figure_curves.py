"""Volumes and their errors from case to case, as curves (Figs 3 and 4 of the haematoma paper)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sliceweave.pipelines.figure_style import (
    COLUMN_MM,
    PAGE_MM,
    add_legend,
    add_note,
    mark_zero,
    new_figure,
    series_look,
    shown,
)

_HEIGHT_MM = 65.0
_MOST_IN_COLUMN = 20
_MOST_NAMED = 45
_LONGEST_ID = 16
_SMALL_MARKER_PT = 1.5
_REFERENCE: dict[str, Any] = {"color": "black", "marker": "o", "linestyle": "-", "markerfacecolor": "white"}


class _Curve(NamedTuple):
    name: str
    values: "pd.Series[float]"
    look: dict[str, Any]


def volume_curve(reference_ml: "pd.Series[float]", predicted_ml: pd.DataFrame, note: str = "") -> Figure:
    """Reference volume and each model's over the cases, which stand in the order of their reference volume.

    Args:
        reference_ml: by study; none missing.
        predicted_ml: by study and model; NaN, a gap in the curve, where a model has none.
        note: what the small print says.
    """
    models = [_Curve(str(name), predicted_ml[name], series_look(at)) for at, name in enumerate(predicted_ml)]
    curves = [*models, _Curve("reference", reference_ml, _REFERENCE)]
    return _figure(curves, reference_ml, "volume (ml)", note)


def error_curve(reference_ml: "pd.Series[float]", predicted_ml: pd.DataFrame, note: str = "") -> Figure:
    """Predicted - reference volume of each model over the cases; as `volume_curve`."""
    errors_ml = predicted_ml.sub(reference_ml, axis=0)
    curves = [_Curve(str(name), errors_ml[name], series_look(at)) for at, name in enumerate(errors_ml)]
    figure = _figure(curves, reference_ml, "predicted − reference (ml)", note)
    mark_zero(figure.axes[0])
    return figure


def _figure(curves: Sequence[_Curve], reference_ml: "pd.Series[float]", unit: str, note: str) -> Figure:
    cases = reference_ml.sort_values(kind="stable").index
    width_mm = COLUMN_MM if len(cases) <= _MOST_IN_COLUMN else PAGE_MM
    figure = new_figure(width_mm, _HEIGHT_MM)
    axes = figure.add_subplot()
    places = np.arange(1, len(cases) + 1)
    marker: dict[str, Any] = {"markersize": _SMALL_MARKER_PT} if len(cases) > _MOST_NAMED else {}
    lines = [
        axes.plot(places, curve.values.loc[cases], gid=f"curve-{at}", **curve.look, **marker)[0]
        for at, curve in enumerate(curves)
    ]
    axes.set_ylabel(unit)
    _name_cases(axes, [str(case) for case in cases])
    add_legend(figure, [(curve.name, line) for curve, line in zip(curves, lines, strict=True)], width_mm)
    add_note(figure, [note], width_mm)
    return figure


def _name_cases(axes: Axes, study_ids: Sequence[str]) -> None:
    """The studies' ids along the axis, or their numbers where there are too many."""
    axes.set_xlim(0.5, len(study_ids) + 0.5)
    order = "by rising reference volume"
    if len(study_ids) > _MOST_NAMED:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(f"number of the case, {order}")
        return
    names = [shown(study_id, _LONGEST_ID) for study_id in study_ids]
    axes.set_xticks(range(1, len(names) + 1), names, rotation=90)
    axes.set_xlabel(f"case, {order}")
