"""What the page's template fills in: texts, and addresses relative to the page."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from sliceweave.pipelines.flag_meanings import meaning_of
from sliceweave.pipelines.page_folder import FILES, VIEWER_PAGE, PageSources
from sliceweave.pipelines.page_tables import Column, Row, StudyTables, shown_columns, shown_text, text_of

FIGURES = "figures"
_MOST_MODELS = 2
_FIGURE_SUFFIXES = (".svg", ".png")
_TITLES = {"dataset_dir": "studies", "output_dir": "results"}


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, what it is sorted by, and whether that is a number."""

    text: str
    key: str
    is_number: bool


@dataclass(frozen=True)
class Line:
    """One row of the page's table: a label of a study."""

    study_id: str
    key: str
    folder: str
    cells: Sequence[Cell]
    flags: Sequence[tuple[str, str]]
    thumb: str = ""
    sheet: str = ""
    viewer: str = ""


@dataclass(frozen=True)
class Flag:
    """A flag, what it means, and how many studies have it."""

    name: str
    meaning: str
    studies: int


@dataclass(frozen=True)
class Figure:
    """A picture in the folder of figures."""

    title: str
    source: str


@dataclass(frozen=True)
class PageView:
    """All that the template needs."""

    columns: Sequence[Column]
    lines: Sequence[Line]
    failed: Sequence[tuple[str, str]]
    flags: Sequence[Flag]
    amounts: Sequence[tuple[str, str]]
    studies: int
    flagged: int
    model: str
    figures: Sequence[Figure] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    options: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()


def page_view(
    studies: Sequence[StudyTables], sources: PageSources, run: Mapping[str, Any], notes: Sequence[str]
) -> PageView:
    """The page of these studies, whose folders are written."""
    measured = [study for study in studies if study.is_measured]
    columns = shown_columns(studies)
    flags = Counter(flag for study in measured for flag in _flags(study.volumes))
    failed = [(study.study_id, text_of(study.volumes[0].get("reason"))) for study in studies if not study.is_measured]
    models = dict.fromkeys(_model(study.volumes[0]) for study in measured)
    return PageView(
        columns=columns,
        lines=[line for study in measured for line in _lines(study, columns, sources)],
        failed=failed,
        flags=[Flag(name, meaning_of(name), count) for name, count in flags.most_common()],
        amounts=_amounts(measured),
        studies=len(studies),
        flagged=sum(bool(_flags(study.volumes)) for study in measured),
        model=_models(models),
        figures=figures_in(sources),
        run=run,
        options=[(_TITLES.get(name, name), str(value)) for name, value in _flat(run.get("options", {}))],
        notes=notes,
    )


def _models(models: Collection[str]) -> str:
    """The models of the rows; masks from elsewhere have a version each, which nobody wants to read."""
    named = [model for model in models if model]
    return ", ".join(named) if len(named) <= _MOST_MODELS else f"{named[0].split()[0]}, {len(named)} versions"


def figures_in(sources: PageSources) -> list[Figure]:
    """The pictures of the folder ``figures``, by name; of one name the SVG."""
    paths = sorted((sources.out / FIGURES).glob("*"))
    best: dict[str, Path] = {}
    for suffix in _FIGURE_SUFFIXES:
        for path in paths:
            if path.suffix.lower() == suffix and not path.name.startswith("."):
                best.setdefault(path.stem, path)
    return [Figure(stem.replace("_", " "), address(FIGURES, best[stem].name)) for stem in sorted(best)]


def address(*parts: str) -> str:
    """Relative address of a file whose name may hold anything."""
    return "/".join(quote(part.encode("utf-8", "surrogateescape")) for part in parts)


def _lines(study: StudyTables, columns: Sequence[Column], sources: PageSources) -> Iterable[Line]:
    folder = sources.folder(study)
    places = {
        "thumb": address(FILES, study.stem, "thumb.jpg") if (folder / "thumb.jpg").is_file() else "",
        "sheet": address(f"{study.stem}.png") if (sources.out / f"{study.stem}.png").is_file() else "",
        "viewer": address(FILES, study.stem, VIEWER_PAGE) if (folder / VIEWER_PAGE).is_file() else "",
    }
    for row in study.volumes:
        cells = [_cell(row, column) for column in columns]
        flags = [(flag, meaning_of(flag)) for flag in _flags([row])]
        yield Line(study.study_id, study.stem, address(FILES, study.stem) + "/", cells, flags, **places)


def _cell(row: Row, column: Column) -> Cell:
    value = row.get(column.name)
    return Cell(shown_text(value, column), text_of(value), column.is_number)


def _flags(rows: Iterable[Row]) -> list[str]:
    found = (flag for row in rows for flag in text_of(row.get("flags")).split(";"))
    return [flag for flag in dict.fromkeys(found) if flag]


def _amounts(studies: Sequence[StudyTables]) -> list[tuple[str, str]]:
    """(label, median and range of its volumes) over the studies that have one."""
    volumes_ml: dict[str, list[float]] = {}
    for row in (row for study in studies for row in study.volumes):
        if volume := text_of(row.get("volume_ml")):
            volumes_ml.setdefault(text_of(row.get("label")), []).append(float(volume))
    return [(label, _median_text(values)) for label, values in volumes_ml.items()]


def _median_text(volumes_ml: Sequence[float]) -> str:
    amounts_ml = np.median(volumes_ml), np.min(volumes_ml), np.max(volumes_ml)
    median, lowest, highest = (shown_text(float(amount), Column("volume_ml", "ml")) for amount in amounts_ml)
    return f"{median} ml ({lowest} to {highest})"


def _model(row: Row) -> str:
    return " ".join(filter(None, (text_of(row.get("model")), text_of(row.get("model_version")))))


def _flat(options: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from value.items()
        else:
            yield name, value
