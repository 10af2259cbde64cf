"""Figures of contours over a cohort: studies are read one after the other, and a page is written when it is full."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from sliceweave.pipelines.atomic import make_folder
from sliceweave.pipelines.contour_panels import PanelRow, draw_panels, rows_on_a_page
from sliceweave.pipelines.contour_rows import MaskFolders, PanelOptions, panel_rows
from sliceweave.pipelines.errors import logged_reason
from sliceweave.pipelines.figure_style import figure_style, write_figure
from sliceweave.pipelines.studies import Study

logger = logging.getLogger(__name__)


@dataclass
class ContourFigures:
    """What came of a run: the files, and why a study is in none of them, by study."""

    paths: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def contours_of(studies: Sequence[Study], masks: MaskFolders, directory: Path, options: PanelOptions) -> ContourFigures:
    """Writes `contours_1`, `contours_2`, … as SVG and PNG, as many as the studies' rows fill.

    A study that cannot be drawn is logged and left out; the others go on.

    Raises:
        InputError: the folder cannot be written to.
    """
    make_folder(directory, "choose another folder with --out")
    done = ContourFigures()
    models = list(masks.models)
    page: list[PanelRow] = []
    with figure_style():
        for row in _rows(studies, masks, options, done.failed):
            page.append(row)
            if len(page) == rows_on_a_page(len(models)):
                done.paths += _write(page, models, directory, done)
                page = []
        if page:
            done.paths += _write(page, models, directory, done)
    return done


def _rows(
    studies: Sequence[Study], masks: MaskFolders, options: PanelOptions, failed: dict[str, str]
) -> Iterator[PanelRow]:
    for study in tqdm(studies, desc="contours", unit="study", disable=None):
        try:
            yield from list(panel_rows(study, masks, options))
        except Exception as error:  # whatever is wrong with one study, the others go on
            failed[study.study_id] = logged_reason(error)
            logger.warning("%s left out: %s", study.study_id, failed[study.study_id])


def _write(page: Sequence[PanelRow], models: Sequence[str], directory: Path, done: ContourFigures) -> list[Path]:
    return write_figure(draw_panels(page, models), directory, f"contours_{len(done.paths) // 2 + 1}")
