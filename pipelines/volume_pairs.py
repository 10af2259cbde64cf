"""Images and labels in files of their own, brought together by study."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from sliceweave.pipelines.cases import Case, SliceStack, broken
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.volume_stacks import open_volume

PathsByStudy = Mapping[str, Sequence[Path]]


def by_study(found: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    """The files of each study."""
    paths: dict[str, list[Path]] = defaultdict(list)
    for study_id, path in found:
        paths[study_id].append(path)
    return dict(paths)


def paired(images: PathsByStudy, labels: PathsByStudy, make: Callable[[str, Path, Path], Case]) -> list[Case]:
    """The case that `make` gives each study of one image and one label; a broken one for any other, sorted by id."""
    cases = []
    for study_id in sorted({*images, *labels}):
        image, label = images.get(study_id, ()), labels.get(study_id, ())
        reason = mismatch(image, label)
        cases.append(broken(study_id, reason) if reason else make(study_id, image[0], label[0]))
    return cases


def mismatch(images: Sequence[Path], labels: Sequence[Path]) -> str:
    """What keeps the files of a study from being one image and one label; empty where they are. One of them exists."""
    for paths, kind, others, other_kind in ((images, "image", labels, "label"), (labels, "label", images, "image")):
        if len(paths) > 1:
            return f"expected one {kind}, found {' and '.join(map(_place, paths))}; keep one of them"
        if not paths:
            return f"expected the {kind} of {_place(others[0])}, found none; add it or remove the {other_kind}"
    return ""


def _place(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def open_named(path: Path) -> SliceStack:
    """The volume of a file; whatever is wrong with it is told with the file's folder and name in front.

    Raises:
        InputError: as `open_volume` does, and its blocks.
    """
    with _naming(path):
        stack = open_volume(path)

    def blocks() -> Iterator[NDArray[Any]]:
        with _naming(path):
            yield from stack.blocks()

    return replace(stack, blocks=blocks)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"{_place(path)}: {error}") from error
