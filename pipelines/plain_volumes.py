"""Studies that lie there as volumes: twin folders of images and labels, pairs by name, images alone, or a CSV."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles, broken
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.dicom_series import find_dicom
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.studies import id_of, image_suffix
from sliceweave.pipelines.study_csv import StudyRow
from sliceweave.pipelines.volume_pairs import open_named
from sliceweave.pipelines.volume_stacks import open_volume

_IMAGE_FOLDER = re.compile(r"(?:images?|imgs?|scans?|volumes?)(?P<side>Tr|Ts)?\Z", re.IGNORECASE)
_LABEL_FOLDER = re.compile(r"(?:labels?|masks?|segs?|segmentations?|gts?)(?P<side>Tr|Ts)?\Z", re.IGNORECASE)
_LABEL_WORDS = r"(?:labels?|masks?|seg|segmentations?|gt)"
_LABEL_ENDING = re.compile(rf"(?:^|[_.-]){_LABEL_WORDS}\Z", re.IGNORECASE)
_LABEL_INSIDE = re.compile(rf"(?:^|[_.-]){_LABEL_WORDS}[_.-]", re.IGNORECASE)
_IMAGE_ENDING = re.compile(r"[_.-](?:ct|mri?|images?|img|0000)\Z", re.IGNORECASE)
_SAYS_NOTHING = re.compile(r"(?:ct|mri?|images?|img|scan|volume|data)\Z", re.IGNORECASE)
_BIDS_PATIENT = re.compile(r"sub-[0-9A-Za-z]+")

logger = logging.getLogger(__name__)


@dataclass
class _Group:
    """Images and labels that may belong together; `is_twin` where folders say which is which."""

    is_twin: bool
    images: list[Path] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)


def find_plain(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """Every volume nothing else has claimed, with its label where names tell which that is.

    Twin folders (`images` and `labels`, `imagesTr` and `labelsTr`, `scans` and `masks`, …) hold an image and its label
    under one name, and each needs the other. Elsewhere a name that ends in `label`, `mask`, `seg`, `segmentation` or
    `gt` is a label: of the image of that name (`x_ct` and `x_label`), of one whose name goes on after it
    (`x_ct_small`) if that alone has its shape, or of the only image of its folder.
    """
    volumes = [path for path in files if image_suffix(path)]
    files.take(volumes)
    groups = _groups(volumes, files.root)
    names = _names([path for group in groups for path in group.images], files.root)
    return [case for group in groups for case in _cases(group, names)]


def cases_of_rows(rows: Iterable[StudyRow], options: PrepareOptions) -> list[Case]:
    """The studies that a CSV names; an image may be a folder of DICOM slices."""
    return [_case_of_row(row, options) for row in rows]


def _case_of_row(row: StudyRow, options: PrepareOptions) -> Case:
    image = partial(open_named, row.image)
    label = partial(open_named, row.label) if row.label else None
    if not row.image.is_dir():
        return Case(row.study_id, image, label, patient=row.patient, split=row.split)
    found = find_dicom(SourceFiles(row.image), options)
    if len(found) != 1:
        return broken(row.study_id, f"expected one DICOM series in {row.image}, got {len(found)}; name its own folder")
    return Case(row.study_id, found[0].image, label, patient=row.patient, split=row.split)


def _groups(volumes: Sequence[Path], root: Path) -> list[_Group]:
    """Twin folders first, then what lies in one folder."""
    twins: dict[object, _Group] = defaultdict(partial(_Group, is_twin=True))
    loose: dict[Path, _Group] = defaultdict(partial(_Group, is_twin=False))
    for path in volumes:
        kind, key = _twin_key(path.relative_to(root).parts)
        if kind:
            (twins[key].images if kind == "image" else twins[key].labels).append(path)
        else:
            _sort_in(path, loose[path.parent])
    for group in [group for group in twins.values() if not group.labels]:
        for path in group.images:
            _sort_in(path, loose[path.parent])
    return [group for group in twins.values() if group.labels] + list(loose.values())


def _twin_key(parts: tuple[str, ...]) -> tuple[str, object]:
    """What the last image or label folder of a path is, and all that the path's twin has in common with it."""
    for at in range(len(parts) - 2, -1, -1):
        for kind, pattern in (("image", _IMAGE_FOLDER), ("label", _LABEL_FOLDER)):
            if match := pattern.match(parts[at]):
                return kind, (parts[:at], (match["side"] or "").lower(), parts[at + 1 : -1])
    return "", None


def _sort_in(path: Path, group: _Group) -> None:
    """Puts a file of a folder of both kinds where its name says."""
    if _LABEL_ENDING.search(id_of(path)):
        group.labels.append(path)
    elif _LABEL_INSIDE.search(id_of(path)):
        logger.warning("left out, named like a label but not as the label of an image: %s", path.name)
    else:
        group.images.append(path)


def _names(images: Sequence[Path], root: Path) -> dict[Path, str]:
    """The id of each image: its file name, with its folders where that is taken twice or says nothing."""
    count = Counter(id_of(path) for path in images)

    def name(path: Path) -> str:
        own = id_of(path)
        if count[own] <= 1 and not _SAYS_NOTHING.match(own):
            return own
        folders = [part for part in path.relative_to(root).parts[:-1] if not _IMAGE_FOLDER.match(part)]
        return printable("_".join([*(folders or [root.resolve().name]), own]))

    return {path: name(path) for path in images}


def _cases(group: _Group, names: dict[Path, str]) -> list[Case]:
    labels_of: dict[Path, list[Path]] = defaultdict(list)
    lonely = []
    for label in group.labels:
        if image := _image_of(label, group):
            labels_of[image].append(label)
        else:
            reason = f"{label.name} is a label without an image; add the image, or name both in a CSV"
            lonely.append(broken(id_of(label), reason))
    return [_case(names[image], image, labels_of[image], group) for image in group.images] + lonely


def _image_of(label: Path, group: _Group) -> Path | None:
    own = id_of(label)
    same = [image for image in group.images if id_of(image) == own] if group.is_twin else []
    base = _LABEL_ENDING.sub("", own)
    named = same or [image for image in group.images if base and base in (id_of(image), _short(image))]
    if not group.is_twin:
        if not named and len(group.images) == len(group.labels) == 1:
            named = group.images
        longer = [image for image in group.images if base and re.match(rf"{re.escape(base)}[_.-]", id_of(image))]
        if len(longer) > 1:
            named = [image for image in longer if _shape(image) == _shape(label)] or named
    return named[0] if named else None


def _short(image: Path) -> str:
    return _IMAGE_ENDING.sub("", id_of(image))


@lru_cache(maxsize=4096)
def _shape(path: Path) -> tuple[int, int, int] | None:
    try:
        return open_volume(path).geometry.shape
    except InputError:
        return None


def _case(name: str, image: Path, labels: Sequence[Path], group: _Group) -> Case:
    same = [path for path in group.images if id_of(path) == id_of(image)]
    for what, paths in (("image", same), ("label", labels)):
        if len(paths) > 1:
            listed = ", ".join(path.name for path in paths)
            return broken(name, f"expected one {what}, got {listed}; keep one, or name the right one in a CSV")
    if group.is_twin and not labels:
        return broken(
            name, f"expected a label of this name, got none in the folder of labels beside that of {image.name}"
        )
    patient = _BIDS_PATIENT.match(name)
    label = partial(open_named, labels[0]) if labels else None
    return Case(name, partial(open_named, image), label, patient=patient[0] if patient else "")
