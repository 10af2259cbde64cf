"""Which studies a folder, glob, CSV or file stands for, and what their files are called."""

import glob
import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.folders import walk_visible
from sliceweave.pipelines.study_csv import read_study_csv

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
READABLE = ", ".join(IMAGE_SUFFIXES)
CONVERSION_ADVICE = "convert it first: sliceweave prepare TASK SOURCE DEST"
_MASK_ENDINGS = ("_mask", "_label", "_seg")
_FOREIGN_SUFFIXES = {".dcm": "DICOM", ".ima": "DICOM", ".png": "PNG", ".jpg": "JPG", ".jpeg": "JPG"}
_UNSAFE = re.compile(
    r'[\x00-\x1f\x7f-\x9f\ud800-\udfff\\/:*?"<>|%]'
    r"|^\.|[. ]\Z"
    r"|^(?=(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|\Z))[a-z]",  # devices on Windows, whatever the suffix
    re.IGNORECASE,
)
_LONGEST_STEM_BYTES = 180
_DIGEST_DIGITS = 20


@dataclass(frozen=True)
class Study:
    """One image to measure, and the reference mask where there is one."""

    study_id: str
    image: Path
    label: Path | None = None


def find_studies(source: str | Path) -> list[Study]:
    """The studies of a folder, a glob, a CSV (`study_id,image[,label]`) or one file.

    Sorted by path; a CSV keeps its order. A folder that holds `images` and `labels` gives its images, each with the
    label of the same name. An image that a CSV names and that is missing stays in the list: reading it will fail,
    which costs one study and not the run.

    Raises:
        InputError: nothing to read, a broken CSV, or two studies with one id.
    """
    text = os.path.expanduser(source)
    if os.path.isdir(text):
        studies = _studies_among(
            (Path(folder, name) for folder, names in walk_visible(text, _beside_images) for name in names), text
        )
    elif os.path.isfile(text):
        studies = _from_file(Path(text))
    elif glob.has_magic(text):
        studies = _studies_among(expand_glob(text), text)
    else:
        raise InputError(f"'{text}' does not exist; expected a folder, a glob, a CSV or an image ({READABLE})")
    return _with_unique_ids(studies)


def image_suffix(path: Path) -> str:
    """The suffix, in lower case, of a file that can be read as a study; empty for any other file."""
    return next((suffix for suffix in IMAGE_SUFFIXES if path.name.lower().endswith(suffix)), "")


def id_of(image: Path) -> str:
    """The study id a file name gives: the name less its image suffix, in text that UTF-8 can hold."""
    return printable(image.name[: len(image.name) - len(image_suffix(image))])


def file_stem(study_id: str) -> str:
    """A file name for a study id: safe on every file system, and never the same for two ids.

    Only what a file system refuses is percent-encoded, so most ids stay as they are; a very long one ends in a hash.
    """
    stem = _UNSAFE.sub(lambda found: _percent_encoded(found[0]), study_id) or "%"
    if len(stem.encode()) <= _LONGEST_STEM_BYTES:
        return stem
    digest = hashlib.sha256(study_id.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_DIGITS]
    start = stem.encode()[: _LONGEST_STEM_BYTES - _DIGEST_DIGITS].decode(errors="ignore")
    return f"{start}%~{digest}"  # no percent-encoded character begins with %~


def _percent_encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _beside_images(folders: Collection[str]) -> Collection[str]:
    return ("report_files", "labels", "pictures") if "images" in folders else ("report_files",)


