"""How far the surfaces of two masks lie apart, in patient space: right under tilt, obliquity and uneven slices."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, find_objects, generate_binary_structure
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist

from sliceweave.pipelines.geometry import Geometry

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
    union = prediction | truth
    if not union.any():
        return SurfaceDistances(0.0, 0.0, 0.0)
    farthest_mm = diagonal_mm(geometry, in_plane)
    if not (prediction.any() and truth.any()):
        return SurfaceDistances(farthest_mm, farthest_mm, farthest_mm)
    box = find_objects(union.view(np.uint8))[0]
    predicted, true = (_surface_points_mm(mask, box, geometry, in_plane) for mask in (prediction, truth))
    directed = [np.minimum(_nearest_mm(*pair), farthest_mm) for pair in ((predicted, true), (true, predicted))]
    return SurfaceDistances(
        hd_mm=float(max(distances_mm.max() for distances_mm in directed)),
        hd95_mm=float(max(np.percentile(distances_mm, 95) for distances_mm in directed)),
        assd_mm=float(np.concatenate(directed).mean()),
    )


def diagonal_mm(geometry: Geometry, in_plane: bool = False) -> float:
    """Longest diagonal of the scanned box, from outer corner to outer corner; or of one slice."""
    ends = [(-0.5, size - 0.5) for size in geometry.shape]
    corners = product(*ends[:2], (0.0,) if in_plane else ends[2])
    return float(pdist(geometry.to_ras_mm(list(corners))).max())


def _surface_points_mm(mask: Mask, box: tuple[slice, ...], geometry: Geometry, in_plane: bool) -> PointsMm:
    """(N, 3) places of the surface voxels of a mask within the box."""
    sizes = (*geometry.shape[:2], 1 if in_plane else geometry.shape[2])
    centre_only = tuple(slice(1, 2) if size == 1 else slice(None) for size in sizes)
    inside = binary_erosion(mask[box], generate_binary_structure(3, 1)[centre_only])
    indices = np.argwhere(mask[box] & ~inside) + [side.start for side in box]
    return _frame_points_mm(indices, geometry) if in_plane else geometry.to_ras_mm(indices)


def _frame_points_mm(indices: NDArray[Any], geometry: Geometry) -> PointsMm:
    """Places in the plane of each frame; frames lie so far apart that no other frame is nearer than the diagonal."""
    apart_mm = diagonal_mm(geometry, in_plane=True)
    return np.column_stack([indices[:, :2] @ geometry.in_plane_mm.T, indices[:, 2] * apart_mm])


def _nearest_mm(points: PointsMm, others: PointsMm) -> NDArray[np.float64]:
    """(N,) distance from each point to the nearest of the others."""
    return np.asarray(KDTree(others, leafsize=32).query(points, workers=-1)[0])
