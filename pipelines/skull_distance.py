"""How far a lesion lies from the skull, in patient space: right under tilt, obliquity and uneven slices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.spatial import KDTree

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.intracranial import axial_axis, intracranial_space, thresholds_hu

_SMALLEST_ISLAND_MM2 = 200.0  # calcified pineal glands, plexuses and plaques of the falx are smaller
_MOST_WITHIN = 0.5


def skull_distance_mm(mask: NDArray[Any], voxels_hu: NDArray[np.float32], geometry: Geometry) -> float | None:
    """Least distance from the surface of a mask (I, J, K) to the inner table of the skull in its head CT.

    Seen from inside the head, the nearest surface of the skull is the inner table. Islands of bone under 2 cm² in an
    axial slice are taken for calcifications, and dense islands that lie in the mask for blood. Surfaces run halfway
    between the centres of neighbouring voxels, so the distance is known to about half a voxel step on either side; a
    mask that reaches into bone has 0. It needs no true HU (see `intracranial_space`). None for an empty mask, and where
    the image shows no head.
    """
    lesion = np.asarray(mask) != 0
    if not lesion.any() or not len(intracranial_space(voxels_hu, geometry).points_ras_mm):
        return None
    skull = _skull(voxels_hu > thresholds_hu(voxels_hu, geometry)[0], lesion, geometry)
    if not skull.any():
        return None
    if (skull & lesion).any():
        return 0.0
    lesion_mm, skull_mm = (_surface_points_mm(region, geometry) for region in (lesion, skull))
    return float(KDTree(skull_mm).query(lesion_mm)[0].min())


def _skull(bone: NDArray[np.bool_], lesion: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.bool_]:
    """The bone without small islands, slice by slice, and without those that are lesion."""
    axis = axial_axis(geometry)
    in_slice = np.ones((3, 3, 3), bool)
    in_slice[tuple(slice(0, 3, 2) if other == axis else slice(None) for other in range(3))] = False
    islands, count = label(bone, in_slice)
    voxels = np.bincount(islands.ravel(), minlength=count + 1)
    within = np.bincount(islands[lesion], minlength=count + 1)
    pixel_mm2 = geometry.voxel_ml * 1000 / geometry.spacing_mm[axis]
    is_skull = (voxels * pixel_mm2 >= _SMALLEST_ISLAND_MM2) & (within < _MOST_WITHIN * voxels)
    is_skull[0] = False
    return np.asarray(is_skull[islands])


def _surface_points_mm(region: NDArray[np.bool_], geometry: Geometry) -> NDArray[np.float64]:
    """(N, 3) places halfway between each voxel inside and its face neighbours outside."""
    points = []
    for axis, half in enumerate(np.eye(3) / 2):
        changes = np.diff(region.view(np.int8), axis=axis) != 0
        points.append(np.argwhere(changes) + half)
    return geometry.to_ras_mm(np.concatenate(points))
