"""``report.html``: the tables of a results folder as one page that opens from the disk, without a server."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sliceweave.pipelines.atomic import make_folder, write_atomically
from sliceweave.pipelines.bundles import labels_of, tasks
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.page_folder import PageSources, write_study
from sliceweave.pipelines.page_tables import StudyTables, read_studies, text_of
from sliceweave.pipelines.page_templates import filled_in, part
from sliceweave.pipelines.page_view import FIGURES, page_view
from sliceweave.pipelines.page_viewer import Viewer
from sliceweave.pipelines.run_record import read_run
from sliceweave.pipelines.studies import find_studies
from sliceweave.pipelines.study_kind import StudyKind, study_kind

PAGE = "report.html"
MOST_NOTES = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageOptions:
    """How a page is made.

    Attributes:
        out: the folder it goes to; None for the results' own.
        images: folder, glob or CSV of the studies' images; None for those that the run names, if they are still there.
        viewer: what makes a page of its own for each study, with the whole scan in it.
        workers: studies drawn at once.
    """

    out: Path | None = None
    images: str | None = None
    viewer: Viewer | None = None
    workers: int = 2


@dataclass(frozen=True)
class PageOutcome:
    """Where the page is, and a line for each study that is not shown in full."""

    page: Path
    studies: int
    notes: Sequence[str]


def build_page(results: Path, options: PageOptions | None = None) -> PageOutcome:
    """Writes ``report.html`` and ``report_files/`` from the tables, masks and pictures of a results folder.

    Slices that are there and still right are kept. A study whose image or mask is missing has no slices, a study that
    failed stands with its reason.

    Raises:
        InputError: there are no tables, no such images, or the page cannot be written.
    """
    options = options or PageOptions()
    results = Path(results).absolute()
    out = (options.out or results).absolute()
    studies, run = read_studies(results), read_run(results)
    make_folder(out, "choose another folder with --out")
    sources = PageSources(results, out, *_described(studies, run), _images(studies, options.images, run))
    measured = [study for study in studies if study.is_measured]
    notes = list(_written(measured, sources, options))
    if out != results:
        _copy(measured, sources)
    view = page_view(studies, sources, run, notes[:MOST_NOTES])
    text = filled_in("page.html.j2", view=view, css=part("page.css"), js=part("page.js"))
    write_atomically(out / PAGE, printable(text).encode())
    return PageOutcome(out / PAGE, len(studies), notes)


def _written(studies: Sequence[StudyTables], sources: PageSources, options: PageOptions) -> Iterator[str]:
    """Writes the studies' folders; a line for each that is not shown in full."""

    def work(study: StudyTables) -> list[str]:
        reasons = [write_study(sources, study)]
        if options.viewer and study.study_id in sources.images:
            reasons.append(options.viewer.write(sources, study))
        return [f"{study.study_id}: {reason}" for reason in reasons if reason]

    with ThreadPoolExecutor(options.workers) as pool:
        futures = [pool.submit(work, study) for study in studies]
        try:
            for future in tqdm(futures, desc="page", unit="study", disable=None):
                yield from future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _described(studies: Sequence[StudyTables], run: Mapping[str, Any]) -> tuple[StudyKind, dict[int, str]]:
    """How the studies are looked at and what their labels are called: by the run, else by the bundle of that name."""
    names = {text_of(row.get("model")) for study in studies for row in study.volumes}
    task = next((name for name in sorted(names) if name in tasks()), None)
    kind = study_kind(task) if task else StudyKind("RAS")
    labels = labels_of(task) if task else {}
    if said := run.get("study_kind"):
        known = {field.name for field in fields(StudyKind)}
        kind = StudyKind(**{name: value for name, value in said.items() if name in known})
        labels = {int(value): str(name) for value, name in run["model"]["labels"].items()}
    return kind, labels


def _images(studies: Sequence[StudyTables], source: str | None, run: Mapping[str, Any]) -> dict[str, Path]:
    """Images by study id. Raises InputError where those that the user names are not there."""
    if source is None:
        try:
            found = find_studies(str(run["options"]["dataset_dir"])) if run else []
        except (InputError, KeyError) as error:
            logger.warning("no slices are drawn: the run's studies are not there (%s); name them with --images", error)
            found = []
    else:
        found = find_studies(source)
    wanted = {study.study_id for study in studies}
    images = {printable(study.study_id): study.image.absolute() for study in found}
    matching = {study_id: image for study_id, image in images.items() if study_id in wanted}
    if source is not None and not matching:
        raise InputError(
            f"'{source}' holds none of the {len(wanted)} studies of volumes.csv: expected images called as they are, "
            "or a CSV study_id,image"
        )
    return matching


def _copy(studies: Sequence[StudyTables], sources: PageSources) -> None:
    """What the page shows of the results folder, so that its own folder can be carried away."""
    figures = sorted((sources.results / FIGURES).glob("*.[sp][vn]g"))
    pairs = [(sources.sheet(study), sources.out / sources.sheet(study).name) for study in studies]
    pairs += [(path, sources.out / FIGURES / path.name) for path in figures]
    try:
        for old, new in pairs:
            if old.is_file():
                new.parent.mkdir(exist_ok=True)
                shutil.copyfile(old, new)
    except OSError as error:
        raise InputError(f"cannot copy to {sources.out}: {error.strerror}; choose another folder with --out") from error


def page_of_run(results: Path, dataset_dir: str) -> None:
    """The page at the end of a run, said in one line of the log.

    Raises:
        InputError: it cannot be written.
    """
    outcome = build_page(results, PageOptions(images=dataset_dir))
    for note in outcome.notes[:MOST_NOTES]:
        logger.warning("%s", note)
    logger.info("report page: %s", outcome.page)
