"""Studies that lie there as volumes: twin folders of images and labels, pairs by name, images alone, or a CSV."""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path

import pandas as pd

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles, broken
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.dicom_series import cases_of_folders
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.file_names import IMAGE_ENDING, LABEL_ENDING, LABEL_INSIDE
from sliceweave.pipelines.studies import id_of, image_suffix
from sliceweave.pipelines.study_csv import StudyRow
from sliceweave.pipelines.tables import read_table
from sliceweave.pipelines.volume_pairs import open_named
from sliceweave.pipelines.volume_stacks import open_volume

_IMAGE_FOLDER = re.compile(r"(?:images?|imgs?|scans?|volumes?)(?P<side>Tr|Ts)?\Z", re.IGNORECASE)
_LABEL_FOLDER = re.compile(
    r"(?:labels?|masks?|segs?|segmentations?|gts?|ground[_-]?truths?|annotations?)(?P<side>Tr|Ts)?\Z", re.IGNORECASE
)
_FURTHER_CHANNEL = re.compile(r"_0(?!000\Z)\d{3}\Z")
_SAYS_NOTHING = re.compile(r"(?:ct|mri?|images?|img|scan|volume|data)\Z", re.IGNORECASE)
_BIDS_PATIENT = re.compile(r"sub-[0-9A-Za-z]+")

logger = logging.getLogger(__name__)


@dataclass
class _Group:
    """Images and labels that may belong together: of twin folders, which say which is which, or of one folder."""

    root: Path
    is_twin: bool
    images: list[Path] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)

    @cached_property
    def by_name(self) -> dict[tuple[str, str], list[Path]]:
        """Images by inner folder and name."""
        return self._index(id_of)

    @cached_property
    def by_short_name(self) -> dict[tuple[str, str], list[Path]]:
        """The same by what is left of a name without `_ct` or `_0000`."""
        return self._index(lambda image: IMAGE_ENDING.sub("", id_of(image)))

    def inner(self, path: Path) -> str:
        """The folders between a twin folder and the file, which twins have in common."""
        parts = path.relative_to(self.root).parts[:-1]
        at = max((at for at, part in enumerate(parts) if _is_twin(part)), default=len(parts) - 1)
        return "/".join(parts[at + 1 :]) if self.is_twin else ""

    def _index(self, name: Callable[[Path], str]) -> dict[tuple[str, str], list[Path]]:
        index: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for image in self.images:
            index[self.inner(image), name(image)].append(image)
        return index


