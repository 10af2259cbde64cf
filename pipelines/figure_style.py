"""How every figure looks and how it is written: colours for any eye, sizes of a journal's columns, SVG and PNG.

Drawing and writing both stand inside ``figure_style``: matplotlib reads its settings at either time, and they are as
they were afterwards. A figure's content depends on its data alone, so a rerun writes the same bytes.
"""

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

from matplotlib import font_manager, style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.lettering import latin
from sliceweave.pipelines.tiles import label_colour

Rgb = tuple[float, float, float]

COLUMN_MM = 85.0
PAGE_MM = 174.0
MM_PER_INCH = 25.4
_PT_PER_INCH = 72
FONT_PT = 7.0
SMALL_PT = 6.0

_PNG_DPI = 300
# Of Okabe and Ito's colours those that stand out from white and from a grey scan; the green is the truth's on a scan.
_ORDER = (6, 2, 5, 1, 7)
_TRUTH = 3
_MARKERS = "osD^vPX"
_DASHES = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (4, 1, 1, 1)))
# Letters beyond the Latin, Greek and Cyrillic of matplotlib's own font, as the usual systems bring them.
_FURTHER_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei"),
    *("PingFang SC", "Hiragino Sans GB", "Heiti SC", "Arial Unicode MS"),
)
_LEGEND_EM = {"legend.handlelength": 2.0, "legend.handletextpad": 0.6, "legend.columnspacing": 1.4}
_LETTER_MM = 1.4  # at FONT_PT, more than the mean


@contextmanager
def figure_style() -> Iterator[None]:
    """The settings under which a figure is drawn and written; matplotlib's own come back at the end."""
    with style.context(_settings(), after_reset=True):  # whatever a user's matplotlibrc says
        yield


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """An empty figure of that size, whose parts make room for each other."""
    return Figure((width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), layout="constrained")


def write_figure(figure: Figure, directory: Path, stem: str) -> list[Path]:
    """Writes `<stem>.svg` and `<stem>.png` (300 dpi).

    Raises:
        InputError: they cannot be written.
    """
    paths = []
    for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        paths.append(directory / f"{stem}.{kind}")
        write_atomically(paths[-1], buffer.getvalue())
    return paths


def series_colour(index: int) -> Rgb:
    """Colour of the model of that number, the same in every figure; five, then they come again."""
    return _rgb(_ORDER[index % len(_ORDER)])


def truth_colour() -> Rgb:
    """Colour of the true contour on a scan."""
    return _rgb(_TRUTH)


def series_look(index: int) -> dict[str, Any]:
    """Colour, marker and dashes of a line: told apart without colours too, and no two of 140 models are the same."""
    return {
        "color": series_colour(index),
        "marker": _MARKERS[index % len(_MARKERS)],
        "linestyle": _DASHES[index % len(_DASHES)],
    }


def shown(text: str, most: int = 32) -> str:
    """Text of a user's for a figure: one line, its middle left out where it is longer than so many letters.

    Letters that no font here has, and what cannot stand in an SVG, become escapes such as ``\\u5f20``.
    """
    joined = " ".join(text.split())
    plain = "".join(letter if _drawable(letter) else _escaped(letter) for letter in joined)
    if len(plain) <= most:
        return plain
    half = (most - 1) // 2
    return f"{plain[: most - 1 - half].rstrip()}…{plain[-half:].lstrip()}"


def add_legend(figure: Figure, handles: Sequence[tuple[str, Artist]], width_mm: float) -> None:
    """A legend above the plots, in as many columns as the width holds."""
    names = [name for name, _ in handles]
    # A label that begins with "_" is left out of a legend: the texts are set afterwards.
    stand_ins = [f"{number}" for number in range(len(names))]
    place: Literal["upper left", "outside upper left"]
    place = "outside upper left" if figure.get_layout_engine() else "upper left"
    columns = _legend_columns(names, width_mm)
    legend = figure.legend([artist for _, artist in handles], stand_ins, loc=place, ncols=columns)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(shown(name))


def legend_lines(names: Sequence[str], width_mm: float) -> int:
    """How many lines the legend of such names has."""
    return math.ceil(len(names) / _legend_columns(names, width_mm))


def _legend_columns(names: Sequence[str], width_mm: float) -> int:
    widest_pt = max(TextPath((0, 0), shown(name), FONT_PT).get_extents().width for name in names)
    column_pt = widest_pt + sum(_LEGEND_EM.values()) * FONT_PT
    return max(1, int(width_mm * _PT_PER_INCH / MM_PER_INCH / column_pt))


def add_note(figure: Figure, notes: Sequence[str], width_mm: float) -> None:
    """Small print below the plots, such as how many cases are not shown."""
    lines = textwrap.wrap("; ".join(filter(None, notes)), int(width_mm / _LETTER_MM * FONT_PT / SMALL_PT))
    figure.supxlabel("\n".join(lines), fontsize=SMALL_PT, color="0.3", x=0.01, ha="left")


def mark_zero(axes: Axes) -> None:
    """A thin line at zero."""
    axes.axhline(0, color="0.6", linewidth=0.6, zorder=0)


def _fonts() -> list[str]:
    return ["DejaVu Sans", *(name for name in _FURTHER_FONTS if name in _installed())]


def _settings() -> dict[str, Any]:
    return {
        "font.family": _fonts(),
        "font.size": FONT_PT,
        "axes.titlesize": FONT_PT,
        "axes.labelsize": FONT_PT,
        "xtick.labelsize": SMALL_PT,
        "ytick.labelsize": SMALL_PT,
        "legend.fontsize": FONT_PT,
        "legend.frameon": False,
        **_LEGEND_EM,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "lines.linewidth": 0.9,
        "lines.markersize": 2.5,
        "text.parse_math": False,  # a study may be called a$b$
        "savefig.dpi": _PNG_DPI,
        "svg.fonttype": "none",  # text that can be searched and edited
        "svg.hashsalt": "sliceweave",
    }


def _rgb(label: int) -> Rgb:
    red, green, blue = label_colour(label)
    return red / 255, green / 255, blue / 255


def _escaped(letter: str) -> str:
    plain = latin(letter) if letter.isprintable() else ""
    return plain or letter.encode("unicode_escape").decode()


def _drawable(letter: str) -> bool:
    return letter.isprintable() and any(ord(letter) in letters for letters in _known_letters())


@cache
def _installed() -> frozenset[str]:
    return frozenset(font_manager.get_font_names())


@cache
def _known_letters() -> tuple[frozenset[int], ...]:
    """The code points of each font in use."""
    fonts = (font_manager.get_font(font_manager.findfont(name)) for name in _fonts())
    return tuple(frozenset(font.get_charmap()) for font in fonts)
