from pathlib import Path

import numpy as np
import pytest
from drawn import Drawn
from numpy.typing import NDArray

from sliceweave.pipelines.contour_panels import PanelRow, draw_panels, outlines_mm, rows_on_a_page
from sliceweave.pipelines.figure_style import Rgb, figure_style, series_colour, truth_colour, write_figure

SHAPE = (40, 90)  # rows of 1.25 mm, columns of 0.5 mm
PIXEL_MM = (0.5, 1.25)
MIDDLE_MM = (20.3, 26.1)


def disc(radius_mm: float) -> NDArray[np.int32]:
    """1 in the pixels whose middle lies in the disc."""
    x_mm = (np.arange(SHAPE[1]) + 0.5) * PIXEL_MM[0]
    y_mm = (np.arange(SHAPE[0]) + 0.5) * PIXEL_MM[1]
    return (np.hypot(x_mm[None] - MIDDLE_MM[0], y_mm[:, None] - MIDDLE_MM[1]) <= radius_mm).astype(np.int32)


def row(truth: NDArray[np.int32] | None, *models: NDArray[np.int32] | None, study_id: str = "pt1") -> PanelRow:
    return PanelRow(study_id, "slice 3", np.full(SHAPE, 99, np.uint8), PIXEL_MM, truth, models, ("R", "L"))


def drawn(directory: Path, rows: list[PanelRow], models: list[str]) -> Drawn:
    with figure_style():
        return Drawn(write_figure(draw_panels(rows, models), directory, "contours")[0])


def code(colour: Rgb) -> str:
    return "#" + "".join(f"{round(part * 255):02x}" for part in colour)


def test_the_contour_of_a_disc_is_within_half_a_pixel_of_its_circle() -> None:
    lines = list(outlines_mm(disc(14) > 0, PIXEL_MM))
    assert len(lines) == 1
    radii_mm = np.hypot(*(lines[0] - MIDDLE_MM).T)
    assert np.abs(radii_mm - 14).max() <= max(PIXEL_MM) / 2
    assert radii_mm.mean() == pytest.approx(14, abs=0.1)
    assert (lines[0][0] == lines[0][-1]).all()


def test_a_mask_at_the_edge_has_a_closed_contour() -> None:
    lines = list(outlines_mm(np.ones((2, 3), bool), (2.0, 1.0)))
    assert len(lines) == 1
    assert lines[0].min(axis=0) == pytest.approx([0, 0])
    assert lines[0].max(axis=0) == pytest.approx([6, 2])


def test_contours_on_the_page_are_true_to_the_body(tmp_path: Path) -> None:
    page = drawn(tmp_path, [row(disc(14), disc(9))], ["U-Net"])
    for colour, radius_mm, count in ((truth_colour(), 14, 2), (series_colour(0), 9, 1)):
        outlines = page.outlines(code(colour))
        assert len(outlines) == count
        for points, (corner, far) in outlines:
            mm_per_pt = np.array(SHAPE[::-1]) * PIXEL_MM / (far - corner)
            assert mm_per_pt[0] == pytest.approx(mm_per_pt[1], rel=1e-4)
            radii_mm = np.hypot(*((points - corner) * mm_per_pt - MIDDLE_MM).T)
            assert np.abs(radii_mm - radius_mm).max() <= max(PIXEL_MM) / 2 + 0.01


def test_columns_are_image_truth_and_models_and_rows_the_slices(tmp_path: Path) -> None:
    names = ["FCN8s", "SegNet", "_U <net> & $x$"]
    rows = [row(disc(14), disc(9), disc(8), disc(7)), row(disc(5), disc(4), disc(3), disc(2), study_id='a<b&"')]
    page = drawn(tmp_path, rows, names)
    assert page.images == 10
    assert {"image", "truth", *names, "pt1 · slice 3", 'a<b&" · slice 3', "R", "L"} <= set(page.texts)
    assert page.texts.count("truth") == 2  # the column's title and the legend
    assert len(page.outlines(code(truth_colour()))) == 8
    assert [len(page.outlines(code(series_colour(model)))) for model in range(3)] == [2, 2, 2]
    assert page.size_mm[0] == pytest.approx(174, abs=0.01)


def test_one_model_fits_a_journals_column(tmp_path: Path) -> None:
    assert drawn(tmp_path, [row(disc(3), disc(3))], ["U-Net"]).size_mm[0] == pytest.approx(85, abs=0.01)


def test_every_label_has_its_outline(tmp_path: Path) -> None:
    two = disc(14) + disc(5)
    assert len(drawn(tmp_path, [row(two, disc(14))], ["U-Net"]).outlines(code(truth_colour()))) == 6


def test_a_mask_that_is_empty_or_not_there_leaves_the_image(tmp_path: Path) -> None:
    page = drawn(tmp_path, [row(disc(14), None, 0 * disc(14))], ["A", "B"])
    assert page.texts.count("no mask") == 1
    assert page.images == 4
    assert page.outlines(code(series_colour(0))) == []
    assert page.outlines(code(series_colour(1))) == []


@pytest.mark.parametrize("models", [1, 2, 4])
def test_a_full_page_of_the_tallest_slices_fits_a_printed_one(models: int) -> None:
    tall = PanelRow("pt1", "slice 3", np.zeros((90, 30), np.uint8), (1, 1), None, [None] * models)
    with figure_style():
        figure = draw_panels([tall] * rows_on_a_page(models), [f"model number {n}" for n in range(models)])
    assert figure.get_figheight() * 25.4 < 240
    assert [axes.get_aspect() for axes in figure.axes] == [1] * len(figure.axes)
