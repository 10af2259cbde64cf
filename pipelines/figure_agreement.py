"""Whether predicted volumes can stand for the reference: Bland–Altman plots, and scatter about the identity line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sliceweave.pipelines.figure_style import COLUMN_MM, PAGE_MM, add_note, mark_zero, new_figure, series_look, shown

_LIMITS_SD = 1.96
_MOST_COLUMNS = 3
_TALLEST_MM = 70.0


@dataclass(frozen=True)
class Agreement:
    """How predicted volumes agree with reference ones, predicted - reference; None where it is not defined.

    Attributes:
        bias_ml: mean difference.
        limit_low_ml, limit_high_ml: 95 % limits of agreement, bias ± 1.96 sample SD (Bland and Altman 1986); they need
            two cases.
        pearson_r: needs three cases, and volumes that differ on both sides.
        ccc: Lin's concordance, with moments over n (Lin 1989); needs the same.
    """

    bias_ml: float
    limit_low_ml: float | None
    limit_high_ml: float | None
    pearson_r: float | None
    ccc: float | None


def agreement(predicted_ml: NDArray[np.float64], reference_ml: NDArray[np.float64]) -> Agreement:
    """The agreement of one case or more, without missing values."""
    differences_ml = predicted_ml - reference_ml
    bias_ml, has_limits = float(differences_ml.mean()), len(differences_ml) > 1
    spread_ml = _LIMITS_SD * float(differences_ml.std(ddof=1)) if has_limits else math.nan
    is_defined = len(differences_ml) > 2 and min(np.ptp(predicted_ml), np.ptp(reference_ml)) > 0
    r = float(np.corrcoef(predicted_ml, reference_ml)[0, 1]) if is_defined else math.nan
    sds = float(predicted_ml.std()), float(reference_ml.std())
    return Agreement(
        bias_ml=bias_ml,
        limit_low_ml=bias_ml - spread_ml if has_limits else None,
        limit_high_ml=bias_ml + spread_ml if has_limits else None,
        pearson_r=r if is_defined else None,
        ccc=2 * r * sds[0] * sds[1] / (sds[0] ** 2 + sds[1] ** 2 + bias_ml**2) if is_defined else None,
    )


def bland_altman(reference_ml: "pd.Series[float]", predicted_ml: pd.DataFrame, note: str = "") -> Figure:
    """Difference against mean of predicted and reference volume, a plot for each model.

    Args:
        reference_ml: by study; none missing.
        predicted_ml: by study and model; NaN where a model has none.
        note: what else the small print says.
    """
    figure, plots = _plots(predicted_ml)
    for index, (axes, name) in enumerate(zip(plots, predicted_ml, strict=True)):
        pairs = _pairs(predicted_ml[name], reference_ml)
        mark_zero(axes)
        axes.plot(pairs.mean(axis=1), pairs["predicted"] - pairs["reference"], gid=f"cases-{index}", **_points(index))
        axes.set_title(f"{shown(str(name))}\n{_mark_limits(axes, pairs)}")
    _name_axes(plots, "mean of predicted and reference (ml)", "predicted − reference (ml)")
    add_note(figure, ["solid: bias; dashed: 95 % limits of agreement", note], _width_mm(len(plots)))
    return figure


def agreement_scatter(reference_ml: "pd.Series[float]", predicted_ml: pd.DataFrame, note: str = "") -> Figure:
    """Predicted against reference volume with the identity line, a plot for each model; as `bland_altman`."""
    figure, plots = _plots(predicted_ml)
    top_ml = 1.05 * max(float(reference_ml.max()), float(np.nanmax(predicted_ml.to_numpy())), 0.1)
    for index, (axes, name) in enumerate(zip(plots, predicted_ml, strict=True)):
        pairs = _pairs(predicted_ml[name], reference_ml)
        axes.plot([0, top_ml], [0, top_ml], color="0.4", linewidth=0.6, linestyle="--")
        axes.plot(pairs["reference"], pairs["predicted"], gid=f"cases-{index}", **_points(index))
        axes.set_title(f"{shown(str(name))}\n{_correlation(pairs)}")
        axes.set(xlim=(-0.03 * top_ml, top_ml), ylim=(-0.03 * top_ml, top_ml), aspect="equal")
    _name_axes(plots, "reference volume (ml)", "predicted volume (ml)")
    add_note(figure, ["dashed: identity; CCC: Lin's concordance", note], _width_mm(len(plots)))
    return figure


def _mark_limits(axes: Axes, pairs: pd.DataFrame) -> str:
    """Draws bias and limits; what they are."""
    if pairs.empty:
        return "no cases"
    found = agreement(pairs["predicted"].to_numpy(), pairs["reference"].to_numpy())
    axes.axhline(found.bias_ml, color="black", linewidth=0.8)
    for limit_ml in (found.limit_low_ml, found.limit_high_ml):
        if limit_ml is not None:
            axes.axhline(limit_ml, color="black", linewidth=0.8, linestyle="--")
    limits = f"{_decimals(found.limit_low_ml, 2)} to {_decimals(found.limit_high_ml, 2)} ml"
    return f"bias {_decimals(found.bias_ml, 2)} ml, n = {len(pairs)}\nlimits {limits}"


def _correlation(pairs: pd.DataFrame) -> str:
    if pairs.empty:
        return "no cases"
    found = agreement(pairs["predicted"].to_numpy(), pairs["reference"].to_numpy())
    return f"r = {_decimals(found.pearson_r, 3)}, CCC = {_decimals(found.ccc, 3)}, n = {len(pairs)}"


def _name_axes(plots: Sequence[Axes], across: str, up: str) -> None:
    """Names and numbers at the outer plots only."""
    columns = _columns(len(plots))
    for place, axes in enumerate(plots):
        if place % columns == 0:
            axes.set_ylabel(up)
        if place + columns >= len(plots):
            axes.set_xlabel(across)
            axes.xaxis.set_tick_params(labelbottom=True)


def _points(index: int) -> dict[str, Any]:
    return {**series_look(index), "linestyle": "none", "markersize": 3, "alpha": 0.8}


def _pairs(predicted_ml: "pd.Series[float]", reference_ml: "pd.Series[float]") -> pd.DataFrame:
    return pd.DataFrame({"predicted": predicted_ml, "reference": reference_ml}).dropna()


def _plots(predicted_ml: pd.DataFrame) -> tuple[Figure, list[Axes]]:
    """A figure with a plot for each model, over the same axes."""
    count = predicted_ml.shape[1]
    columns = _columns(count)
    rows = math.ceil(count / columns)
    width_mm = _width_mm(count)
    figure = new_figure(width_mm, rows * (min(width_mm / columns, _TALLEST_MM) + 10) + 6)
    plots = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel())
    for unused in plots[count:]:
        unused.remove()
    return figure, plots[:count]


def _columns(count: int) -> int:
    return count if count <= _MOST_COLUMNS else math.ceil(count / math.ceil(count / _MOST_COLUMNS))


def _width_mm(count: int) -> float:
    return COLUMN_MM if count == 1 else PAGE_MM


def _decimals(value: float | None, places: int) -> str:
    return "n/a" if value is None else f"{value:.{places}f}".replace("-", "−")