def expand_glob(pattern: str) -> list[Path]:
    """The files that match; unlike in the glob module, `**` goes through each folder only once, so link loops end."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return [Path(path) for path in glob.glob(pattern) if not os.path.isdir(path)]
    at = parts.index("**")
    roots = glob.glob(os.path.join(*parts[:at])) if at else ["."]
    tail = os.path.join(*(parts[at + 1 :] or ["*"]))
    folders = {folder for root in roots for folder, _ in walk_visible(root, _beside_images)}
    return [path for folder in folders for path in expand_glob(os.path.join(glob.escape(folder), tail))]


def _studies_among(paths: Iterable[Path], source: str) -> list[Study]:
    visible = sorted({path for path in paths if not path.name.startswith(".")})
    images = [path for path in visible if image_suffix(path)]
    masks = {path for path in images if id_of(path).lower().endswith(_MASK_ENDINGS)}
    foreign = _foreign_text(path for path in visible if not image_suffix(path))
    if len(images) == len(masks):
        raise InputError(_nothing_found(source, foreign, len(masks)))
    if masks:
        log.info("skipped %d files whose names end in %s", len(masks), ", ".join(_MASK_ENDINGS))
    if foreign:
        log.warning("not read: %s; %s", foreign, CONVERSION_ADVICE)
    return [Study(id_of(path), path, _label_beside(path)) for path in images if path not in masks]


def _label_beside(image: Path) -> Path | None:
    """labels/<name> for images/<name>, where it exists."""
    for folder in image.parents:
        label = folder.parent / "labels" / image.relative_to(folder)
        if folder.name == "images" and label.is_file():
            return label
    return None


def _foreign_text(paths: Iterable[Path]) -> str:
    """What is found in formats to convert, as `28 DICOM files, 2 PNG files`."""
    counts = Counter(filter(None, map(_foreign_kind, paths)))
    return ", ".join(f"{count} {kind} file{'s' if count > 1 else ''}" for kind, count in sorted(counts.items()))


def _foreign_kind(path: Path) -> str:
    if _is_report_picture(path):
        return ""
    suffix = path.suffix.lower()
    if suffix in _FOREIGN_SUFFIXES:
        return _FOREIGN_SUFFIXES[suffix]
    has_no_suffix = not suffix or suffix[1:].isdigit()  # a name made of an UID ends in digits
    return "DICOM" if path.name.upper() == "DICOMDIR" or (has_no_suffix and _starts_as_dicom(path)) else ""


def _is_report_picture(path: Path) -> bool:
    """Whether a PNG lies beside the mask that our report writes with it."""
    return path.suffix == ".png" and os.path.isfile(path.with_name(f"{path.stem}_mask.nii.gz"))


def _starts_as_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _nothing_found(source: str, foreign: str, mask_count: int) -> str:
    if foreign:
        return f"'{source}' holds no study that can be read, but {foreign}; {CONVERSION_ADVICE}"
    if mask_count:
        endings = ", ".join(_MASK_ENDINGS)
        return f"'{source}' holds no study, only {mask_count} files whose names end in {endings}; rename the images"
    if glob.has_magic(source) and not os.path.isdir(source):
        return f"'{source}' matches no image; expected {READABLE} (FOLDER/**/* looks into subfolders)"
    return f"'{source}' holds no study; expected images in it or its subfolders ({READABLE})"


def _from_file(path: Path) -> list[Study]:
    if path.suffix.lower() == ".csv":
        return [Study(row.study_id, row.image, row.label) for row in read_study_csv(path)]
    if image_suffix(path):
        return [Study(id_of(path), path, _label_beside(path))]
    advice = CONVERSION_ADVICE if _foreign_kind(path) else "give such a file, a folder or a CSV"
    raise InputError(f"'{path}' is not an image that can be read; expected {READABLE}; {advice}")


def _with_unique_ids(studies: list[Study]) -> list[Study]:
    """The studies, one file reached twice (through a link) kept once.

    Raises:
        InputError: two files with one id.
    """
    first: dict[str, Study] = {}
    for study in studies:
        other = first.setdefault(study.study_id, study)
        if os.path.realpath(other.image) != os.path.realpath(study.image):
            raise InputError(
                f"two studies are called '{study.study_id}': '{other.image}' and '{study.image}'; "
                "rename one, or name them in a CSV (study_id,image)"
            )
    return list(first.values())
