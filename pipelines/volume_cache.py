"""Preprocessed cases on disk, made once and taken up by every later run that would make the same."""

import hashlib
import inspect
import json
import os
import pickle
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from monai.data.utils import pickle_hashing
from monai.transforms import Compose
from monai.transforms.traits import RandomizableTrait
from tqdm import tqdm

import sliceweave.transforms
from sliceweave.pipelines.atomic import make_folder
from sliceweave.pipelines.errors import InputError, input_error_in, reason_of
from sliceweave.pipelines.processes import rank, world_size
from sliceweave.pipelines.reading import files_of
from sliceweave.pipelines.volume_files import FORMAT, StoredVolume, open_volume, packed, write_volume

Case = Mapping[Hashable, Any]
Chain = Callable[..., Any]

_REASONS_TOLD = 3
_DEAD_AFTER_S = 3600


class VolumeCache:
    """What a deterministic chain makes of the cases, one memory-mapped file each in a folder, in the cases' order.

    A file is used again only where the case's own files (path, size, time), the chain with all its settings and the
    versions of sliceweave and MONAI are the same; otherwise, or where it is damaged, the volume is made anew. Processes
    that train together each begin at another place and leave out what is there by then. The folder may be deleted at
    any time between two runs.

    Args:
        data: cases with `image` and `label`.
        transform: deterministic preprocessing of a whole volume.
        directory: where the files lie.

    Raises:
        InputError: cases that cannot be used: all are tried, and counted, before it is raised; no room on the disk; a
            chain that draws by chance or that cannot be told from another.
    """

    def __init__(self, data: Sequence[Case], transform: Chain, directory: str | Path) -> None:
        self.directory = Path(directory)
        chain = chain_digest(transform)
        paths = [self.directory / f"{case_digest(case, chain)}.volume" for case in data]
        if missing := [number for number, path in enumerate(paths) if open_volume(path) is None]:
            self._make([(data[number], paths[number]) for number in missing], transform, len(data))
        self.volumes = [volume for path in paths if (volume := open_volume(path))]
        if len(self.volumes) < len(paths):
            raise InputError(f"{self.directory}: volumes vanished while they were made; run again")

    def __len__(self) -> int:
        return len(self.volumes)

    def __getitem__(self, index: int) -> StoredVolume:
        return self.volumes[index]

    def __iter__(self) -> Iterator[StoredVolume]:
        return iter(self.volumes)

    def _make(self, missing: Sequence[tuple[Case, Path]], transform: Chain, cases: int) -> None:
        make_folder(self.directory, "choose another folder with --cache_dir", _DEAD_AFTER_S)
        first = rank() * len(missing) // world_size()
        failures = []
        for case, path in tqdm([*missing[first:], *missing[:first]], "preparing volumes", disable=None):
            if open_volume(path):  # another process was faster
                continue
            try:
                made = transform(dict(case))
                volume = packed(made["image"], made["label"])
            except Exception as error:  # whatever is wrong with one case, the others are tried too
                failures.append(_failure(case, error))
            else:
                write_volume(path, volume)
        if failures:
            raise InputError(_told(failures, cases))


def chain_digest(transform: Chain) -> str:
    """What changes with the transforms of a chain, their settings, the modules they are from and the versions.

    A Compose is told by its transforms: it holds a random state of its own, which means nothing here.

    Raises:
        InputError: a transform that draws by chance, or that cannot be pickled.
    """
    steps = list(transform.flatten().transforms) if isinstance(transform, Compose) else [transform]
    if random := [type(step).__name__ for step in steps if isinstance(step, RandomizableTrait)]:
        raise InputError(f"preprocessing is done once per study, but {random[0]} is random: make it augmentation")
    try:
        settings = pickle_hashing(steps)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(f"preprocessing cannot be told from another ({error}): give functions by name") from error
    versions = [version(package).encode() for package in ("sliceweave", "monai")]
    modules = {Path(inspect.getfile(type(step))) for step in steps}
    files = sorted(modules.union(Path(sliceweave.transforms.__file__).parent.glob("*.py")))
    return hashlib.sha256(b"\0".join([settings, *versions, *(path.read_bytes() for path in files)])).hexdigest()


def case_digest(case: Case, chain: str) -> str:
    """What changes with a case's files or with the chain, as a file name."""
    files = [_state(path) for key in ("image", "label") for path in files_of(Path(str(case.get(key))))]
    return hashlib.sha256(json.dumps([FORMAT, chain, files]).encode()).hexdigest()[:32]


def _state(path: Path) -> tuple[str, int, int]:
    """Path, bytes and time of a file; a missing one, whose loading will fail or which need not be, has -1."""
    try:
        status = path.stat()
    except OSError:
        return os.path.abspath(path), -1, -1
    return os.path.abspath(path), status.st_size, status.st_mtime_ns


def _failure(case: Case, error: Exception) -> str:
    """Why a case cannot be used; messages meant for the user name the file themselves."""
    reason = reason_of(error)
    return reason if input_error_in(error) else f"{case.get('image')}: {reason}"


def _told(failures: Sequence[str], cases: int) -> str:
    more = f"; and {len(failures) - _REASONS_TOLD} more" if len(failures) > _REASONS_TOLD else ""
    return (
        f"{len(failures)} of {cases} studies cannot be used: {'; '.join(failures[:_REASONS_TOLD])}{more}; mend them or "
        "take them out, and run again: the others are prepared and stay"
    )
