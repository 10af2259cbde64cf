"""How far the surfaces of two masks lie apart, in patient space: right under tilt, obliquity and uneven slices."""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.surface_sweep import SPARSE, swept_distances_mm

_LARGEST_COSINE = 2e-7  # between axes at right angles, as float32 headers have them: 0.06 µm in 300 mm

Mask = NDArray[np.bool_]
PointsMm = NDArray[np.float64]


class SurfaceDistances(NamedTuple):
    """Distances in mm from the surface voxels of each of two masks to the nearest surface voxel of the other.

    `hd_mm` is their maximum (Hausdorff), `hd95_mm` the larger of the two directed 95th percentiles, `assd_mm` the mean
    of both directions' voxels together (average symmetric surface distance).
    """

    hd_mm: float
    hd95_mm: float
    assd_mm: float


def surface_distances(prediction: Mask, truth: Mask, geometry: Geometry, in_plane: bool = False) -> SurfaceDistances:
    """Distances between the surfaces of two masks (I, J, K) on one grid.

    A surface voxel belongs to the mask and has a face neighbour outside it, or lies at the end of the scan; along an
    axis on which the scan has one voxel only (a single slice) there are no neighbours, so that its masks have outlines
    too. Two empty masks are 0 mm apart. If exactly one is empty, all distances are the diagonal of the scan.

    Args:
        in_plane: every slice is an image of its own, as in a video, whose third axis is time. Surfaces are then the
            outlines in each frame, and distances are to the other outline of the same frame; where that frame has
            none, they are the frame's diagonal. The pixels of all frames count together, so `hd_mm` is the largest of
            the frames' Hausdorff distances.
    """
    farthest_mm = diagonal_mm(geometry, in_plane)
    found = prediction.any(), truth.any()
    if not all(found):
        distance_mm = farthest_mm if any(found) else 0.0
        return SurfaceDistances(distance_mm, distance_mm, distance_mm)
    box = joint_box(prediction, truth)
    axes = [axis for axis in range(2 if in_plane else 3) if geometry.shape[axis] > 1]
    surfaces = _surface(prediction[box], axes), _surface(truth[box], axes)
    if in_plane or _is_sparse(surfaces) or not _is_straight(geometry):
        points = [_points_mm(surface, box, geometry, in_plane) for surface in surfaces]
        directed = _nearest_mm(*points), _nearest_mm(*points[::-1])
    else:
        directed = swept_distances_mm(surfaces, geometry.spacing_mm.tolist())
    return _summed_up([np.minimum(distances_mm, farthest_mm) for distances_mm in directed])


def diagonal_mm(geometry: Geometry, in_plane: bool = False) -> float:
    """Longest diagonal of the scanned box, from outer corner to outer corner; or of one slice."""
    ends = [(-0.5, size - 0.5) for size in geometry.shape]
    corners = product(*ends[:2], (0.0,) if in_plane else ends[2])
    return float(pdist(geometry.to_ras_mm(list(corners))).max())


def joint_box(first: Mask, second: Mask) -> tuple[slice, slice, slice]:
    """The smallest box that holds both masks, which are not both empty."""
    slowest, *others = np.argsort(first.strides)[::-1].tolist()  # whole planes of memory are fast to join
    plane = np.expand_dims(first.any(axis=slowest) | second.any(axis=slowest), slowest)
    box = [slice(None)] * 3
    for axis, other in (others, others[::-1]):
        box[axis] = _extent(np.asarray(plane.any(axis=(slowest, other))))
    inside = first[tuple(box)].any(axis=tuple(others)) | second[tuple(box)].any(axis=tuple(others))
    box[slowest] = _extent(np.asarray(inside))
    i, j, k = box
    return i, j, k


def _extent(found: Mask) -> slice:
    places = np.flatnonzero(found)
    return slice(int(places[0]), int(places[-1]) + 1)


def _surface(mask: Mask, axes: Sequence[int]) -> Mask:
    """The voxels of a mask that have a neighbour outside it along one of the axes; what lies beyond is outside."""
    padded, inside = np.pad(mask, 1), mask.copy()
    for axis, start in product(axes, (0, 2)):
        window = [slice(1, -1)] * 3
        window[axis] = slice(start, start + mask.shape[axis])
        inside &= padded[tuple(window)]
    return mask & ~inside


def _is_sparse(surfaces: tuple[Mask, Mask]) -> bool:
    return surfaces[0].size > SPARSE * sum(np.count_nonzero(surface) for surface in surfaces)


def _is_straight(geometry: Geometry) -> bool:
    """Whether the axes are at right angles and the slices even."""
    steps_mm = geometry.affine_ras[:3, :3]
    directions = steps_mm / np.linalg.norm(steps_mm, axis=0)
    cosines = directions.T @ directions - np.eye(3)
    return geometry.slice_origins_ras_mm is None and bool(np.abs(cosines).max() <= _LARGEST_COSINE)


def _points_mm(surface: Mask, box: tuple[slice, ...], geometry: Geometry, in_plane: bool) -> PointsMm:
    """(N, 3) places of the surface's voxels."""
    indices = np.argwhere(surface) + [side.start for side in box]
    return _frame_points_mm(indices, geometry) if in_plane else geometry.to_ras_mm(indices)


def _frame_points_mm(indices: NDArray[Any], geometry: Geometry) -> PointsMm:
    """Places in the plane of each frame; frames lie so far apart that no other frame is nearer than the diagonal."""
    apart_mm = diagonal_mm(geometry, in_plane=True)
    return np.column_stack([indices[:, :2] @ geometry.in_plane_mm.T, indices[:, 2] * apart_mm])


def _nearest_mm(points: PointsMm, others: PointsMm) -> NDArray[np.float64]:
    """(N,) distance from each point to the nearest of the others."""
    return np.asarray(KDTree(others, leafsize=32).query(points, workers=-1)[0])


def _summed_up(directed: Sequence[NDArray[np.float64]]) -> SurfaceDistances:
    return SurfaceDistances(
        hd_mm=float(max(distances_mm.max() for distances_mm in directed)),
        hd95_mm=float(max(np.percentile(distances_mm, 95) for distances_mm in directed)),
        assd_mm=float(np.concatenate(directed).mean()),
    )
