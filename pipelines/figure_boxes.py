"""One metric over the cases as boxes, class by class, the models side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from sliceweave.pipelines.figure_style import (
    COLUMN_MM,
    PAGE_MM,
    Rgb,
    add_legend,
    add_note,
    new_figure,
    series_colour,
    series_look,
    shown,
)

_HEIGHT_MM = 65.0
_MOST_IN_COLUMN = 12  # boxes
_LONGEST_LABEL = 22
_MOST_UPRIGHT = 40  # letters of labels in a column's width
_ROOM = 0.8  # of the distance of two classes, for their boxes
_WIDEST = 0.3
_GOLDEN = 0.618  # spreads points evenly in any number

_NAMES = {
    "dice": "Dice",
    "iou": "IoU",
    "mean_iou": "mean IoU",
    "rvd": "relative volume difference",
    "abs_rvd": "|relative volume difference|",
    "hd_mm": "Hausdorff distance (mm)",
    "hd95_mm": "HD95 (mm)",
    "assd_mm": "ASSD (mm)",
    "volume_error_ml": "predicted − reference volume (ml)",
}


def metric_name(metric: str) -> str:
    """A column of the tables as the name of an axis, with its unit."""
    stem, _, unit = metric.rpartition("_")
    plain = f"{stem} ({unit})" if stem and unit in ("mm", "ml", "mm2", "s") else metric
    return _NAMES.get(metric, plain.replace("_", " "))


def metric_boxes(values: Mapping[str, pd.DataFrame], metric: str, note: str = "") -> Figure:
    """Boxes of a metric: quartiles and median, whiskers to the last case within 1.5 box heights, every case a point.

    Args:
        values: of each class, by study and model; NaN where there is none.
        metric: the tables' column.
        note: what else the small print says.
    """
    models = list(next(iter(values.values())).columns)
    width_mm = COLUMN_MM if len(values) * len(models) <= _MOST_IN_COLUMN else PAGE_MM
    figure = new_figure(width_mm, _HEIGHT_MM)
    axes = figure.add_subplot()
    width = min(_ROOM / len(models), _WIDEST)
    for at, table in enumerate(values.values()):
        for number, model in enumerate(models):
            place = at + (number - (len(models) - 1) / 2) * width
            _draw_box(axes, table[model].dropna().to_numpy(), (place, width), number)
    _name_classes(axes, list(values), width_mm)
    axes.set_ylabel(metric_name(metric))
    patches = [Patch(facecolor=_pale(number), edgecolor=series_colour(number)) for number in range(len(models))]
    add_legend(figure, [(str(model), patch) for model, patch in zip(models, patches, strict=True)], width_mm)
    add_note(figure, ["boxes: quartiles and median; whiskers: within 1.5 box heights", note], width_mm)
    return figure


def _draw_box(axes: Axes, values: NDArray[np.float64], box: tuple[float, float], number: int) -> None:
    place, width = box
    if not len(values):
        return
    colour = series_colour(number)
    line = {"color": colour, "linewidth": 0.8}
    axes.boxplot(
        [values],
        positions=[place],
        widths=0.8 * width,
        manage_ticks=False,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": _pale(number), "edgecolor": colour, "linewidth": 0.8},
        medianprops={"color": "black", "linewidth": 1},
        whiskerprops=line,
        capprops=line,
    )
    spread = (np.arange(len(values)) * _GOLDEN % 1 - 0.5) * 0.5 * width
    look = {**series_look(number), "linestyle": "none", "markersize": 1.5, "alpha": 0.7}
    axes.plot(place + spread, values, gid=f"cases-{place:g}", **look)


def _name_classes(axes: Axes, labels: list[str], width_mm: float) -> None:
    names = [shown(label, _LONGEST_LABEL) for label in labels]
    lies = sum(map(len, names)) > _MOST_UPRIGHT * width_mm / COLUMN_MM
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if lies else {}
    axes.set_xticks(range(len(names)), names, **turned)
    axes.set_xlim(-0.5, len(names) - 0.5)


def _pale(number: int) -> Rgb:
    red, green, blue = (0.3 * part + 0.7 for part in series_colour(number))
    return red, green, blue
