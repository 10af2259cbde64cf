"""What a data set as distributed is found to hold: cases, and the volumes that can be read of them slice by slice."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import DTypeLike, NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.folders import walk_visible
from sliceweave.pipelines.geometry import Geometry

UNKNOWN_PIXEL_SIZE = "unknown_pixel_size"


@dataclass(frozen=True, eq=False)
class SliceStack:
    """A volume on its grid that is read in blocks of slices, as often as wanted, and never held whole.

    Attributes:
        geometry: its grid; slices are stacked along the third array axis.
        dtype: of every block; an integer or floating type that NIfTI has.
        blocks: gives the blocks (I, J, n) in the order of the slices; together they fill the grid.
        flags: names of what is odd about it, for a table.
        warnings: a line each of what the user should look at although the volume can be used.
        header: the NIfTI header of the grid where the source has one; its qform, sform and codes are kept.
        modality: DICOM's word for the images, such as CT; empty where the source does not say.
    """

    geometry: Geometry
    dtype: DTypeLike
    blocks: Callable[[], Iterator[NDArray[Any]]]
    flags: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    header: nib.Nifti1Header | None = None
    modality: str = ""


@dataclass(frozen=True, eq=False)
class Case:
    """One study of a data set: an image, and the label that belongs to it where there is one.

    Attributes:
        image, label: open the volume; they raise InputError where it cannot be used.
        coding: value in the task's labels by value in the file; None where the file holds the task's own values.
        patient: what may not stand on two sides of a split; the study itself if empty.
        split: training, validation or test where the data set itself says so.
        files: what image and label are read from, where a change of theirs is to be noticed; else nothing.
    """

    study_id: str
    image: Callable[[], SliceStack]
    label: Callable[[], SliceStack] | None = None
    coding: Mapping[int, int] | None = None
    patient: str = ""
    split: str = ""
    files: tuple[Path, ...] = ()


def broken(study_id: str, reason: str, patient: str = "") -> Case:
    """A case that is known not to be usable before anything is opened."""

    def fail() -> SliceStack:
        raise InputError(reason)

    return Case(study_id, fail, patient=patient)


@dataclass(frozen=True)
class PrepareOptions:
    """What a user may say about a data set.

    Attributes:
        pixel_mm, thickness_mm: size of a square pixel and distance of slices for pictures that come without.
        spacing_csv: the same by patient: `patient,pixel_size_mm,slice_thickness_mm`.
        window_hu: lowest and highest HU that 8-bit slices show.
        names: LabelMe labels that are the structure; all of them if empty, as long as there is one only.
        series: which DICOM series, where a folder holds several: its UID, its number, part of its description, or all.
        recode: value in the task's labels by value in the label files, in place of the data set's own coding.
        others: value for all that `recode` does not name; None makes them an error.
    """

    pixel_mm: float | None = None
    thickness_mm: float | None = None
    spacing_csv: Path | None = None
    window_hu: tuple[float, float] | None = None
    names: tuple[str, ...] = ()
    series: str = ""
    recode: Mapping[int, int] = field(default_factory=dict)
    others: int | None = None


class SourceFiles:
    """The files of a source that no format has claimed yet; hidden ones (`._` twins) never count.

    Args:
        source: a folder, looked through to the bottom, links followed; or one file.
        left_out: a folder within that is no part of it.
    """

    def __init__(self, source: Path, left_out: Path | None = None) -> None:
        self.root = source if source.is_dir() else source.parent
        found = [source] if source.is_file() else _visible_below(source, left_out)
        self._unclaimed = dict.fromkeys(sorted(found))

    def __iter__(self) -> Iterator[Path]:
        return iter(tuple(self._unclaimed))

    def named(self, pattern: str) -> list[tuple[Path, re.Match[str]]]:
        """Unclaimed files whose path below the root, with forward slashes, matches to its end, whatever the case."""
        compiled = re.compile(rf"(?:^|.*/){pattern}\Z", re.IGNORECASE)
        matches = ((path, compiled.match(path.relative_to(self.root).as_posix())) for path in self)
        return [(path, match) for path, match in matches if match]

    def take(self, paths: Iterable[Path]) -> None:
        """Claims files: no later format sees them."""
        for path in paths:
            self._unclaimed.pop(path, None)


def _visible_below(root: Path, left_out: Path | None) -> list[Path]:
    return [
        Path(folder, name)
        for folder, names in walk_visible(str(root))
        for name in names
        if not name.startswith(".") and not (left_out and Path(folder).is_relative_to(left_out))
    ]


def whole_block(voxels: NDArray[Any]) -> Callable[[], Iterator[NDArray[Any]]]:
    """The blocks of a volume that is in memory already: one."""
    return lambda: iter((np.atleast_3d(voxels),))
