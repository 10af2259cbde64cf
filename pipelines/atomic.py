"""Files that are whole at every moment: a reader sees the old content or the new, never a part."""

import errno
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sliceweave.pipelines.errors import InputError

PARTIAL_SUFFIX = ".sliceweave-partial"
_OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, content: bytes) -> None:
    """Puts the content at the path in one step, or leaves what stood there.

    Raises:
        InputError: the file cannot be written; the old file stays as it was and nothing partial remains.
    """
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the path's place in one step at the end, or never where anything fails.

    Raises:
        InputError: the file cannot be written; the old file stays as it was and nothing partial remains.
    """
    partial = path.with_name(f".{uuid.uuid4().hex}{PARTIAL_SUFFIX}")
    try:
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(_what_to_do(path, error)) from error


def remove(path: Path) -> None:
    """Removes a file that may be there.

    Raises:
        InputError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot remove {path}: {error.strerror}; remove it, or choose another folder") from error


def make_folder(folder: Path | str, advice: str, dead_after_s: float = 0) -> None:
    """Makes a folder to write to, and clears what a killed run left half written in it.

    Args:
        advice: what to do where that fails.
        dead_after_s: age of what is half written from which nobody can be writing it any more.

    Raises:
        InputError: it cannot be made, or not be written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        _remove_partials(folder, dead_after_s)
    except OSError as error:
        raise InputError(f"cannot use {folder}: {error.strerror}; {advice}") from error


def _remove_partials(folder: Path, dead_after_s: float) -> None:
    for partial in folder.glob(f".*{PARTIAL_SUFFIX}"):
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - partial.stat().st_mtime >= dead_after_s:
                partial.unlink()


def _what_to_do(path: Path, error: OSError) -> str:
    remedy = "free space" if error.errno in _OUT_OF_SPACE else "make its folder writable"
    return (
        f"cannot write {path}: {error.strerror}; {remedy} and run again: "
        "what is already written is safe and taken up (by a bundle with --resume True)"
    )
