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
_FEWEST_VOXELS = 27  # 3 x 3 x 3; below, a surface means nothing

Mask = NDArray[np.bool_]


class LesionShape(NamedTuple):
    """`roundness`: surface of the ball of the lesion's volume over the lesion's own; 1 for a ball, less for all else.

    `solidity`: share that the lesion fills of its convex hull; 1 for whatever is convex.
    """

    roundness: float
    solidity: float


def lesion_shape(mask: NDArray[Any], geometry: Geometry) -> LesionShape | None:
    """The shape of the largest 26-connected lesion of a mask (I, J, K); None if that is under 27 voxels.

    The lesion is brought to an even grid in patient space, 40 steps along its longest side, by interpolating its signed
    distance map (Raya and Udupa 1990, doi:10.1109/42.52980), so that thick slices make no stairs. Its surface is
    SimpleITK's (Lehmann and Legland 2012, hdl:10380/3342). Thin plates lose some of their rim.
    """
    lesion = _even(mask, geometry)
    if lesion is None or not lesion.any():
        return None
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(sitk.GetImageFromArray(lesion.astype(np.uint8)))
    hull = convex_hull_image(lesion, offset_coordinates=False)
    return LesionShape(
        roundness=min(float(statistics.GetRoundness(1)), 1.0),  # the estimate of a ball's surface errs by 1 %
        solidity=float(np.count_nonzero(lesion) / np.count_nonzero(hull)),
    )


def _even(mask: NDArray[Any], geometry: Geometry) -> Mask | None:
    """The largest lesion on an even grid along the patient's axes; None where there are too few voxels."""
    foreground = np.asarray(mask) != 0
    boxes = find_objects(foreground.view(np.uint8))
    if not boxes:
        return None
    # cc3d 4.1 fails on small bool boxes and merges voxels of views that are not contiguous.
    largest = cc3d.largest_k(foreground[boxes[0]].astype(np.uint8, order="C"), k=1, connectivity=26) > 0
    if np.count_nonzero(largest) < _FEWEST_VOXELS:
        return None
    own_box = find_objects(largest.view(np.uint8))[0]
    lesion = np.pad(largest[own_box], 1)
    first = np.array([outer.start + own.start - 1 for outer, own in zip(boxes[0], own_box, strict=True)])
    indices = np.moveaxis(geometry.to_voxel_indices(_even_points_mm(lesion.shape, first, geometry)) - first, -1, 0)
    depth_mm = _signed_depth_mm(lesion, geometry.spacing_mm)
    return np.asarray(map_coordinates(depth_mm, indices, order=1, mode="nearest") > 0)


def _even_points_mm(shape: tuple[int, ...], first: NDArray[np.int64], geometry: Geometry) -> NDArray[np.float64]:
    """(X, Y, Z, 3) places, evenly spaced, over the box of so many voxels, of which half the outermost is left out."""
    ends = np.argwhere(np.ones((2, 2, 2))) * (np.array(shape) - 2) + 0.5
    corners_mm = geometry.to_ras_mm(ends + first)
    low_mm, side_mm = corners_mm.min(axis=0), np.ptp(corners_mm, axis=0)
    step_mm = side_mm.max() / _STEPS_ACROSS
    axes_mm = [low + step_mm * np.arange(-1, side / step_mm + 2) for low, side in zip(low_mm, side_mm, strict=True)]
    return np.stack(np.meshgrid(*axes_mm, indexing="ij"), axis=-1)


def _signed_depth_mm(mask: Mask, spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    inside, outside = (distance_transform_edt(side, sampling=spacing_mm) for side in (mask, ~mask))
    return np.asarray(inside - outside)
