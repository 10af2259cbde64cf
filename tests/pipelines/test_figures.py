import logging
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import Drawn
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.figure_agreement import agreement_scatter, bland_altman
from sliceweave.pipelines.figure_boxes import metric_boxes
from sliceweave.pipelines.figure_curves import error_curve, volume_curve
from sliceweave.pipelines.figure_style import figure_style
from sliceweave.pipelines.figures import Draw, figures_of

IDS = ["pt3", 'a<b&"', "pt1", "007", "=1+1"]
REFERENCE_ML = [30.0, 10.0, 0.0, 20.0, 55.5]


def table(errors_ml: list[float], label: str = "hematoma", **columns: list[float]) -> pd.DataFrame:
    volumes = {"volume_ml": np.add(REFERENCE_ML, errors_ml), "reference_volume_ml": REFERENCE_ML}
    return pd.DataFrame({"study_id": IDS, "label": label, **volumes, **columns})


def boxes(_reference_ml: "pd.Series[float]", values: pd.DataFrame, note: str) -> Figure:
    return metric_boxes({f"class {number}": values for number in range(3)}, "hd95_mm", note)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The figures of two models, one of which lacks a case and a Dice."""
    directory = tmp_path_factory.mktemp("two") / "figures"
    first = table([1, -2, 0, 3, -4], dice=[0.9, 0.8, 1.0, 0.7, 0.6])
    second = table([-1, np.nan, 0.5, 0, 2], dice=[0.5, 0.4, np.nan, 0.3, 0.2])
    paths = figures_of({"U-Net": first, "_ours $1$": second}, directory)
    stems = ["volumes", "volume_errors", "bland_altman", "agreement", "dice"]
    assert [path.name for path in paths] == [f"{stem}.{kind}" for stem in stems for kind in ("svg", "png")]
    assert sorted(directory.iterdir()) == sorted(paths)
    return directory


def test_the_volume_curve_shows_each_models_and_the_reference_volumes(two: Path) -> None:
    drawn = Drawn(two / "volumes.svg")
    order = np.argsort(REFERENCE_ML)
    expected = np.array([31, 8, 0, 23, 51.5])[order], np.array([29, 0.5, 20, 57.5])[[1, 2, 0, 3]], np.sort(REFERENCE_ML)
    assert np.allclose(drawn.values("curve-0", 1), expected[0], atol=0.01)
    assert np.allclose(drawn.values("curve-2", 1), expected[2], atol=0.01)
    assert {"volume (ml)", "U-Net", "_ours $1$", "reference"} <= set(drawn.texts)
    assert "5 cases; no value, not shown: _ours $1$ 1" in drawn.texts
    assert np.allclose(drawn.values("curve-1", 1), expected[1], atol=0.01)


def test_cases_are_named_in_the_order_of_their_reference_volume(two: Path) -> None:
    names = [text for text in Drawn(two / "volumes.svg").texts if text in IDS]
    assert names == ["pt1", 'a<b&"', "007", "pt3", "=1+1"]


def test_the_error_curve_shows_predicted_less_reference(two: Path) -> None:
    drawn = Drawn(two / "volume_errors.svg")
    assert np.allclose(drawn.values("curve-0", 1), [0, -2, 3, 1, -4], atol=0.01)
    assert np.allclose(drawn.values("curve-1", 1), [0.5, 0, -1, 2], atol=0.01)
    assert "predicted − reference (ml)" in drawn.texts


def test_bland_altman_shows_difference_against_mean_with_its_limits(two: Path) -> None:
    drawn = Drawn(two / "bland_altman.svg")
    assert np.allclose(drawn.values("cases-0", 1), [1, -2, 0, 3, -4], atol=0.02)
    assert np.allclose(drawn.values("cases-0", 1, "x"), np.add(REFERENCE_ML, [0.5, -1, 0, 1.5, -2]), atol=0.1)
    assert len(drawn.markers("cases-1")) == 4
    errors = np.array([1, -2, 0, 3, -4])
    low, high = errors.mean() - 1.96 * errors.std(ddof=1), errors.mean() + 1.96 * errors.std(ddof=1)
    assert {"U-Net", "bias −0.40 ml, n = 5", f"limits −{-low:.2f} to {high:.2f} ml"} <= set(drawn.texts)


def test_all_models_share_axes_that_hold_every_point(tmp_path: Path) -> None:
    figures_of({"small": table([0] * 5), "large": table([500, 0, 0, 0, 0]), "none": table([np.nan] * 5)}, tmp_path)
    for stem in ("bland_altman", "agreement"):
        drawn = Drawn(tmp_path / f"{stem}.svg")
        width_pt, height_pt = (length_mm * 72 / 25.4 for length_mm in drawn.size_mm)
        for gid in ("cases-0", "cases-1"):
            points = drawn.markers(gid)
            assert len(points) == 5
            assert ((points > 0) & (points < [width_pt, height_pt])).all()
        assert "no cases" in drawn.texts


def test_the_scatter_shows_predicted_against_reference(two: Path) -> None:
    drawn = Drawn(two / "agreement.svg")
    assert np.allclose(drawn.values("cases-0", 1, "x"), REFERENCE_ML, atol=0.05)
    assert np.allclose(drawn.values("cases-0", 1), [31, 8, 0, 23, 51.5], atol=0.05)
    r = np.corrcoef(REFERENCE_ML, [31, 8, 0, 23, 51.5])[0, 1]
    assert any(text.startswith(f"r = {r:.3f}, CCC = 0.99") and text.endswith("n = 5") for text in drawn.texts)
    places_x, values_x = drawn.ticks(1, "x")
    places_y, values_y = drawn.ticks(1, "y")
    assert np.diff(places_x)[0] / np.diff(values_x)[0] == pytest.approx(-np.diff(places_y)[0] / np.diff(values_y)[0])


def test_boxes_show_every_case_and_count_what_is_missing(two: Path) -> None:
    drawn = Drawn(two / "dice.svg")
    assert np.allclose(sorted(drawn.values("cases--0.15", 1)), [0.6, 0.7, 0.8, 0.9, 1.0], atol=0.001)
    assert len(drawn.markers("cases-0.15")) == 4
    assert {"Dice", "hematoma", "U-Net", "_ours $1$"} <= set(drawn.texts)
    assert "no value, not shown: hematoma: _ours $1$ 1" in " ".join(drawn.texts)


def test_several_labels_have_volume_figures_of_their_own_and_one_figure_of_boxes(tmp_path: Path) -> None:
    both = pd.concat([table([1] * 5, "tumour", dice=[0.5] * 5), table([2] * 5, "a/b <c>", dice=[0.7] * 5)])
    stems = [path.stem for path in figures_of({"U-Net": both}, tmp_path)][::2]
    assert stems[:2] == ["volumes_tumour", "volume_errors_tumour"]
    assert len([stem for stem in stems if stem.startswith("volumes_")]) == 2
    assert stems[-1] == "dice"
    assert {"tumour", "a/b <c>"} <= set(Drawn(tmp_path / "dice.svg").texts)
    assert any(text.startswith("a/b <c>; 5 cases") for text in Drawn(tmp_path / f"{stems[4]}.svg").texts)
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*.svg"))


def test_a_failed_study_counts_as_missing(tmp_path: Path) -> None:
    failed = pd.concat([table([0] * 5), pd.DataFrame({"study_id": ["bad"], "label": [""]})])
    figures_of({"U-Net": failed}, tmp_path)
    assert "5 cases; left out without a reference volume: 1" in Drawn(tmp_path / "volumes.svg").texts


def test_infinite_values_are_missing_ones(tmp_path: Path) -> None:
    figures_of({"U-Net": table([0, np.inf, 0, 0, 0], hd95_mm=[1, 2, np.inf, 3, 4])}, tmp_path)
    assert len(Drawn(tmp_path / "volumes.svg").markers("curve-0")) == 4
    assert len(Drawn(tmp_path / "hd95_mm.svg").markers("cases-0")) == 4


def test_without_reference_volumes_only_the_metrics_are_drawn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    cases = table([0] * 5, dice=[1] * 5).drop(columns="reference_volume_ml")
    assert [path.name for path in figures_of({"U-Net": cases}, tmp_path)] == ["dice.svg", "dice.png"]
    assert "no figures of volumes: the tables have no reference_volume_ml" in caplog.text


def test_one_healthy_case_can_be_drawn(tmp_path: Path) -> None:
    paths = figures_of({"U-Net": table([0] * 5, dice=[1] * 5).iloc[[2]]}, tmp_path)
    assert len(paths) == 10
    assert "r = n/a, CCC = n/a, n = 1" in Drawn(tmp_path / "agreement.svg").texts


def test_many_cases_are_numbered_and_all_drawn(tmp_path: Path) -> None:
    many = pd.DataFrame({"study_id": [f"s{n}" for n in range(300)], "label": "a", "volume_ml": 2.0})
    many["reference_volume_ml"] = np.arange(300.0)
    paths = figures_of({"U-Net": many}, tmp_path)
    drawn = Drawn(paths[0])
    assert len(drawn.markers("curve-0")) == 300
    assert "number of the case, by rising reference volume" in drawn.texts
    assert "s17" not in drawn.texts
    assert drawn.size_mm[0] == pytest.approx(174, abs=0.01)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (pd.DataFrame({"study_id": [], "label": []}), "B: the table holds no cases"),
        (pd.DataFrame({"id": ["a"], "label": ["b"]}), "B: expected the columns study_id,label"),
        (pd.concat([table([0] * 5)] * 2), "study pt3 has two rows for label 'hematoma'"),
        (table([0] * 5).assign(reference_volume_ml=1.0), "the reference volumes 1 and 30 ml"),
        (table([0] * 5).assign(volume_ml="much"), "B: expected numbers in the column volume_ml, found 'much'"),
    ],
)
def test_a_table_that_cannot_be_shown_is_a_clear_error(second: pd.DataFrame, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        figures_of({"A": table([0] * 5), "B": second}, tmp_path)


def test_boxes_are_the_same_bytes_again(tmp_path: Path) -> None:
    cases = table([0] * 5, dice=[0.5, 0.6, 0.7, 0.8, 0.9]).drop(columns="reference_volume_ml")
    first = [path.read_bytes() for path in figures_of({"A": cases, "B": cases}, tmp_path)]
    assert [path.read_bytes() for path in figures_of({"A": cases, "B": cases}, tmp_path)] == first


@pytest.mark.parametrize("models", [1, 3, 5])
@pytest.mark.parametrize("draw", [volume_curve, error_curve, bland_altman, agreement_scatter, boxes])
def test_nothing_leaves_the_page_and_neither_titles_nor_legends_are_met(draw: Draw, models: int) -> None:
    names = [f"model number {number}" for number in range(models)]
    reference = pd.Series(np.linspace(0, 380.25, 20), [f"study-{number:05d}" for number in range(20)])
    predicted = pd.DataFrame(dict.fromkeys(names, reference * 1.5 - 100.01))
    with figure_style():
        figure = draw(reference, predicted, "20 cases")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        whole = figure.get_tightbbox(canvas.get_renderer()).padded(-0.01)  # inches
        titles = sorted([axes.title.get_window_extent() for axes in figure.axes], key=lambda box: (-box.y0, box.x0))
        names = [axes.yaxis.label.get_window_extent() for axes in figure.axes]
        legends = [legend.get_window_extent() for legend in figure.legends]
    assert [name.overlaps(legend) for name in names for legend in legends] == [False] * len(names) * len(legends)
    assert min(whole.x0, whole.y0) >= 0
    assert whole.x1 <= figure.get_figwidth()
    assert whole.y1 <= figure.get_figheight()
    assert [first.overlaps(second) for first, second in pairwise(titles)] == [False] * (len(titles) - 1)