def find_plain(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """Every volume nothing else has claimed, with its label where names tell which that is.

    Twin folders (`images` and `labels`, `imagesTr` and `labelsTr`, `scans` and `masks`, …) hold an image and its label
    under one name, and each needs the other. Elsewhere a name that ends in `label`, `mask`, `seg`, `segmentation` or
    `gt` is a label: of the image of that name (`x_ct` and `x_label`), or of one whose name goes on after it
    (`x_ct_small`) if that alone has its shape. A study's id is its path without the twin folder; its patient is its
    BIDS subject, else the first folder within a twin folder, else the study itself; but a `truth.csv` beside the
    folders, as `sliceweave paint` writes it, knows better whose head a study is.
    """
    volumes = [path for path in files if image_suffix(path)]
    files.take(volumes)
    cases = [case for group in _groups(_first_channels(volumes), files.root) for case in _cases(group)]
    return _with_patients(cases, files.root / "truth.csv")


def _with_patients(cases: list[Case], table: Path) -> list[Case]:
    """The cases with the patients of a table `study_id,patient`, where there is one."""
    rows = read_table(table) if table.is_file() else pd.DataFrame()
    if not {"study_id", "patient"} <= set(rows.columns):
        return cases
    patients = dict(zip(rows["study_id"], rows["patient"], strict=True))
    return [replace(case, patient=patients.get(case.study_id) or case.patient) for case in cases]


def cases_of_rows(rows: Iterable[StudyRow], options: PrepareOptions) -> list[Case]:
    """The studies that a CSV names; an image may be a folder of DICOM slices.

    Patients are those of the CSV. Where it names none for a folder of DICOM, its headers tell whose it is.
    """
    rows = list(rows)
    folders = [row for row in rows if row.image.is_dir()]
    found = cases_of_folders([(row.study_id, row.image) for row in folders], options)
    named = {case.patient: row.patient for row, case in zip(folders, found, strict=True) if row.patient}
    series = iter(found)
    return [_of_series(row, next(series), named) if row.image.is_dir() else _of_file(row) for row in rows]


def _of_file(row: StudyRow) -> Case:
    case = _volume_case(row.study_id, row.image, row.label, row.patient)
    return replace(case, split=row.split)


def _of_series(row: StudyRow, case: Case, named: Mapping[str, str]) -> Case:
    label = partial(open_named, row.label) if row.label else None
    patient = row.patient or named.get(case.patient, case.patient)
    return replace(case, label=label, patient=patient, split=row.split)


def _volume_case(study_id: str, image: Path, label: Path | None, patient: str) -> Case:
    files = (image, label) if label else (image,)
    opened = partial(open_named, label) if label else None
    return Case(study_id, partial(open_named, image), opened, patient=patient, files=files)


def _first_channels(volumes: Sequence[Path]) -> list[Path]:
    """The volumes without the further channels of those whose first one, `_0000`, is there."""
    present = {(path.parent, id_of(path)) for path in volumes}

    def is_further(path: Path) -> bool:
        first = _FURTHER_CHANNEL.sub("_0000", id_of(path))
        return first != id_of(path) and (path.parent, first) in present

    kept = [path for path in volumes if not is_further(path)]
    if len(kept) < len(volumes):
        logger.warning("left out %d further channels (_0001 and on) of images", len(volumes) - len(kept))
    return kept


def _groups(volumes: Sequence[Path], root: Path) -> list[_Group]:
    """Twin folders first, then what lies in one folder."""
    twins: dict[object, _Group] = defaultdict(partial(_Group, root, is_twin=True))
    loose: dict[Path, _Group] = defaultdict(partial(_Group, root, is_twin=False))
    for path in volumes:
        kind, key = _twin_key(path.relative_to(root).parts[:-1])
        if kind:
            (twins[key].images if kind == "image" else twins[key].labels).append(path)
        else:
            _sort_in(path, loose[path.parent])
    for group in twins.values():
        for path in () if group.labels else group.images:
            _sort_in(path, loose[path.parent])
    return [group for group in twins.values() if group.labels] + list(loose.values())


def _is_twin(folder: str) -> bool:
    return bool(_IMAGE_FOLDER.match(folder) or _LABEL_FOLDER.match(folder))


def _twin_key(folders: tuple[str, ...]) -> tuple[str, object]:
    """What the last image or label folder of a path is, and what it has in common with its twin."""
    for at in range(len(folders) - 1, -1, -1):
        for kind, pattern in (("image", _IMAGE_FOLDER), ("label", _LABEL_FOLDER)):
            if match := pattern.match(folders[at]):
                return kind, (folders[:at], (match["side"] or "").lower())
    return "", None


def _sort_in(path: Path, group: _Group) -> None:
    """Puts a file of a folder of both kinds where its name says."""
    if LABEL_ENDING.search(id_of(path)):
        group.labels.append(path)
    elif LABEL_INSIDE.search(id_of(path)):
        logger.warning("left out, named like a label but not as the label of an image: %s", path.name)
    else:
        group.images.append(path)


def _cases(group: _Group) -> list[Case]:
    labels_of: dict[Path, list[Path]] = defaultdict(list)
    lonely = []
    for label in group.labels:
        images = _images_of(label, group)
        if len(images) == 1:
            labels_of[images[0]].append(label)
        else:
            lonely.append(broken(_id(label, group.root), _lonely_reason(label, images)))
    return [_case(image, labels_of[image], group) for image in group.images] + lonely


def _lonely_reason(label: Path, images: Sequence[Path]) -> str:
    if images:
        return f"{label.name} may be the label of {_listed(images)}; name the pair in a CSV"
    return f"{label.name} is a label without an image; add the image, or name both in a CSV"


def _images_of(label: Path, group: _Group) -> list[Path]:
    """The images whose label it may be: one, where that is clear."""
    inner, own = group.inner(label), id_of(label)
    base = LABEL_ENDING.sub("", own)
    for names in (group.by_name, group.by_short_name):
        for name in (own, base) if group.is_twin else (base,):
            if named := names.get((inner, name)):
                return _of_its_shape(label, named, group)
    if not group.is_twin and len(group.images) == len(group.labels) == 1 and _is_nameless(base, group.images[0]):
        return group.images
    return [image for image in _longer(base, group) if _shape(image) == _shape(label)]


def _is_nameless(base: str, image: Path) -> bool:
    return not base or bool(_SAYS_NOTHING.match(id_of(image)))


def _of_its_shape(label: Path, named: list[Path], group: _Group) -> list[Path]:
    """The named image, unless only another of the name, or of one that goes on after it, has the label's shape."""
    others = [] if group.is_twin else _longer(LABEL_ENDING.sub("", id_of(label)), group)
    if len(named) == 1 and (not others or _shape(named[0]) == _shape(label)):
        return named
    fitting = [image for image in dict.fromkeys((*named, *others)) if _shape(image) == _shape(label)]
    return fitting or named


def _longer(base: str, group: _Group) -> list[Path]:
    return [image for image in group.images if base and re.match(rf"{re.escape(base)}[_.-]", id_of(image))]


@lru_cache(maxsize=4096)
def _shape(path: Path) -> tuple[int, int, int] | None:
    try:
        return open_volume(path).geometry.shape
    except InputError:
        return None


def _case(image: Path, labels: Sequence[Path], group: _Group) -> Case:
    study_id = _id(image, group.root)
    for what, paths in (("image", group.by_name[group.inner(image), id_of(image)]), ("label", labels)):
        if len(paths) > 1:
            reason = f"expected one {what}, got {_listed(paths)}; keep one, or name the right one in a CSV"
            return broken(study_id, reason)
    if group.is_twin and not labels:
        reason = f"expected a label of this name, got none in the folder of labels beside that of {image.name}"
        return broken(study_id, reason)
    return _volume_case(study_id, image, labels[0] if labels else None, _patient(image, group))


def _id(path: Path, root: Path) -> str:
    """The path below the root, whatever else lies there; a folder of images adds nothing to it."""
    folders = [part for part in path.relative_to(root).parts[:-1] if not _IMAGE_FOLDER.match(part)]
    return printable("_".join([*folders, id_of(path)]))


def _patient(image: Path, group: _Group) -> str:
    if subject := _BIDS_PATIENT.search(str(image.relative_to(group.root))):
        return subject[0]
    inner = group.inner(image)
    prefix = _id(image, group.root).removesuffix(f"{inner.replace('/', '_')}_{id_of(image)}")
    return printable(prefix + inner.split("/")[0]) if inner else ""


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths)
