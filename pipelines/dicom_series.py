"""DICOM series below a folder as cases: one a folder, or the one that was chosen where a folder holds several."""

import importlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack, SourceFiles, broken
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.dicom_choice import ALL_SERIES, chosen, descriptions, listing
from sliceweave.pipelines.errors import InputError

if TYPE_CHECKING:  # pydicom is an extra
    from sliceweave.pipelines.dicom_headers import SliceHeader

log = logging.getLogger(__name__)

NEEDS_PYDICOM = 'DICOM files need pydicom: pip install "sliceweave[dicom]"'
_SUFFIXES = (".dcm", ".ima")
_DIRECTORY = "DICOMDIR"
_MAGIC_START, _MAGIC = 128, b"DICM"
_MANY = 200


@dataclass(frozen=True)
class _Study:
    """What becomes one case: slices, or the reason why they cannot be used; `place` tells patients without ID apart."""

    study_id: str
    place: str
    slices: "list[SliceHeader]"
    reason: str = ""


def find_dicom(files: SourceFiles, options: PrepareOptions) -> list[Case]:
    """A case for every folder that holds DICOM images, known by their content; only headers are read.

    The id is the folder's path below the root. Of several series
    in a folder `options.series` chooses one, or `all` makes each a case `<id>_s<number>`; a folder's only series is
    always taken. Studies that share a PatientID, or without one a StudyInstanceUID, are one patient's, as are the
    series of a folder; the ID itself is nowhere in the cases.
    """
    return _cases(_found(files, options))


def cases_of_folders(folders: Sequence[tuple[str, Path]], options: PrepareOptions) -> list[Case]:
    """A case for each id and folder that a user names; whose patient is whose is asked of all of them together.

    A folder that does not hold one series, or has none that `options.series` chooses, is a case that fails.
    """
    return _cases([_only_study(study_id, folder, options) for study_id, folder in folders])


def _only_study(study_id: str, folder: Path, options: PrepareOptions) -> _Study:
    found = _found(SourceFiles(folder), options)
    if len(found) == 1:
        return replace(found[0], study_id=study_id)
    reason = f"expected one DICOM series in the folder {folder.name}, got {len(found)}; name the folder of one"
    return _Study(study_id, str(folder), [], reason)


def _found(files: SourceFiles, options: PrepareOptions) -> list[_Study]:
    """What becomes cases; the files are claimed."""
    paths = [path for path in files if is_dicom(path)]
    files.take(paths)
    if not paths:
        return []
    try:
        importlib.import_module("pydicom")
    except ImportError:
        return [_Study(_root_name(files), str(files.root), [], NEEDS_PYDICOM)]
    return [part for study in _studies(paths, files) for part in _parts(study, options.series)]


def folders_by_id(files: SourceFiles) -> dict[str, list[Path]]:
    """The files of the folders of each id, to which `find_dicom` adds what tells their series apart; none is opened."""
    folders: dict[str, list[Path]] = {}
    for path in files:
        folders.setdefault(_folder_id(path.parent, files), []).append(path)
    return folders


def slices_of(study_id: str, paths: Iterable[Path], files: SourceFiles, choice: str) -> "list[SliceHeader]":
    """The slices of the study of that id among the files of the folders that may hold it.

    Raises:
        InputError: they are not there or cannot be used.
    """
    studies = _studies([path for path in paths if is_dicom(path)], files)
    parts = [part for study in studies for part in _parts(study, choice)]
    found = [part for part, unique in zip(parts, _unique(parts), strict=True) if unique == study_id]
    if not found:
        raise InputError(f"{study_id}: expected its DICOM series, got none")
    if found[0].reason:
        raise InputError(f"{study_id}: {found[0].reason}")
    return found[0].slices


def is_dicom(path: Path) -> bool:
    """By its name or its beginning; a file that cannot be opened by its name alone."""
    try:
        with path.open("rb") as file:
            is_named_so = path.suffix.lower() in _SUFFIXES or path.name.upper() == _DIRECTORY
            return is_named_so or file.read(_MAGIC_START + len(_MAGIC))[_MAGIC_START:] == _MAGIC
    except OSError:
        return path.suffix.lower() in _SUFFIXES


