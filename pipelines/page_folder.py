"""``report_files/<id>/``: what the report page loads when a study is opened."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sliceweave.pipelines.atomic import make_folder, remove, write_atomically
from sliceweave.pipelines.errors import InputError, reason_of
from sliceweave.pipelines.file_stamps import sha256_of
from sliceweave.pipelines.label_maps import read_label_map
from sliceweave.pipelines.measuring import Mask
from sliceweave.pipelines.page_slices import MAX_SIDE_PX, MAX_SLICES, page_pictures, sheet_thumb
from sliceweave.pipelines.page_tables import LESION_COLUMNS, StudyTables, shown_text
from sliceweave.pipelines.reading import Scan, naming, read_scan
from sliceweave.pipelines.study_kind import StudyKind

FILES = "report_files"
STUDY_FILE = "study.js"
VIEWER_PAGE = "viewer.html"
_CALL = "sliceweaveStudy("
_DRAWING = f"2:{MAX_SLICES}:{MAX_SIDE_PX}"  # counted up when pictures are drawn otherwise
_MOST_LESIONS = 12
_LARGEST_LABEL = 255

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PageSources:
    """Where a page's studies come from.

    Attributes:
        results: the folder of the run.
        out: where the page goes.
        kind: how the studies are looked at.
        labels: names by value in the masks.
        images: by study id; those that are not at hand are left out.
    """

    results: Path
    out: Path
    kind: StudyKind
    labels: Mapping[int, str] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)

    def mask(self, study: StudyTables) -> Path:
        return self.results / f"{study.stem}_mask.nii.gz"

    def sheet(self, study: StudyTables) -> Path:
        return self.results / f"{study.stem}.png"

    def folder(self, study: StudyTables) -> Path:
        return self.out / FILES / study.stem


def scan_with_mask(sources: PageSources, study: StudyTables) -> tuple[Scan, Mask]:
    """The image of a study and its mask.

    Raises:
        InputError: one of them cannot be read, they do not fit, or the image is not the one that was measured.
    """
    image = sources.images[study.study_id]
    if study.image_sha256 and image.is_file() and sha256_of(image) != study.image_sha256:
        raise InputError(f"{image.name}: is not the image that was measured (image_sha256 differs); name that one")
    path = sources.mask(study)
    scan, mask = read_scan(image, study.study_id), read_label_map(path)
    with naming(path):
        labels = mask.on(scan.geometry).labels
        if labels.max() > _LARGEST_LABEL:
            raise InputError(f"expected the mask of a run, 0 to {_LARGEST_LABEL}, got {labels.max()}; restore it")
    return scan, np.asarray(labels, np.uint8)


def write_study(sources: PageSources, study: StudyTables) -> str:
    """Brings a study's folder up to date; the reason where its slices cannot be drawn, else an empty text.

    Slices are drawn where those that are there were made of another image or mask, or are not all there.

    Raises:
        InputError: the folder cannot be written to.
    """
    folder = sources.folder(study)
    make_folder(folder, "choose another folder with --out")
    made_from, reason = fingerprint(sources, study), ""
    slices = _slices_there(folder, made_from)
    if slices is None and made_from and study.study_id in sources.images:
        try:
            slices = _draw(sources, study)
        except InputError as error:
            reason = reason_of(error)
            logger.debug("no slices", exc_info=error)
    if slices is None:
        _take_away_slices(folder)
        _write_sheet_thumb(sources, study)
    _write_study_file(folder, study, {"made_from": made_from, "slices": slices})
    return reason


def _draw(sources: PageSources, study: StudyTables) -> Mapping[str, Any]:
    folder = sources.folder(study)
    pictures = page_pictures(*scan_with_mask(sources, study), sources.kind, sources.labels)
    _take_away_slices(folder)
    for name, content in pictures.files.items():
        write_quickly(folder / name, content)
    return pictures.described


def _take_away_slices(folder: Path) -> None:
    """Old pictures must not stand behind a new description, so that goes first; so does the page of the old mask."""
    for picture in (folder / STUDY_FILE, folder / VIEWER_PAGE, *folder.glob("*.jpg")):
        remove(picture)


def write_quickly(path: Path, content: bytes) -> None:
    """Writes a file that counts only once another one names it. Raises InputError where it cannot."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; make room or choose another --out") from error


def _write_sheet_thumb(sources: PageSources, study: StudyTables) -> None:
    sheet = sources.sheet(study)
    if sheet.is_file():
        try:
            write_quickly(sources.folder(study) / "thumb.jpg", sheet_thumb(sheet))
        except InputError as error:
            logger.warning("%s: no thumbnail: %s", study.study_id, error)


def _write_study_file(folder: Path, study: StudyTables, drawn: Mapping[str, Any]) -> None:
    content = {
        "key": study.stem,
        **drawn,
        "areas_mm2": study.areas_mm2,
        "lesions": _lesions(study),
    }
    text = f"{_CALL}{json.dumps(content, separators=(',', ':'), default=list)});\n".encode("ascii")
    path = folder / STUDY_FILE
    if not (path.is_file() and path.read_bytes() == text):
        write_atomically(path, text)


def _lesions(study: StudyTables) -> dict[str, Any]:
    several = len(study.volumes) > 1
    columns = [column for column in LESION_COLUMNS if several or column.name != "label"]
    rows = [[shown_text(row.get(column.name), column) for column in columns] for row in study.lesions[:_MOST_LESIONS]]
    return {
        "columns": [column.title for column in columns],
        "numbers": [column.is_number for column in columns],
        "rows": rows,
        "more": len(study.lesions) - len(rows),
    }


def _slices_there(folder: Path, made_from: str) -> Mapping[str, Any] | None:
    """What describes the slices that are there, if they are all there and were made of the same."""
    try:
        text = (folder / STUDY_FILE).read_text("ascii")
        content = json.loads(text.strip().removeprefix(_CALL).removesuffix(");"))
        slices: Mapping[str, Any] | None = content["slices"]
        is_same = content["made_from"] == made_from
        names = ["thumb.jpg", *(slice_["file"] for slice_ in slices["slices"])] if slices else []
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return slices if is_same and all((folder / name).is_file() for name in names) else None


def fingerprint(sources: PageSources, study: StudyTables) -> str:
    """Changes with all that a study's slices show; empty where there is no mask to show."""
    mask = sources.mask(study)
    if not mask.is_file():
        return ""
    shown = [_DRAWING, study.image_sha256, asdict(sources.kind), sorted(sources.labels.items())]
    content = mask.read_bytes() + repr(shown).encode("utf-8", "backslashreplace")
    return hashlib.sha256(content).hexdigest()[:16]
