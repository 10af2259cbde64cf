import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from drawn import Drawn
from PIL import Image

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.figure_style import (
    add_legend,
    figure_style,
    new_figure,
    series_colour,
    series_look,
    shown,
    truth_colour,
    write_figure,
)


def write_line(directory: Path, name: str) -> list[Path]:
    with figure_style():
        figure = new_figure(85, 40)
        lines = figure.add_subplot().plot([1, 2], [3, 4], **series_look(0))
        add_legend(figure, [(name, lines[0])], 85)
        return write_figure(figure, directory, "line")


def test_matplotlibs_settings_are_the_users_afterwards(tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 23, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        write_line(tmp_path, "a")
        assert dict(matplotlib.rcParams) == before


def test_a_users_own_settings_change_nothing(tmp_path: Path) -> None:
    plain = [path.read_bytes() for path in write_line(tmp_path, "a")]
    with matplotlib.rc_context({"font.size": 23, "axes.facecolor": "red", "text.usetex": True}):
        assert [path.read_bytes() for path in write_line(tmp_path, "a")] == plain


def test_a_rerun_writes_the_same_bytes_and_no_date(tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in write_line(tmp_path, "a")}
    assert {path.name: path.read_bytes() for path in write_line(tmp_path, "a")} == first
    assert list(first) == ["line.svg", "line.png"]
    assert b"dc:date" not in first["line.svg"]


def test_svg_and_png_are_as_wide_as_a_journals_column(tmp_path: Path) -> None:
    svg, png = write_line(tmp_path, "a")
    assert Drawn(svg).size_mm == pytest.approx((85, 40), abs=0.01)
    assert Image.open(png).size == (1003, 472)  # 300 dots per inch


@pytest.mark.parametrize("name", ["a<b&\"c'", "$x^2$ $", "_hidden", "100 %", "Łódź é", "<script>alert(1)</script>"])
def test_a_legend_shows_any_name_as_it_is(name: str, tmp_path: Path) -> None:
    assert name in Drawn(write_line(tmp_path, name)[0]).texts


@pytest.mark.parametrize("name", ["a\x01b", "a\ud800b", "张伟", "\U000f0000", "😀"])
def test_letters_that_cannot_be_drawn_still_give_valid_files(
    name: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    svg, png = write_line(tmp_path, name)
    ET.parse(svg)
    Image.open(png).load()
    assert [str(warning.message) for warning in recwarn if "Glyph" in str(warning.message)] == []
    assert shown(name) in Drawn(svg).texts


def test_long_text_keeps_its_beginning_and_its_end() -> None:
    assert shown("study-" + "0" * 50 + "-17", 13) == "study-…000-17"
    assert len(shown("x" * 100)) == 32
    assert shown("two\nlines\tof  text") == "two lines of text"
    assert shown("short", 5) == "short"


def test_colours_are_okabe_and_itos_and_the_truths_is_no_models() -> None:
    published = {"#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"}
    colours = {"#" + "".join(f"{round(part * 255):02x}" for part in series_colour(index)) for index in range(5)}
    assert len(colours) == 5
    assert colours < published
    assert truth_colour() not in {series_colour(index) for index in range(20)}


def test_140_models_have_lines_of_their_own() -> None:
    looks = [series_look(index) for index in range(140)]
    assert len({(look["color"], look["marker"], str(look["linestyle"])) for look in looks}) == 140


def test_the_palette_stands_apart_in_lightness_or_hue_without_red_or_green() -> None:
    """Machado et al. (2009), severity 1: no two of the six colours fall together for protan and deutan eyes."""
    protan = np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    )
    deutan = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    colours = np.array([truth_colour(), *(series_colour(index) for index in range(5))]) ** 2.2
    for eye in (protan, deutan):
        seen = np.clip(colours @ eye.T, 0, 1) ** (1 / 2.2)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        assert distances[np.triu_indices(6, 1)].min() > 0.15


def test_a_folder_that_cannot_be_written_to_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=re.escape("line.svg: Not a directory")):
        write_line(tmp_path / "file", "a")