def _studies(paths: list[Path], files: SourceFiles) -> list[_Study]:
    """One for each folder."""
    slices: dict[Path, list[SliceHeader]] = defaultdict(list)
    failures: dict[Path, list[str]] = defaultdict(list)
    for path, header in _headers(paths):
        if isinstance(header, InputError):
            failures[path.parent].append(str(header))
        else:
            slices[path.parent].append(header)
    return [
        _Study(_folder_id(folder, files), str(folder), slices[folder], _first_of(failures[folder]))
        for folder in sorted({*slices, *failures})
    ]


def _headers(paths: list[Path]) -> "Iterable[tuple[Path, SliceHeader | InputError]]":
    """The headers of images, or why they cannot be read; what is no image is counted in the log."""
    from sliceweave.pipelines.dicom_headers import read_header  # needs the extra

    skipped = 0
    for path in tqdm(paths, "DICOM headers", unit="file", disable=None if len(paths) > _MANY else True):
        try:
            header = read_header(path) if path.name.upper() != _DIRECTORY else None
        except InputError as error:
            yield path, error
            continue
        skipped += header is None
        if header:
            yield path, header
    if skipped:
        log.info("skipped %d DICOM objects that are no images (reports, plans, directories)", skipped)


def _first_of(failures: list[str]) -> str:
    more = f" (and {len(failures) - 1} more files that cannot be read)" if len(failures) > 1 else ""
    return failures[0] + more if failures else ""


def _folder_id(folder: Path, files: SourceFiles) -> str:
    return printable("_".join(folder.relative_to(files.root).parts)) or _root_name(files)


def _root_name(files: SourceFiles) -> str:
    return printable(files.root.resolve().name) or "dicom"


def _parts(study: _Study, choice: str) -> list[_Study]:
    """The study itself, with the slices of one series; each series where all are wanted."""
    by_series: dict[str, list[SliceHeader]] = defaultdict(list)
    for header in study.slices:
        by_series[header.series_uid].append(header)
    series = list(by_series.values())
    if study.reason or len(series) == 1:
        return [study]
    if choice.lower() == ALL_SERIES:
        return [_Study(f"{study.study_id}_s{_number(one)}", study.place, one) for one in series]
    wanted = chosen(series, choice)
    if len(wanted) == 1:
        return [_Study(study.study_id, study.place, wanted[0])]
    log.warning("%s holds several series: %s", study.study_id, descriptions(series))
    return [_Study(study.study_id, study.place, study.slices, listing(series, choice, len(wanted)))]


def _number(series: "list[SliceHeader]") -> str:
    number = series[0].series_number
    return "" if number is None else str(number)


def _cases(studies: list[_Study]) -> list[Case]:
    ids = _unique(studies)
    patients = _patients(studies, ids)
    if len(set(patients)) == 1 < len(patients):
        log.warning("all %d DICOM studies count as one patient's: one PatientID, examination or folder", len(patients))
    return [_case(*one) for one in zip(studies, ids, patients, strict=True)]


def _patients(studies: list[_Study], ids: list[str]) -> list[str]:
    """The id of the first study of the same patient, for each study.

    A PatientID tells patients apart; without one, the examination does, and else the folder.
    """
    names: dict[tuple[str, str], str] = {}
    found: dict[int, str] = {}
    for at in sorted(range(len(studies)), key=lambda at: not _first(studies[at], "patient_id")):
        study = studies[at]
        own = ("patient_id", _first(study, "patient_id"))
        shared = [("study_uid", _first(study, "study_uid") or study.place), ("folder", study.place)]
        keys = [own] if own[1] else shared
        found[at] = next((names[key] for key in keys if key in names), ids[at])
        for key in (*keys, *shared):
            names.setdefault(key, found[at])
    return [found[at] for at in range(len(studies))]


def _first(study: _Study, kind: str) -> str:
    return next((value for header in study.slices if (value := getattr(header, kind))), "")


def _unique(studies: list[_Study]) -> list[str]:
    """The id of each, with a number behind it where one before has it."""
    taken: dict[str, None] = {}
    for study in studies:
        unique, count = study.study_id, 1
        while unique in taken:
            count += 1
            unique = f"{study.study_id}_{count}"
        taken[unique] = None
    return [*taken]


def _case(study: _Study, study_id: str, patient: str) -> Case:
    if study.reason:
        return broken(study_id, study.reason, patient)
    return Case(study_id, partial(_open, study.slices), patient=patient)


def _open(slices: "list[SliceHeader]") -> SliceStack:
    from sliceweave.pipelines.dicom_stack import open_series  # needs the extra

    return open_series(slices)
