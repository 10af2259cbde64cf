"""Which files of a folder are LabelMe annotations, which pictures they belong to, and whose they are."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sliceweave.pipelines.cases import SourceFiles
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.labelme import picture_beside, picture_of, read_annotation, read_json, structure_names
from sliceweave.pipelines.pictures import PICTURE_PATTERN, Picture, picture_file

# Folders that hold the files of a patient and are named after what they hold, not after whom.
_HOLDERS = frozenset(
    [
        "all",
        "data",
        "image",
        "images",
        "img",
        "imgs",
        "png",
        "jpg",
        "slices",
        "frames",
        "json",
        "jsons",
        "label",
        "labels",
        "ann",
        "annotations",
        "train",
        "training",
        "val",
        "validation",
        "test",
    ]
)
_PATIENT_THEN_NUMBER = re.compile(r"(.*?)[ _.-]*\d+\D*\Z")


class Study(NamedTuple):
    """Whose pictures belong together."""

    study_id: str
    patient: str


@dataclass(frozen=True)
class LabelledPicture:
    """A picture of a data set and its annotation; `problem` says why the two cannot be used.

    Attributes:
        path: the picture's file, or the JSON file where the picture is embedded or missing.
        names: how often each label is drawn.
    """

    path: Path
    picture: Picture | None
    annotation: Path | None
    names: Mapping[str, int]
    problem: str = ""


def labelled_pictures(files: SourceFiles) -> list[LabelledPicture]:
    """All LabelMe files with their pictures, and the pictures without one; none where no file is LabelMe's."""
    annotations = _annotation_files(files)
    if not annotations:
        return []
    labelled = [_labelled(path, files.root) for path in annotations]
    used = {entry.path.resolve() for entry in labelled}
    bare = (path for path, _ in files.named(PICTURE_PATTERN) if path.resolve() not in used)
    return _without_doubles(labelled) + [LabelledPicture(path, picture_file(path), None, {}) for path in bare]


def by_study(pictures: Iterable[LabelledPicture], root: Path) -> dict[Study, list[LabelledPicture]]:
    """The pictures of each study.

    A study is a folder and its patient the topmost one, so that visits below are one patient's. Pictures that lie in no
    folder of a patient, but in the root or in `slices`, are told apart by what stands before the number of their names.
    """
    studies: dict[Study, list[LabelledPicture]] = defaultdict(list)
    for picture in pictures:
        folders = _folders_of(picture.path, root)
        flat = _name_of(picture.path) or root.resolve().name
        studies[Study("_".join(folders), folders[0]) if folders else Study(flat, flat)].append(picture)
    return dict(sorted(studies.items()))


def _annotation_files(files: SourceFiles) -> list[Path]:
    """JSON files of LabelMe, and those that should be: beside a picture of their stem, or broken among others."""
    kinds = {path: _kind(path) for path, _ in files.named(r"[^/]+\.json")}
    folders = {path.parent for path, kind in kinds.items() if kind == "labelme"}
    beside = {path for path in kinds if picture_beside(path)}
    if not folders and not any(kinds[path] == "broken" for path in beside):
        return []
    return [
        path
        for path, kind in kinds.items()
        if kind == "labelme" or path in beside or (kind == "broken" and path.parent in folders)
    ]


def _kind(path: Path) -> str:
    try:
        content = read_json(path)
    except InputError:
        return "broken"
    return "labelme" if isinstance(content, dict) and {"shapes", "imagePath"} & content.keys() else "other"


def _labelled(path: Path, root: Path) -> LabelledPicture:
    try:
        annotation = read_annotation(path)
        picture = picture_of(annotation, root)
    except InputError as error:
        return LabelledPicture(picture_beside(path) or path, None, path, {}, str(error))
    shown = picture.path if picture.path == path else _as_walked(picture.path, root)
    return LabelledPicture(shown, picture, path, Counter(structure_names(annotation)))


def _as_walked(picture: Path, root: Path) -> Path:
    """The path below the root as given, which itself may be a link."""
    return root / picture.relative_to(root.resolve()) if picture.is_relative_to(root.resolve()) else picture


def _without_doubles(labelled: Iterable[LabelledPicture]) -> list[LabelledPicture]:
    """The entries, those whose picture another one has already made a problem."""
    first: dict[Path, LabelledPicture] = {}
    entries = []
    for entry in labelled:
        other = first.setdefault(entry.path.resolve(), entry)
        if other is not entry:
            problem = f"{entry.annotation}: annotates {entry.path}, as does {other.annotation}; remove one"
            entry = LabelledPicture(entry.path, None, entry.annotation, {}, problem)
        entries.append(entry)
    return entries


def _name_of(path: Path) -> str:
    """What stands before the last number of a file's name; empty where there is no number."""
    found = _PATIENT_THEN_NUMBER.match(path.stem)
    return found[1] if found else ""


def _folders_of(path: Path, root: Path) -> tuple[str, ...]:
    """The folders below the root that may be a patient's."""
    return tuple(part for part in path.relative_to(root).parent.parts if part.casefold() not in _HOLDERS)
