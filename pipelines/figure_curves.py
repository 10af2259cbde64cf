"""Volumes and their errors from case to case, as curves (Figs 3 and 4 of the haematoma paper)."""

from collections.abc import Iterable, Sequence
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

_HEIGHT_MM = 60.0
_MOST_IN_COLUMN = 20
_MOST_NAMED = 45
_LONGEST_ID = 16
_LETTER_MM = 1.2
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
    figure = _figure(curves, reference_ml, "volume (ml)", note)
    axes = figure.axes[0]
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))  # a healthy case stands clear of the axis
    return figure


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
    names = _names(cases)
    figure = new_figure(width_mm, _HEIGHT_MM + _LETTER_MM * max(map(len, names), default=0))
    axes = figure.add_subplot()
    places = np.arange(1, len(cases) + 1)
    marker: dict[str, Any] = {"markersize": _SMALL_MARKER_PT} if len(cases) > _MOST_NAMED else {}
    lines = [
        axes.plot(places, curve.values.loc[cases], gid=f"curve-{at}", **curve.look, **marker)[0]
        for at, curve in enumerate(curves)
    ]
    axes.set_ylabel(unit)
    _name_cases(axes, names, len(cases))
    add_legend(figure, [(curve.name, line) for curve, line in zip(curves, lines, strict=True)], width_mm)
    add_note(figure, [note], width_mm)
    return figure


def _names(cases: Iterable[object]) -> list[str]:
    """The studies' ids as they stand along the axis; none where there are too many."""
    names = [shown(str(case), _LONGEST_ID) for case in cases]
    return names if len(names) <= _MOST_NAMED else []


def _name_cases(axes: Axes, names: Sequence[str], cases: int) -> None:
    axes.set_xlim(0.5, cases + 0.5)
    if names:
        axes.set_xticks(range(1, cases + 1), names, rotation=90)
        axes.set_xlabel("case, by rising reference volume")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("number of the case, by rising reference volume")
