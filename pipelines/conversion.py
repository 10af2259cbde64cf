"""One case of a data set turned into a study of the plain layout, and its row in `dataset.csv`."""

import json
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.atomic import remove, write_atomically
from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry, same_grid
from sliceweave.pipelines.prepare_tasks import PrepareTask
from sliceweave.pipelines.rows import Row, spacing_text
from sliceweave.pipelines.stack_files import Coding, write_image, write_label
from sliceweave.pipelines.studies import file_stem

UNKNOWN_PIXEL_SIZE = "unknown_pixel_size"
_FACTS = ("study_id", "patient", "split", "status", "reason", "columns", "rows", "slices", "spacing_mm", "orientation")


@dataclass(frozen=True)
class Converter:
    """Turns cases of one task into studies below a folder; without a folder it only reads them through."""

    task: PrepareTask
    options: PrepareOptions
    folder: Path | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a row, in order."""
        amount = "ml" if self.task.has_volume else "max_area_mm2"
        per_label = (f"{name}_{what}" for name in self.task.labels.values() for what in ("slices", amount))
        return (*_FACTS, "labelled", *per_label, "flags", "notes")

    def convert(self, case: Case) -> Row:
        """Writes image and label, each in one step, the image last, so that an image that is there is complete.

        Raises:
            InputError: the case cannot be used; nothing of it is left then that was not there before.
        """
        image = case.image()
        label = case.label() if case.label else None
        if label:
            _check_same_grid(image.geometry, label.geometry)
        counts = self._write(case, image, label)
        return self._facts(image, label) | self._amounts(counts, image)

    def _write(self, case: Case, image: SliceStack, label: SliceStack | None) -> NDArray[np.intp] | None:
        image_path, label_path = (self.path(folder, case.study_id) for folder in ("images", "labels"))
        for path in filter(None, (image_path, label_path)):
            _write_sidecar(image.geometry, path, wanted=path == image_path or label is not None)
        counts = write_label(label, self._coding(case), label_path) if label else None
        if label is None and label_path:
            remove(label_path)
        write_image(image, image_path)
        return counts

    def path(self, kind: str, study_id: str) -> Path | None:
        """Where the image or label of a study lies; None where nothing is written."""
        return self.folder / kind / f"{file_stem(study_id)}.nii.gz" if self.folder else None

    def _coding(self, case: Case) -> Coding:
        values = self.options.recode or case.coding or {value: value for value in self.task.labels}
        return Coding(values, tuple(self.task.labels), self.options.others)

    def _facts(self, image: SliceStack, label: SliceStack | None) -> Row:
        geometry = image.geometry
        flags = (*image.flags, *(label.flags if label else ()), *geometry.flags)
        columns, rows, slices = geometry.shape
        return {
            "columns": columns,
            "rows": rows,
            "slices": slices,
            "spacing_mm": spacing_text(geometry),
            "orientation": "".join(nib.aff2axcodes(geometry.affine_ras)),
            "labelled": label is not None,
            "flags": ";".join(dict.fromkeys(flags)),
            "notes": "; ".join((*image.warnings, *(label.warnings if label else ()))),
        }

    def _amounts(self, counts: NDArray[np.intp] | None, image: SliceStack) -> Row:
        """Slices and volume, or largest area, of each label: empty without a label, and a size without a pixel size."""
        row: Row = dict.fromkeys(self.columns[len(_FACTS) + 1 : -2])
        for name, pixels in zip(self.task.labels.values(), () if counts is None else counts, strict=counts is not None):
            row[f"{name}_slices"] = int(np.count_nonzero(pixels))
            areas_mm2 = pixels * image.geometry.pixel_area_mm2
            if self.task.has_volume:
                row[f"{name}_ml"] = float(areas_mm2 @ image.geometry.slice_thicknesses_mm) / 1000
            elif UNKNOWN_PIXEL_SIZE not in image.flags:
                row[f"{name}_max_area_mm2"] = float(areas_mm2.max())
        return row


def _check_same_grid(image: Geometry, label: Geometry) -> None:
    if same_grid(image, label):
        return
    if image.shape != label.shape:
        sizes = (" x ".join(map(str, geometry.shape)) for geometry in (image, label))
        raise InputError("expected a label of the image's {} voxels, got {}; is it another image's?".format(*sizes))
    corners = np.array(np.meshgrid(*((0, size - 1) for size in image.shape))).reshape(3, -1)
    apart_mm = np.abs((image.affine_ras - label.affine_ras)[:3] @ np.vstack([corners, np.ones(8)]))
    raise InputError(
        f"expected a label on the image's grid, got one whose voxels lie up to {apart_mm.max():.3g} mm elsewhere; "
        "resample the label onto the image, or repair its header"
    )


def _write_sidecar(geometry: Geometry, path: Path, wanted: bool) -> None:
    sidecar = path.with_name(path.name.removesuffix(".nii.gz") + ".geometry.json")
    if geometry.slice_origins_ras_mm is None or not wanted:
        remove(sidecar)
        return
    values = {name: getattr(geometry, name) for name in ("slice_origins_ras_mm", "slice_thickness_mm")}
    content = {name: value.tolist() for name, value in values.items() if value is not None}
    write_atomically(sidecar, json.dumps(content).encode())
