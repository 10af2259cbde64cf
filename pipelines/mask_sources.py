"""Which masks a folder, glob, CSV or file stands for, and which image belongs to each."""

import glob
import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.csv_rows import read_csv_rows
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.file_names import IMAGE_ENDING, LABEL_ENDING
from sliceweave.pipelines.folders import walk_visible
from sliceweave.pipelines.studies import READABLE, expand_glob, find_studies, id_of, image_suffix
from sliceweave.pipelines.study_csv import strip_guard

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskStudy:
    """One mask to measure, and its image where that is known."""

    study_id: str
    mask: Path
    image: Path | None = None


def find_masks(source: str | Path) -> list[MaskStudy]:
    """The masks of a folder, a glob, a CSV (`study_id,mask[,image]`, or `study_id,image,label`) or one file.

    Sorted by path; a CSV keeps its order. A study's id is the file's name without suffix and without an ending such as
    `_mask` or `-label`; where both `x` and `x_mask` lie in one folder, `x` is taken for the image. Of a folder that
    holds `images` and `labels` the labels count.

    Raises:
        InputError: nothing to read, a broken CSV, or two masks of one id.
    """
    text = os.path.expanduser(source)
    if os.path.isdir(text):
        paths = [Path(folder, name) for folder, names in walk_visible(text, _beside_labels) for name in names]
        masks = _masks_among(paths, text)
    elif os.path.isfile(text):
        masks = _from_csv(Path(text)) if text.lower().endswith(".csv") else _masks_among([Path(text)], text)
    elif glob.has_magic(text):
        masks = _masks_among(expand_glob(text), text)
    else:
        raise InputError(f"'{text}' does not exist; expected masks: a folder, a glob, a CSV or a file ({READABLE})")
    return _with_unique_ids(masks)


def mask_id(path: Path) -> str:
    """The study id that a mask's file name gives; the whole name where nothing is left without its ending."""
    return LABEL_ENDING.sub("", id_of(path)) or id_of(path)


def with_images(masks: Sequence[MaskStudy], source: str | Path) -> list[MaskStudy]:
    """The masks with the images of a folder, glob, CSV or file: those of their id, or of it and an ending like `_ct`.

    An image that a CSV of masks names stays. Raises InputError as `find_studies` does.
    """
    images: dict[str, Path] = {}
    for study in find_studies(source):
        images[study.study_id] = study.image
        images.setdefault(IMAGE_ENDING.sub("", study.study_id), study.image)
    return [mask if mask.image else replace(mask, image=_image_of(mask, images)) for mask in masks]


def _image_of(mask: MaskStudy, images: Mapping[str, Path]) -> Path | None:
    own_name = id_of(mask.mask)
    return images.get(mask.study_id) or images.get(own_name)


def _beside_labels(folders: Collection[str]) -> Collection[str]:
    return ("images", "pictures") if "labels" in folders else ()


def _masks_among(paths: Iterable[Path], source: str) -> list[MaskStudy]:
    found = [path for path in sorted(set(paths)) if image_suffix(path) and not path.name.startswith(".")]
    if not found:
        raise InputError(f"'{source}' holds no mask; expected {READABLE} in it or its subfolders")
    named = {(path.parent, mask_id(path)) for path in found if mask_id(path) != id_of(path)}
    masks = [path for path in found if mask_id(path) != id_of(path) or (path.parent, id_of(path)) not in named]
    if len(masks) < len(found):
        logger.info("left out %d images that lie beside their masks", len(found) - len(masks))
    return [MaskStudy(mask_id(path), path) for path in masks]


def _from_csv(path: Path) -> list[MaskStudy]:
    rows = read_csv_rows(path, ("study_id",), ("mask", "image"))
    if not rows:
        raise InputError(f"'{path}' has no rows; expected one line per study below the header study_id,mask[,image]")
    if not {"mask", "label"} & rows[0][1].keys():
        raise InputError(f"'{path}' has no column mask or label; expected study_id,mask[,image]")
    return [_csv_mask(row, path, number) for number, row in rows]


def _csv_mask(row: Mapping[str, str], path: Path, number: int) -> MaskStudy:
    study_id, image = (strip_guard(row.get(name, "")).strip() for name in ("study_id", "image"))
    mask = strip_guard(row.get("mask", "") or row.get("label", "")).strip()
    if not study_id or not mask:
        raise InputError(f"'{path}' line {number} has an empty study_id or mask; expected study_id,mask[,image]")
    folder = path.parent
    return MaskStudy(
        printable(study_id),
        folder / os.path.expanduser(mask),
        folder / os.path.expanduser(image) if image else None,
    )


def _with_unique_ids(masks: Sequence[MaskStudy]) -> list[MaskStudy]:
    first: dict[str, MaskStudy] = {}
    for mask in masks:
        other = first.setdefault(mask.study_id, mask)
        if os.path.realpath(other.mask) != os.path.realpath(mask.mask):
            raise InputError(
                f"two masks are of the study '{mask.study_id}': '{other.mask}' and '{mask.mask}'; "
                "rename one, or list them in a CSV (study_id,mask), each once"
            )
    return list(first.values())
