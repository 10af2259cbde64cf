"""The folder ``records`` of a run: one file for each study, and the lock that keeps a second run away."""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import final

from filelock import FileLock, Timeout
from tqdm import tqdm

from sliceweave.pipelines.atomic import make_folder, remove, write_atomically
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.records import StudyRecord, parse
from sliceweave.pipelines.studies import file_stem

RECORDS = "records"
_SUFFIX = ".json"
_LOCK = "lock"
_MANY = 2000


@final
class RecordFolder:
    """Records by study, each file whole at every moment. One process at a time may write."""

    def __init__(self, results: Path) -> None:
        self.path = results / RECORDS
        # One lock for all that this process opens here; the system frees it when the process dies, however it dies.
        self._lock = FileLock(self.path / _LOCK, is_singleton=True)
        self.is_claimed = False

    def claim(self, advice: str) -> None:
        """Makes the folder, and keeps other processes from writing to it until `release`, or until this one ends.

        Args:
            advice: what to do where that fails.

        Raises:
            InputError: another run writes there, or nobody can.
        """
        folders = self.path.parent, self.path
        for folder in folders:
            make_folder(folder, advice, dead_after_s=math.inf)
        if not self.is_claimed:
            self._acquire(advice)
        for folder in folders:  # only now is nobody else in the middle of writing
            make_folder(folder, advice)

    def release(self) -> None:
        """Lets others write again. Does nothing where it was not claimed."""
        if self.is_claimed:
            self.is_claimed = False
            self._lock.release()

    def _acquire(self, advice: str) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{self.path.parent}: another run is writing there; wait for it, or {advice}") from None
        except OSError as error:
            raise InputError(f"cannot lock {self._lock.lock_file}: {error.strerror}; {advice}") from error
        self.is_claimed = True

    def exists(self) -> bool:
        """Whether a run that keeps records has written here, be there any yet or not."""
        return self.path.is_dir()

    def read(self) -> tuple[dict[str, StudyRecord], list[str]]:
        """The records by study id, in the tables' order, and a line for each file that is none: nothing is read of it.

        Raises:
            InputError: the folder cannot be read.
        """
        records, wrong = [], []
        try:
            paths = sorted(self._files())
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}; make it readable") from error
        for path in tqdm(paths, "records", unit="study", disable=None if len(paths) > _MANY else True):
            try:
                records.append(_read(path))
            except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
                wrong.append(f"{path}: is no record of a study ({' '.join(str(error).split())})")
        records.sort(key=lambda record: record.number)  # stable: where two have one number, by name
        return {record.study_id: record for record in records}, wrong

    def write(self, study_id: str, text: bytes) -> None:
        """Puts a study's record in place, in one step. Raises InputError where it cannot; an older one stays then."""
        write_atomically(self.path_of(study_id), text)

    def forget(self, study_id: str) -> None:
        """Removes a study's record, if there is one. Raises InputError where it cannot."""
        remove(self.path_of(study_id))

    def clear(self) -> None:
        """Removes all records. Raises InputError where one cannot be removed."""
        for path in list(self._files()):
            remove(path)

    def path_of(self, study_id: str) -> Path:
        """Where a study's record stands."""
        return self.path / f"{file_stem(study_id)}{_SUFFIX}"

    def _files(self) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX) and not entry.name.startswith("."):
                    yield Path(entry.path)


def _read(path: Path) -> StudyRecord:
    record = parse(path.read_bytes())
    if path.name != f"{file_stem(record.study_id)}{_SUFFIX}":
        raise ValueError("its name is not that of its study")
    return record
