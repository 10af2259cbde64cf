"""Label maps: masks of one structure or of many, by whoever drew them, on their grid."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry, same_grid
from sliceweave.pipelines.itk_files import read_itk_as_stored
from sliceweave.pipelines.nifti_files import NiftiFile
from sliceweave.pipelines.nifti_headers import scanner_header
from sliceweave.pipelines.reading import find_sidecar, naming
from sliceweave.pipelines.studies import READABLE, image_suffix

MOST_LABELS = 1000
WHITE = 255
_LARGEST_VALUE = 65535
_POSITION_TOLERANCE_MM = 0.01

Labels = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Labels (I, J, K), 0 the background, in one or two bytes each; their grid, and the grid's NIfTI header."""

    labels: Labels
    geometry: Geometry
    header: nib.Nifti1Header

    @cached_property
    def values(self) -> list[int]:
        """The labels that occur, rising; none for an empty mask."""
        # transposed, since files give the first axis fastest
        return [value for value, box in enumerate(find_objects(self.labels.T), 1) if box]

    @property
    def is_white(self) -> bool:
        """Whether 255 is all that is marked, as in a picture: it stands for whatever one structure there is."""
        return self.values == [WHITE]

    def seen_along(self, ras_axis: int) -> "LabelMap":
        """The same with the array axis nearest to a patient axis (0 R, 1 A, 2 S) last."""
        axes = self.geometry.axes_ending_in(ras_axis)
        return replace(self, labels=self.labels.transpose(axes), geometry=self.geometry.permuted(axes))

    def on(self, geometry: Geometry) -> "LabelMap":
        """The same with the slice positions of its image, unless it has its own.

        Raises:
            InputError: they are not on one grid, or their slice positions differ.
        """
        if not same_grid(self.geometry, geometry):
            raise InputError("expected mask and image on one grid, got two; resample the mask onto its image")
        own, image = self.geometry.slice_origins_ras_mm, geometry.slice_origins_ras_mm
        if own is None:
            return replace(self, geometry=geometry)
        if image is not None and not np.allclose(own, image, rtol=0, atol=_POSITION_TOLERANCE_MM):
            raise InputError("the .geometry.json of mask and image differ; remove the wrong one")
        return self


def read_label_map(path: Path, study_id: str = "") -> LabelMap:
    """The label map of a NIfTI, NRRD or MetaImage file.

    Slice positions come from `<file stem>.geometry.json` or `<study_id>.geometry.json` beside it, or, for a file in a
    folder `labels`, in the folder `images` beside that.

    Raises:
        InputError: the file is missing, damaged, no volume in mm, or no label map; says which file and why.
    """
    with naming(path):
        suffix = image_suffix(path)
        if not suffix or not path.is_file():
            raise InputError(f"expected a mask ({READABLE}), got no such file; check the path")
        open_file = _read_nifti if suffix.startswith(".nii") else _read_itk
        labels, affine_ras, header = open_file(path)
        geometry = Geometry.with_sidecar(affine_ras, header.get_data_shape(), find_map_sidecar(path, study_id))
        label_map = LabelMap(labels, geometry, header)
        if len(label_map.values) > MOST_LABELS:
            raise InputError(f"expected labels, got {len(label_map.values)} different values; is it an image?")
        return label_map


_Grid = tuple[Labels, NDArray[np.float64], nib.Nifti1Header]


def _read_nifti(path: Path) -> _Grid:
    nifti = NiftiFile.open(path)
    blocks = [_as_labels(block) for block in nifti.blocks()]
    labels = np.empty(nifti.shape, np.result_type(*blocks), order="F")
    first = 0
    for block in blocks:
        labels[..., first : first + block.shape[2]] = block
        first += block.shape[2]
    return labels, nifti.affine_ras, nifti.grid_header


def _read_itk(path: Path) -> _Grid:
    voxels, affine_ras = read_itk_as_stored(path)
    return _as_labels(voxels), affine_ras, scanner_header(affine_ras, voxels.shape)


def _as_labels(voxels: NDArray[Any]) -> Labels:
    """The voxels in the smallest unsigned type. Raises InputError where they are no labels."""
    lowest, highest = voxels.min(), voxels.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise InputError("expected labels, got NaN or infinite values; export the mask again")
    if lowest < 0 or highest > _LARGEST_VALUE:
        raise InputError(f"expected labels from 0 to {_LARGEST_VALUE}, got {lowest:g} to {highest:g}; is it an image?")
    labels: Labels = voxels.astype(np.uint8 if highest < 256 else np.uint16, copy=False)
    if voxels.dtype.kind == "f" and not np.array_equal(labels, voxels):
        raise InputError("expected whole numbers, got fractions: an image or probabilities; threshold them first")
    return labels


def find_map_sidecar(path: Path, study_id: str) -> Path | None:
    """The file of slice positions that `read_label_map` takes, where there is one."""
    image = path.parent.parent / "images" / path.name
    beside_image = find_sidecar(image, study_id) if path.parent.name == "labels" else None
    return find_sidecar(path, study_id) or beside_image
