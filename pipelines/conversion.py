"""One case of a data set turned into a study of the plain layout, and its row in `dataset.csv`."""

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.atomic import atomic_file, remove
from sliceweave.pipelines.bundles import modality_of
from sliceweave.pipelines.cases import UNKNOWN_PIXEL_SIZE, Case, PrepareOptions, SliceStack
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.file_stamps import FileStamp
from sliceweave.pipelines.geometry import Geometry, same_grid
from sliceweave.pipelines.grid_match import check_same_grid
from sliceweave.pipelines.patients import is_labelled
from sliceweave.pipelines.prepare_tasks import PrepareTask
from sliceweave.pipelines.reading import sidecar_path, write_sidecar
from sliceweave.pipelines.rows import Row, spacing_text
from sliceweave.pipelines.stack_files import Coding, write_image, write_label
from sliceweave.pipelines.studies import file_stem
from sliceweave.pipelines.volume_stacks import open_volume

_FACTS = ("study_id", "patient", "split", "status", "reason", "columns", "rows", "slices", "spacing_mm", "orientation")
_DIGEST_DIGITS = 16


@dataclass(frozen=True)
class Converter:
    """Turns cases of one task into studies below a folder; without a folder it only reads them through."""

    task: PrepareTask
    options: PrepareOptions
    folder: Path | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a row, in order."""
        amount = "ml" if self.task.kind.has_volume else "max_area_mm2"
        per_label = (f"{name}_{what}" for name in self.task.labels.values() for what in ("slices", amount))
        return (*_FACTS, "labelled", *per_label, "flags", "notes")

    def convert(self, case: Case) -> Row:
        """Writes image and label together: both take their places at the end, or neither does.

        Raises:
            InputError: the case cannot be used; what was there before is as it was.
        """
        image = case.image()
        label = case.label() if case.label else None
        if label:
            check_same_grid(image.geometry, label.geometry, "image", "label")
        with ExitStack() as files:
            image_file, label_file = (self._file(files, case, folder) for folder in ("images", "labels"))
            counts = write_label(label, self._coding(case), label_file) if label else None
            write_image(image, image_file)
            if self.folder:
                self._write_sidecars(case, image.geometry, labelled=label is not None)
        if self.folder and not label:
            remove(self._path("labels", case))
        return self._facts(image) | self._odd(image, label) | self._amounts(counts, image)

    def is_current(self, case: Case, row: Row, source: str = "") -> bool:
        """Whether a study has a label, or none, and lies where it did when an earlier run wrote the row and the files.

        One that can no longer be read is current: what was made of it is kept. What was made and is damaged is not.

        Args:
            source: what `source_digest` gave at that time; empty where nobody asked it.
        """
        if (case.label is not None) != is_labelled(row):
            return False
        try:
            here = case.image().geometry
        except InputError:
            return True
        if source and source != source_digest(case):
            return False
        try:
            there = open_volume(self._path("images", case)).geometry
        except InputError:
            return False
        return same_grid(here, there) and np.allclose(_origins_ras_mm(here), _origins_ras_mm(there), rtol=0, atol=1e-3)

    def _file(self, files: ExitStack, case: Case, folder: str) -> BinaryIO | None:
        if self.folder is None or (folder == "labels" and case.label is None):
            return None
        return files.enter_context(atomic_file(self._path(folder, case)))

    def _path(self, folder: str, case: Case, suffix: str = ".nii.gz") -> Path:
        return Path(str(self.folder), folder, file_stem(case.study_id) + suffix)

    def _write_sidecars(self, case: Case, geometry: Geometry, labelled: bool) -> None:
        write_sidecar(self._path("images", case), geometry)
        if labelled:
            write_sidecar(self._path("labels", case), geometry)
        else:
            remove(sidecar_path(self._path("labels", case)))

    def _coding(self, case: Case) -> Coding:
        values = self.options.recode or case.coding or {value: value for value in self.task.labels}
        return Coding(values, tuple(self.task.labels), self.options.others)

    def _facts(self, image: SliceStack) -> Row:
        geometry = image.geometry
        columns, rows, slices = geometry.shape
        return {
            "columns": columns,
            "rows": rows,
            "slices": slices,
            "spacing_mm": spacing_text(geometry),
            "orientation": "".join(nib.aff2axcodes(geometry.affine_ras)),
        }

    def _odd(self, image: SliceStack, label: SliceStack | None) -> Row:
        expected = modality_of(self.task.name)
        flags = (*image.flags, *(label.flags if label else ()), *image.geometry.flags)
        notes = (*image.warnings, *(label.warnings if label else ()))
        if image.modality not in ("", expected):
            flags = ("other_modality", *flags)
            notes = (f"expected {expected}, got the modality {image.modality}; take another series", *notes)
        return {
            "labelled": label is not None,
            "flags": ";".join(dict.fromkeys(flags)),
            "notes": "; ".join(notes),
        }

    def _amounts(self, counts: NDArray[np.intp] | None, image: SliceStack) -> Row:
        """Slices and volume, or largest area, of each label: empty without a label, and a size without a pixel size."""
        row: Row = dict.fromkeys(self.columns[len(_FACTS) + 1 : -2])
        for name, pixels in zip(self.task.labels.values(), () if counts is None else counts, strict=counts is not None):
            row[f"{name}_slices"] = int(np.count_nonzero(pixels))
            areas_mm2 = pixels * image.geometry.pixel_area_mm2
            if self.task.kind.has_volume:
                row[f"{name}_ml"] = float(areas_mm2 @ image.geometry.slice_thicknesses_mm) / 1000
            elif UNKNOWN_PIXEL_SIZE not in image.flags:
                row[f"{name}_max_area_mm2"] = float(areas_mm2.max())
        return row


def source_digest(case: Case) -> str:
    """Digits that differ where the case is read from other files, or from files changed since; empty if it names none.

    They tell nothing of the files' names.
    """
    stamps = [(str(path.resolve()), FileStamp.of(path)) for path in case.files]
    written = [(path, stamp.size_bytes, stamp.modified_ns) if stamp else path for path, stamp in stamps]
    text = repr(written).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()[:_DIGEST_DIGITS] if written else ""


def _origins_ras_mm(geometry: Geometry) -> NDArray[np.float64]:
    """(K, 3) first voxel of each slice."""
    first = np.column_stack([np.zeros((geometry.shape[2], 2)), np.arange(geometry.shape[2])])
    return geometry.to_ras_mm(first)
