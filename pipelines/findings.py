"""What the voxels of a scan say about it: whether they are HU, whether they show a brain, and where its middle is."""

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.intracranial import IntracranialSpace
from sliceweave.transforms.skull import (
    NARROW_RANGE_HU,
    axial_axis,
    coarse_size,
    intensity_range,
    real_values,
    thresholds_hu,
)

_LEAST_RANGE_HU = 25.0
_NO_AIR_ABOVE_HU = -200.0  # around every patient is air at -1000, unless it was cut off
_DENSE_HU = 300.0
_MOST_DENSE_SHARE = 0.2  # bone is a twentieth of a head scan; without rescale soft tissue lies at 1000 as well
_CLIPPED_AIR_SHARE = 0.05
_CLIPPED_BONE_SHARE = 0.002
_CENTRAL_AREA_SHARE = 0.6
_HEAD_SLICES_SHARE = 0.3
_HEAD_AREA_SHARE = 0.5  # brains have 0.7 and more of their section, the inside of a pelvis a sixth


def hu_flags(voxels_hu: NDArray[np.float32], geometry: Geometry) -> tuple[str, ...]:
    """Those of `windowed_input`, `implausible_hu` that apply to the voxels (I, J, K) of a CT.

    `windowed_input`: values confined to a window such as -20 to 100 HU, or to 8 bits, so bone or air has lost its HU.
    `implausible_hu`: no HU at all, as in MR, CT without rescale, fractions, or one value throughout.
    """
    values_hu = real_values(voxels_hu, geometry.affine_ras)
    if _is_implausible(values_hu):
        return ("implausible_hu",)
    return ("windowed_input",) if _is_windowed(values_hu) else ()


def head_flags(voxels_hu: NDArray[np.float32], geometry: Geometry, space: IntracranialSpace) -> tuple[str, ...]:
    """`hu_flags`, and `not_brain` where in no axial slice bone encloses soft tissue; `space` is the scan's."""
    has_brain = len(space.slice_numbers) > 0
    return hu_flags(voxels_hu, geometry) + (() if has_brain else ("not_brain",))


def trunk_flags(voxels_hu: NDArray[np.float32], geometry: Geometry, space: IntracranialSpace) -> tuple[str, ...]:
    """`hu_flags`, and `head` where bone encloses soft tissue in many slices, and much of the largest of them."""
    return hu_flags(voxels_hu, geometry) + (("head",) if _is_head(voxels_hu, geometry, space) else ())


def midline_r_mm(geometry: Geometry, space: IntracranialSpace) -> float:
    """R coordinate of the middle of the head: of its largest intracranial sections, so that no head rest counts.

    Without a brain, the middle of the grid.
    """
    if len(space.slice_numbers) == 0:
        return float(geometry.middle_ras_mm[0])
    slice_numbers, areas = np.unique(space.slice_numbers, return_counts=True)
    central = slice_numbers[areas >= _CENTRAL_AREA_SHARE * areas.max()]
    return float(space.points_ras_mm[np.isin(space.slice_numbers, central), 0].mean())


def _is_head(voxels_hu: NDArray[np.float32], geometry: Geometry, space: IntracranialSpace) -> bool:
    axis = axial_axis(geometry.affine_ras)
    slice_numbers, points = np.unique(space.slice_numbers, return_counts=True)
    if len(slice_numbers) == 0 or np.ptp(slice_numbers) + 1 < _HEAD_SLICES_SHARE * geometry.shape[axis]:
        return False
    plane = np.take(voxels_hu, slice_numbers[points.argmax()], axis)
    _, air_hu = thresholds_hu(voxels_hu, geometry.affine_ras)
    coarse_pixels = coarse_size(plane.shape, np.delete(geometry.spacing_mm, axis)).prod()
    return bool(points.max() / coarse_pixels > _HEAD_AREA_SHARE * np.mean(plane > air_hu))


def _is_implausible(values_hu: NDArray[np.float32]) -> bool:
    low_hu, high_hu = intensity_range(values_hu)
    if high_hu - low_hu < _LEAST_RANGE_HU:
        return True
    is_wide_without_air = low_hu > _NO_AIR_ABOVE_HU and high_hu - low_hu > NARROW_RANGE_HU
    return is_wide_without_air and bool(np.mean(values_hu > _DENSE_HU) > _MOST_DENSE_SHARE)


def _is_windowed(values_hu: NDArray[np.float32]) -> bool:
    """Confined to a narrow range, or with a good part of the voxels at the very end of a wide one."""
    low_hu, high_hu = intensity_range(values_hu)
    if high_hu - low_hu <= NARROW_RANGE_HU:
        return True
    air_is_clipped = low_hu > _NO_AIR_ABOVE_HU and np.mean(values_hu <= low_hu + 0.5) > _CLIPPED_AIR_SHARE
    bone_is_clipped = high_hu <= NARROW_RANGE_HU and np.mean(values_hu >= high_hu - 0.5) > _CLIPPED_BONE_SHARE
    return bool(air_is_clipped or bone_is_clipped)
