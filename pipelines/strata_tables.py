"""Tables 1 to 6 of the haematoma paper, in its own columns, and the same by size: pure functions of scores and strata.

Rvd is the mean of |RVD|, Dice and IOU are means over studies, RMSE and MAE are of the volume in ml. All models of a
table are compared on the same studies.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.strata import SIZE_BANDS
from sliceweave.pipelines.tables import check_numbers, check_single

SCORES = ("abs_rvd", "dice", "iou", "volume_error_ml")
_OVERLAP = {"abs_rvd": "Rvd", "dice": "Dice", "iou": "IOU"}

logger = logging.getLogger(__name__)


class PaperTable(NamedTuple):
    """One table: the name of its file, its caption, and a row per model in the columns of the paper."""

    name: str
    caption: str
    rows: pd.DataFrame


def with_models(cases: Mapping[str, pd.DataFrame], label: str = "") -> pd.DataFrame:
    """The cases of several models, `cases.csv` each, as one table with a column `model`.

    Args:
        label: whose rows; may be empty where there is one label only.

    Raises:
        InputError: a column is missing, or it is not clear which label is meant; says whose.
    """
    return pd.concat([_of_label(table, label, model).assign(model=model) for model, table in cases.items()])


def _of_label(cases: pd.DataFrame, label: str, model: str) -> pd.DataFrame:
    if missing := {"study_id", "label", *SCORES} - set(cases.columns):
        raise InputError(f"cases of {model}: expected the columns of cases.csv, without {', '.join(sorted(missing))}")
    check_numbers(cases, SCORES, f"cases of {model}")
    check_single(cases, f"cases of {model}")
    labels = sorted(set(cases["label"]))
    if label not in labels and (label or len(labels) > 1):
        raise InputError(f"cases of {model}: hold the labels {', '.join(labels)}; choose one with --label")
    return cases[cases["label"] == (label or cases["label"])]


def strata_tables(cases: pd.DataFrame, strata: pd.DataFrame) -> list[PaperTable]:
    """The tables of all models, each over the studies that every model and the strata know.

    Args:
        cases: `model`, `study_id` and the scores of `cases.csv`, one row per study and model.
        strata: `study_id`, `irregular`, `near_skull`, `size_band`; what is unknown is in no stratum.

    Returns:
        Tables 1 and 2 over all studies, 3 and 4 over the irregular, 5 and 6 over those near the skull, then two for
        each size. A stratum without studies has empty cells.
    """
    common = _common(cases, strata)
    cases = cases[cases["study_id"].isin(common)]
    strata = strata[strata["study_id"].isin(common)]
    if unknown := int(strata["near_skull"].isna().sum()):
        logger.warning("near the skull or not is not known for %d studies: give their images", unknown)
    groups = {
        "all haematomas": strata,
        "irregular haematomas": strata[strata["irregular"] == True],  # noqa: E712 - may be None
        "haematomas near the skull": strata[strata["near_skull"] == True],  # noqa: E712
        **{f"haematomas {band}": strata[strata["size_band"] == band] for band in SIZE_BANDS},
    }
    return [
        table
        for number, (group, members) in enumerate(groups.items())
        for table in _two_tables(cases, group, list(members["study_id"]), number)
    ]


def markdown(tables: Sequence[PaperTable]) -> str:
    """The tables with their captions, three decimals as in the paper."""
    return "\n".join(f"**{table.caption}**\n\n{_markdown_rows(table.rows)}\n" for table in tables)


def _common(cases: pd.DataFrame, strata: pd.DataFrame) -> set[str]:
    known = {"the strata": set(strata["study_id"])}
    known |= {f"the cases of {model}": set(rows["study_id"]) for model, rows in cases.groupby("model", sort=False)}
    common = set.intersection(*known.values())
    for where, studies in known.items():
        if left_out := len(studies - common):
            logger.warning("%d studies of %s are left out: they are not in all tables", left_out, where)
    return common


def _two_tables(cases: pd.DataFrame, group: str, studies: Sequence[str], number: int) -> list[PaperTable]:
    by_model = cases[cases["study_id"].isin(studies)].groupby("model", sort=False)
    models = list(dict.fromkeys(cases["model"]))
    overlap = by_model[list(_OVERLAP)].mean().rename(columns=_OVERLAP)
    errors_ml = by_model["volume_error_ml"]
    volume = pd.DataFrame(
        {"RMSE": errors_ml.agg(lambda error: (error**2).mean() ** 0.5), "MAE": errors_ml.agg(lambda e: e.abs().mean())}
    )
    return [
        _table(overlap.reindex(models), f"segmentation of {group}", len(studies), 2 * number + 1),
        _table(volume.reindex(models), f"bleeding volume (ml) of {group}", len(studies), 2 * number + 2),
    ]


def _table(rows: pd.DataFrame, what: str, studies: int, number: int) -> PaperTable:
    rows = rows.rename_axis("model").reset_index()
    count = f"{studies} {'study' if studies == 1 else 'studies'}"
    return PaperTable(f"table_{number}", f"Table {number}: {what} ({count})", rows)


def _markdown_rows(rows: pd.DataFrame) -> str:
    lines = [list(rows.columns), ["---"] + ["---:"] * (len(rows.columns) - 1)]
    for row in rows.itertuples(index=False):
        model, *numbers = row
        name = str(model).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
        lines.append([name, *("" if pd.isna(number) else f"{number:.3f}" for number in numbers)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
