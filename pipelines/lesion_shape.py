"""How regular a lesion's shape is, on an even grid in the patient: the scan's spacing, tilt and gaps leave no trace."""

from typing import Any, NamedTuple

import cc3d
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, map_coordinates
from skimage.morphology import convex_hull_image

from sliceweave.pipelines.geometry import Geometry

_STEPS_ACROSS = 40
_FEWEST_VOXELS = 27  # of the even grid; below, a surface means nothing

Mask = NDArray[np.bool_]


class LesionShape(NamedTuple):
    """`roundness`: surface of the ball of the lesion's volume over the lesion's own; 1 for a ball, less for all else.

    `solidity`: share that the lesion fills of its convex hull; 1 for whatever is convex.
    """

    roundness: float
    solidity: float


def lesion_shape(mask: NDArray[Any], geometry: Geometry) -> LesionShape | None:
    """The shape of the largest 26-connected lesion of a mask (I, J, K); None if it is empty or a few voxels only.

    The lesion is brought to an even grid in patient space, 40 steps along its longest side, by interpolating its signed
    distance map (Raya and Udupa 1990, doi:10.1109/42.52980), so that thick slices make no stairs. Its surface is
    SimpleITK's (Lehmann and Legland 2012, hdl:10380/3342). Thin plates lose some of their rim.
    """
    lesion = _even(mask, geometry)
    if lesion is None or np.count_nonzero(lesion) < _FEWEST_VOXELS:
        return None
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(sitk.GetImageFromArray(lesion.astype(np.uint8)))
    hull = convex_hull_image(lesion, offset_coordinates=False)
    return LesionShape(
        roundness=min(float(statistics.GetRoundness(1)), 1.0),  # the estimate of a ball's surface errs by 1 %
        solidity=float(np.count_nonzero(lesion) / np.count_nonzero(hull)),
    )


def _even(mask: NDArray[Any], geometry: Geometry) -> Mask | None:
    """The largest lesion on an even grid along the patient's axes; None for an empty mask."""
    foreground = np.asarray(mask) != 0
    boxes = find_objects(foreground.view(np.uint8))
    if not boxes:
        return None
    # cc3d 4.1 fails on small bool boxes and merges voxels of views that are not contiguous.
    lesion = cc3d.largest_k(foreground[boxes[0]].astype(np.uint8, order="C"), k=1, connectivity=26) > 0
    padded = np.pad(lesion, 1)
    first = np.array([side.start - 1 for side in boxes[0]])
    corners = np.argwhere(np.ones((2, 2, 2))) * np.subtract(padded.shape, 1) + first
    corners_mm = geometry.to_ras_mm(corners)
    low_mm, high_mm = corners_mm.min(axis=0), corners_mm.max(axis=0)
    step_mm = _longest_side_mm(lesion, first + 1, geometry) / _STEPS_ACROSS
    axes_mm = [np.arange(low, high + step_mm, step_mm) for low, high in zip(low_mm, high_mm, strict=True)]
    points_mm = np.stack(np.meshgrid(*axes_mm, indexing="ij"), axis=-1)
    indices = np.moveaxis(geometry.to_voxel_indices(points_mm) - first, -1, 0)
    depth_mm = _signed_depth_mm(padded, geometry.spacing_mm)
    return np.asarray(map_coordinates(depth_mm, indices, order=1, mode="nearest") > 0)


def _longest_side_mm(lesion: Mask, first: NDArray[np.int64], geometry: Geometry) -> float:
    voxels_mm = geometry.to_ras_mm(np.argwhere(lesion) + first)
    return float((np.ptp(voxels_mm, axis=0) + geometry.spacing_mm.min()).max())


def _signed_depth_mm(mask: Mask, spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    inside, outside = (distance_transform_edt(side, sampling=spacing_mm) for side in (mask, ~mask))
    return np.asarray(inside - outside)
