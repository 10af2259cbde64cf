"""Panels of contours: a row for each slice, with the image, the truth and each model (Figs 2, 5, 6 of the paper)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from sliceweave.pipelines.figure_style import (
    COLUMN_MM,
    MM_PER_INCH,
    PAGE_MM,
    SMALL_PT,
    Rgb,
    add_legend,
    legend_lines,
    series_colour,
    shown,
    truth_colour,
)
from sliceweave.pipelines.tiles import outlines_px

_PAGE_HEIGHT_MM = 230.0
_HEAD_MM = 18.0
_LEGEND_LINE_MM = 4.0
_LEGEND_EDGE_MM = 2.0
_TITLE_MM = 4.5
_NAME_MM = 4.0
_GAP_MM = 1.0
_TALLEST = 1.3  # of a panel, as a share of its width
_FIXED_COLUMNS = 2
_MOST_IN_COLUMN = 3
_LETTER_MM = 1.4
_SMALL_LETTER_MM = 1.15
_LINE_PT = 0.8
_TRUTH = "truth"


@dataclass(frozen=True, eq=False)
class PanelRow:
    """One slice as it lies on the screen.

    Attributes:
        study_id, slice_name: what is written beside it.
        grey: (H, W).
        pixel_mm: width and height of a pixel.
        truth: labels (H, W), 0 is background; None where there is no mask.
        models: the same of each model.
        sides: letters of the body's sides at the left and right edge.
    """

    study_id: str
    slice_name: str
    grey: NDArray[np.uint8]
    pixel_mm: tuple[float, float]
    truth: NDArray[np.int32] | None
    models: Sequence[NDArray[np.int32] | None]
    sides: tuple[str, str] = ("", "")

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height."""
        return self.grey.shape[1] * self.pixel_mm[0], self.grey.shape[0] * self.pixel_mm[1]


def rows_on_a_page(models: int) -> int:
    """How many rows a figure can have."""
    return max(1, int((_PAGE_HEIGHT_MM - _HEAD_MM) / (_panel_mm(models) * _TALLEST + _GAP_MM)))


def outlines_mm(mask: NDArray[np.bool_], pixel_mm: tuple[float, float]) -> Iterator[NDArray[np.float64]]:
    """Closed lines (N, 2) of (x, y) in mm from the upper left corner, half-way between pixels in and out of a mask."""
    for line in outlines_px(mask, pixel_mm):
        yield line + 0.5  # outlines_px counts from the middle of the first pixel of a picture of 1 mm per pixel


def draw_panels(rows: Sequence[PanelRow], models: Sequence[str]) -> Figure:
    """The figure of a page: columns are the image, the truth on it, and each model over the truth.

    Contours run at sub-pixel positions, and every panel has the proportions of the body under uneven pixel spacing.
    Of a mask of several labels each is outlined.
    """
    width_mm, panel_mm = _width_mm(len(models)), _panel_mm(len(models))
    heights_mm = [panel_mm * min(row.size_mm[1] / row.size_mm[0], _TALLEST) for row in rows]
    top_mm = legend_lines([_TRUTH, *models], width_mm) * _LEGEND_LINE_MM + _LEGEND_EDGE_MM + _TITLE_MM
    page = _Page(width_mm, top_mm + sum(heights_mm) + _GAP_MM * len(rows))
    add_legend(page.figure, _handles(models), width_mm)
    for column, title in enumerate(["image", _TRUTH, *models]):
        middle_mm = _NAME_MM + column * (panel_mm + _GAP_MM) + panel_mm / 2
        page.write(shown(title, int(panel_mm / _LETTER_MM)), middle_mm, top_mm - _TITLE_MM / 2)
    for row, height_mm in zip(rows, heights_mm, strict=True):
        page.write(_row_name(row, height_mm), _NAME_MM / 2, top_mm + height_mm / 2, rotation=90, fontsize=SMALL_PT)
        for column in range(len(models) + _FIXED_COLUMNS):
            left_mm = _NAME_MM + column * (panel_mm + _GAP_MM)
            _draw_panel(page.add_axes((left_mm, top_mm), (panel_mm, height_mm)), row, column)
        top_mm += height_mm + _GAP_MM
    return page.figure


class _Page:
    """A figure on which places are in mm from its upper left corner."""

    def __init__(self, width_mm: float, height_mm: float) -> None:
        self.size_mm = width_mm, height_mm
        self.figure = Figure((width_mm / MM_PER_INCH, height_mm / MM_PER_INCH))

    def add_axes(self, corner_mm: tuple[float, float], size_mm: tuple[float, float]) -> Axes:
        width_mm, height_mm = self.size_mm
        bottom = 1 - (corner_mm[1] + size_mm[1]) / height_mm
        return self.figure.add_axes((corner_mm[0] / width_mm, bottom, size_mm[0] / width_mm, size_mm[1] / height_mm))

    def write(self, text: str, x_mm: float, y_mm: float, **look: Any) -> None:
        x, y = x_mm / self.size_mm[0], 1 - y_mm / self.size_mm[1]
        self.figure.text(x, y, text, ha="center", va="center", **look)


def _draw_panel(axes: Axes, row: PanelRow, column: int) -> None:
    """Column 0 is the image, 1 the truth, then the models."""
    width_mm, height_mm = row.size_mm
    axes.imshow(row.grey, "gray", vmin=0, vmax=255, extent=(0, width_mm, height_mm, 0), interpolation="bilinear")
    axes.set_axis_off()
    if column == 0:
        for x, letter, side in zip((0.03, 0.97), row.sides, ("left", "right"), strict=True):
            axes.text(x, 0.97, letter, ha=side, va="top", **_on_scan(axes))
        return
    model = None if column < _FIXED_COLUMNS else column - _FIXED_COLUMNS
    _outline(axes, row.truth, row.pixel_mm, truth_colour())
    if model is not None:
        _outline(axes, row.models[model], row.pixel_mm, series_colour(model))
    if (row.truth if model is None else row.models[model]) is None:
        axes.text(0.5, 0.5, "no mask", ha="center", va="center", **_on_scan(axes))


def _on_scan(axes: Axes) -> dict[str, Any]:
    """How text lies on a scan, readable on bone too."""
    ground = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 0.8}
    return {"transform": axes.transAxes, "color": "0.85", "fontsize": SMALL_PT, "bbox": ground}


def _outline(axes: Axes, labels: NDArray[np.int32] | None, pixel_mm: tuple[float, float], colour: Rgb) -> None:
    if labels is None:
        return
    for label in np.unique(labels[labels > 0]):
        for line_mm in outlines_mm(labels == label, pixel_mm):
            axes.plot(*line_mm.T, color=colour, linewidth=_LINE_PT, scalex=False, scaley=False)


def _handles(models: Sequence[str]) -> list[tuple[str, Artist]]:
    colours = [truth_colour(), *(series_colour(number) for number in range(len(models)))]
    return [(name, Line2D([], [], color=colour)) for name, colour in zip([_TRUTH, *models], colours, strict=True)]


def _row_name(row: PanelRow, height_mm: float) -> str:
    room = int(height_mm / _SMALL_LETTER_MM) - len(row.slice_name) - 3
    return f"{shown(row.study_id, max(room, 6))} · {row.slice_name}"


def _width_mm(models: int) -> float:
    return COLUMN_MM if models + _FIXED_COLUMNS <= _MOST_IN_COLUMN else PAGE_MM


def _panel_mm(models: int) -> float:
    """Width of a panel."""
    columns = models + _FIXED_COLUMNS
    return (_width_mm(models) - _NAME_MM - _GAP_MM * (columns - 1)) / columns
