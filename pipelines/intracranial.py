"""Where the inside of the skull lies in patient space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry
from sliceweave.transforms.skull import PIXEL_MM, bone_and_air_hu, enclosed, intensity_range_hu

_LOWEST_HU = -1024.0
_SLICE_MM = 3.0


@dataclass(frozen=True, eq=False)
class IntracranialSpace:
    """Points (N, 3) in RAS mm, 2 mm apart inside the skull, and the slice each lies in; none where there is no head."""

    points_ras_mm: NDArray[np.float64]
    slice_numbers: NDArray[np.int64]


def real_values_hu(voxels_hu: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """(N,) values of every few-th voxel, some 2 mm apart, without padding (-1024 HU and all below)."""
    steps = np.maximum(1, np.round(PIXEL_MM / geometry.spacing_mm)).astype(int)
    sample = voxels_hu[:: steps[0], :: steps[1], :: steps[2]]
    return sample[sample > _LOWEST_HU]


def intracranial_space(voxels_hu: NDArray[np.float32], geometry: Geometry) -> IntracranialSpace:
    """The intracranial space of a scan (I, J, K), tilted, uneven, of one slice or windowed.

    It needs no true HU: in a windowed scan the uppermost values are bone. Small gaps in the skull are bridged.
    """
    thresholds_hu = bone_and_air_hu(*intensity_range_hu(real_values_hu(voxels_hu, geometry)))
    axis = _axial_axis(geometry)
    step = max(1, round(_SLICE_MM / geometry.spacing_mm[axis]))
    # Transposed, because planes of a volume in NIfTI's (Fortran) order are then contiguous.
    planes = np.moveaxis(voxels_hu, axis, 2).T[::step]
    inside = enclosed(planes, np.delete(geometry.spacing_mm, axis)[::-1], thresholds_hu)
    found = np.argwhere(inside)
    factors = np.array(planes.shape[1:]) / inside.shape[1:]
    rows_columns = (found[:, 1:] + 0.5) * factors - 0.5
    indices = np.insert(rows_columns[:, ::-1], axis, found[:, 0] * step, axis=1)
    return IntracranialSpace(geometry.to_ras_mm(indices), found[:, 0] * step)


def _axial_axis(geometry: Geometry) -> int:
    """The array axis that runs nearest to feet-head."""
    steps = geometry.affine_ras[:3, :3]
    return int(np.argmax(np.abs(steps[2]) / np.linalg.norm(steps, axis=0)))
