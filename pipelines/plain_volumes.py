"""Studies that lie there as volumes: `images/` and `labels/`, pairs by name in one folder, images alone, or a CSV."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles, broken
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.studies import id_of, image_suffix
from sliceweave.pipelines.study_csv import StudyRow
from sliceweave.pipelines.volume_pairs import open_named
from sliceweave.pipelines.volume_stacks import open_volume

_LABEL_WORDS = r"(?:labels?|masks?|seg|segmentations?|gt)"
_LABEL_ENDING = re.compile(rf"^(?:(?P<base>.*)[_.-])?{_LABEL_WORDS}\Z", re.IGNORECASE)
_LABEL_INSIDE = re.compile(rf"(?:^|.*[_.-]){_LABEL_WORDS}[_.-]", re.IGNORECASE)
_IMAGE_ENDING = re.compile(r"[_.-](?:ct|mri?|images?|img|0000)\Z", re.IGNORECASE)
_SAYS_NOTHING = re.compile(r"(?:ct|mri?|images?|img|scan|volume|data)\Z", re.IGNORECASE)
_BIDS_PATIENT = re.compile(r"sub-[0-9A-Za-z]+")

logger = logging.getLogger(__name__)


def find_plain(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """Every volume nothing else has claimed, with its label where names tell which that is.

    `images/X` goes with `labels/X`, and where there is a `labels` folder each needs the other. Elsewhere a name that
    ends in `label`, `mask`, `seg`, `segmentation` or `gt` is a label: of the image of that name (`x_ct` and `x_label`)
    or of the only image of its folder; where the shapes differ, of the one image there that has its shape.
    """
    volumes = [path for path in files if image_suffix(path)]
    files.take(volumes)
    names = _names(volumes, files.root)
    twins = {path: key for path in volumes if (key := _twin_key(path.relative_to(files.root)))}
    loose: dict[Path, list[Path]] = defaultdict(list)
    for path in volumes:
        if path not in twins:
            loose[path.parent].append(path)
    return _twin_cases(twins, names) + [case for paths in loose.values() for case in _loose_cases(paths, names)]


def cases_of_rows(rows: Iterable[StudyRow]) -> list[Case]:
    """The studies that a CSV names."""
    return [
        Case(
            row.study_id,
            partial(open_named, row.image),
            partial(open_named, row.label) if row.label else None,
            patient=row.patient,
            split=row.split,
        )
        for row in rows
    ]


def _names(volumes: Sequence[Path], root: Path) -> dict[Path, str]:
    """The id of each volume: its file name, with its folders where that is taken twice or says nothing."""
    labels = [path for path in volumes if "labels" in path.relative_to(root).parts[:-1]]
    count = Counter(id_of(path) for path in volumes if path not in labels)

    def name(path: Path) -> str:
        own = id_of(path)
        if count[own] <= 1 and not _SAYS_NOTHING.match(own):
            return own
        folders = [part for part in path.relative_to(root).parts[:-1] if part not in ("images", "labels")]
        return printable("_".join([*(folders or [root.resolve().name]), own]))

    return {path: name(path) for path in volumes}


def _twin_key(path: Path) -> tuple[str, str] | None:
    """(`images` or `labels`, what both twins share) for a file below such a folder."""
    parts = path.parts[:-1]
    at = max((i for i, part in enumerate(parts) if part in ("images", "labels")), default=None)
    if at is None:
        return None
    return parts[at], str(PurePosixPath(*parts[:at], "*", *parts[at + 1 :], id_of(path)))


def _twin_cases(twins: dict[Path, tuple[str, str]], names: dict[Path, str]) -> list[Case]:
    images = {shared: path for path, (folder, shared) in twins.items() if folder == "images"}
    labels = {shared: path for path, (folder, shared) in twins.items() if folder == "labels"}
    labelled = {shared.split("*")[0] for shared in labels}
    cases = []
    for shared, image in images.items():
        if shared not in labels and shared.split("*")[0] in labelled:
            cases.append(
                broken(names[image], f"expected a label of this name in labels/, got none beside {image.name}")
            )
        else:
            cases.append(_case(names[image], image, labels.get(shared)))
    lonely = [labels[shared] for shared in labels if shared not in images]
    return cases + [_without_image(path, names) for path in lonely]


def _without_image(label: Path, names: dict[Path, str]) -> Case:
    return broken(names[label], f"{label.name} is a label without an image; add the image, or name both in a CSV")


def _loose_cases(paths: Sequence[Path], names: dict[Path, str]) -> list[Case]:
    """The cases of one folder."""
    labels = [path for path in paths if _LABEL_ENDING.match(id_of(path))]
    left_out = [path for path in paths if path not in labels and _LABEL_INSIDE.match(id_of(path))]
    if left_out:
        logger.warning("left out, named like labels but not as the label of an image: %s", _listed(left_out))
    images = [path for path in paths if path not in labels and path not in left_out]
    labels_of: dict[Path, list[Path]] = defaultdict(list)
    lonely = []
    for label in labels:
        image = _image_of(label, images, len(labels))
        if image:
            labels_of[image].append(label)
        else:
            lonely.append(_without_image(label, names))
    return [_loose_case(names[image], image, labels_of[image]) for image in images] + lonely


def _loose_case(name: str, image: Path, labels: Sequence[Path]) -> Case:
    if len(labels) > 1:
        return broken(name, f"expected one label, got {_listed(labels)}; name the right one in a CSV")
    return _case(name, image, labels[0] if labels else None)


def _image_of(label: Path, images: Sequence[Path], labels: int) -> Path | None:
    found = _LABEL_ENDING.match(id_of(label))
    base = found["base"] if found else None
    named = [path for path in images if base and base in (id_of(path), _IMAGE_ENDING.sub("", id_of(path)))]
    if not named and len(images) == labels == 1:
        named = list(images)
    if len(images) == 1:
        return named[0] if named else None
    fitting = [path for path in named or images if _shape(path) == _shape(label)]
    if not fitting and named:
        fitting = [path for path in images if _shape(path) == _shape(label)]
    return fitting[0] if len(fitting) == 1 else (named[0] if named else None)


def _shape(path: Path) -> tuple[int, int, int] | None:
    try:
        return open_volume(path).geometry.shape
    except InputError:
        return None


def _case(name: str, image: Path, label: Path | None) -> Case:
    patient = _BIDS_PATIENT.match(name)
    return Case(
        name,
        partial(open_named, image),
        partial(open_named, label) if label else None,
        patient=patient[0] if patient else "",
    )


def _listed(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths)
