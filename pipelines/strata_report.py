"""The strata of a cohort as files: ``strata.csv``, the paper's tables as CSV and all together as ``tables.md``."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from sliceweave.pipelines.atomic import make_folder, write_atomically
from sliceweave.pipelines.cells import Cell
from sliceweave.pipelines.columns import STRATA_COLUMNS
from sliceweave.pipelines.errors import InputError, logged_reason
from sliceweave.pipelines.label_maps import read_label_map
from sliceweave.pipelines.mask_sources import MaskStudy, find_masks, with_images
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.strata import StrataFacts, stratum_values
from sliceweave.pipelines.strata_tables import PaperTable, markdown, strata_tables, with_models
from sliceweave.pipelines.tables import Table, read_table

logger = logging.getLogger(__name__)


def write_strata(studies: Sequence[MaskStudy], directory: Path) -> pd.DataFrame:
    """Writes ``strata.csv``, a row per study, whole at every moment; its rows. A study that fails is one with a reason.

    Raises:
        InputError: the folder cannot be written to.
    """
    make_folder(directory, "choose another folder with --out")
    table, rows = Table(directory / "strata.csv", STRATA_COLUMNS), []
    table.save()
    for study in tqdm(studies, desc="studies", unit="study", disable=None):
        rows.append(_row(study))
        table.put(study.study_id, rows[-1:])
        table.save()
    return pd.DataFrame(rows, columns=list(STRATA_COLUMNS))


def compare_strata(model: str, truths: str, images: str, directory: Path) -> str:
    """The strata of true masks and the tables of one model, whose ``cases.csv`` lies in the folder; its tables as text.

    Raises:
        InputError: the masks or images are not there, or the folder cannot be written to.
    """
    masks = find_masks(truths)
    rows = write_strata(with_images(masks, images) if images else masks, directory)
    compared = with_models({model: read_table(directory / "cases.csv")}, "")
    tables = strata_tables(compared, rows[rows["status"] == "ok"])
    write_tables(tables, directory)
    return markdown(tables)


def facts_of(study: MaskStudy) -> StrataFacts:
    """The facts of a study from its files; all labels of its mask count together.

    Raises:
        InputError: mask or image cannot be used, or they do not lie on one grid.
    """
    truth = read_label_map(study.mask, study.study_id)
    if study.image is None:
        return stratum_values(truth.labels, truth.geometry)
    scan = read_scan(study.image, study.study_id)
    return stratum_values(truth.labels, truth.on(scan.geometry).geometry, scan.voxels)


def write_tables(tables: Sequence[PaperTable], directory: Path) -> None:
    """Writes each table to ``<name>.csv`` and all to ``tables.md``. Raises InputError where that fails."""
    for paper_table in tables:
        table = Table(directory / f"{paper_table.name}.csv", list(paper_table.rows.columns))
        table.put("", [{str(column): cell for column, cell in row.items()} for _, row in paper_table.rows.iterrows()])
        table.save()
    write_atomically(directory / "tables.md", markdown(tables).encode())


def parse_cases(texts: Sequence[str]) -> dict[str, Path]:
    """The `cases.csv` of each model, from `NAME=FILE` or `NAME=FILE,NAME=FILE`; a folder stands for that in it.

    Raises:
        InputError: anything else, or one name twice.
    """
    pairs = [pair.partition("=") for text in texts for pair in re.split(r",(?=[^,=/\\]+=)", text)]
    cases = {name.strip(): _cases_in(Path(path).expanduser()) for name, _, path in pairs if name.strip() and path}
    if len(cases) < len(pairs):
        raise InputError(f"--cases is NAME=cases.csv,… with names that differ, got '{','.join(texts)}'")
    return cases


def _cases_in(path: Path) -> Path:
    return path / "cases.csv" if path.is_dir() else path


def _row(study: MaskStudy) -> Mapping[str, Cell]:
    row: dict[str, Cell] = dict.fromkeys(STRATA_COLUMNS)
    try:
        return row | {"study_id": study.study_id, "status": "ok", "reason": ""} | asdict(facts_of(study))
    except Exception as error:  # whatever is wrong with one study, the others go on
        reason = logged_reason(error)
        logger.warning("%s failed: %s", study.study_id, reason)
        return row | {"study_id": study.study_id, "status": "failed", "reason": reason}
