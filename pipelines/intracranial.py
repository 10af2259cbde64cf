"""The intracranial space of a scan, in the patient's millimetres."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry
from sliceweave.transforms.skull import axial_axis, inside_skull


@dataclass(frozen=True, eq=False)
class IntracranialSpace:
    """Points (N, 3) in RAS mm, 2 mm apart inside the skull, and the slice each lies in; none where there is no head."""

    points_ras_mm: NDArray[np.float64]
    slice_numbers: NDArray[np.int64]


def intracranial_space(voxels_hu: NDArray[np.float32], geometry: Geometry) -> IntracranialSpace:
    """The intracranial space of a scan (I, J, K), tilted, uneven, of one slice or windowed; it needs no true HU."""
    indices = inside_skull(voxels_hu, geometry.affine_ras)
    slice_numbers = indices[:, axial_axis(geometry.affine_ras)].astype(np.int64)
    return IntracranialSpace(geometry.to_ras_mm(indices), slice_numbers)
