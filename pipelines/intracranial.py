"""The inside of the skull: soft tissue that bone encloses in axial slices."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry

# A window this wide leaves bone and air their HU; what is narrower has lost one or both.
NARROW_RANGE_HU = 420.0
_LOWEST_HU = -1024.0
_OUTLIERS = 5e-4
_BONE_HU = 150.0
_AIR_HU = -30.0
_PIXEL_MM = 2.0
_SLICE_MM = 3.0
_BONE_SHARE = 0.25
_BRIDGED_GAP_MM = 16.0  # sutures, burr holes, sinuses that break the bone
_SMALLEST_AREA_MM2 = 3000.0  # vertebral canals, marrow and orbits have half of it at most, brains five times as much
_SMALLEST_SOFT_SHARE = 0.8


@dataclass(frozen=True, eq=False)
class IntracranialSpace:
    """Points (N, 3) in RAS mm, 2 mm apart inside the skull, and the slice each lies in; none where there is no head."""

    points_ras_mm: NDArray[np.float64]
    slice_numbers: NDArray[np.int64]


def real_values_hu(voxels_hu: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """(N,) values of every few-th voxel, some 2 mm apart, without padding (-1024 HU and all below)."""
    steps = np.maximum(1, np.round(_PIXEL_MM / geometry.spacing_mm)).astype(int)
    sample = voxels_hu[:: steps[0], :: steps[1], :: steps[2]]
    return sample[sample > _LOWEST_HU]


def intensity_range_hu(values_hu: NDArray[np.float32]) -> tuple[float, float]:
    """Lowest and highest value, but for one outlier in 2000; (0, 0) without values."""
    if values_hu.size == 0:
        return 0.0, 0.0
    low, high = np.quantile(values_hu, [_OUTLIERS, 1 - _OUTLIERS])
    return float(low), float(high)


def intracranial_space(voxels_hu: NDArray[np.float32], geometry: Geometry) -> IntracranialSpace:
    """The intracranial space of a scan (I, J, K), tilted, uneven, of one slice or windowed.

    It needs no true HU: in a windowed scan the uppermost values are bone. Small gaps in the skull are bridged.
    """
    bone_hu, air_hu = thresholds_hu(voxels_hu, geometry)
    axis = axial_axis(geometry)
    step = max(1, round(_SLICE_MM / geometry.spacing_mm[axis]))
    # Transposed, because planes of a volume in NIfTI's (Fortran) order are then contiguous.
    planes = np.moveaxis(voxels_hu, axis, 2).T[::step]
    spacing_mm = np.delete(geometry.spacing_mm, axis)[::-1]
    size = np.maximum(1, np.ceil(planes.shape[1:] * spacing_mm / np.maximum(spacing_mm, _PIXEL_MM))).astype(int)
    factors = np.array(planes.shape[1:]) / size
    bone, not_air = (np.stack([_share(plane > hu, size) for plane in planes]) for hu in (bone_hu, air_hu))
    found = np.argwhere(_enclosed(bone > _BONE_SHARE, not_air > 0.5, spacing_mm * factors))
    rows_columns = (found[:, 1:] + 0.5) * factors - 0.5
    indices = np.insert(rows_columns[:, ::-1], axis, found[:, 0] * step, axis=1)
    return IntracranialSpace(geometry.to_ras_mm(indices), found[:, 0] * step)


def thresholds_hu(voxels_hu: NDArray[np.float32], geometry: Geometry) -> tuple[float, float]:
    """Above the first all is bone, below the second air (and fat, where they can be told apart)."""
    low_hu, high_hu = intensity_range_hu(real_values_hu(voxels_hu, geometry))
    span_hu = high_hu - low_hu
    bone_hu = high_hu - 0.08 * min(span_hu, 250) if high_hu <= NARROW_RANGE_HU else _BONE_HU
    return bone_hu, low_hu + 0.05 * span_hu if span_hu <= NARROW_RANGE_HU else _AIR_HU


def axial_axis(geometry: Geometry) -> int:
    """The array axis that runs nearest to feet-head."""
    steps = geometry.affine_ras[:3, :3]
    return int(np.argmax(np.abs(steps[2]) / np.linalg.norm(steps, axis=0)))


def _share(mask: NDArray[np.bool_], size: NDArray[np.int64]) -> NDArray[np.float32]:
    """Share (rows, columns) of each larger pixel that the mask fills; noise, which could close a gap, averages out."""
    rows, columns = size
    pixels = np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA) / np.float32(255))


def _enclosed(bone: NDArray[np.bool_], not_air: NDArray[np.bool_], pixel_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Soft regions (planes, rows, columns), cut off by bone from the border of their plane."""
    return np.stack([_enclosed_in_plane(*masks, pixel_mm) for masks in zip(bone, not_air & ~bone, strict=True)])


def _enclosed_in_plane(
    bone: NDArray[np.bool_], soft: NDArray[np.bool_], pixel_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Of what bone cuts off from the border, that which is soft and large enough for a section of a brain."""
    wall = _bridged(bone, pixel_mm)
    count, regions, boxes, _ = cv2.connectedComponentsWithStats(1 - wall, connectivity=4)
    pixels = boxes[:, cv2.CC_STAT_AREA]
    soft_pixels = np.bincount(regions.ravel(), weights=soft.ravel(), minlength=count)
    is_kept = (pixels * pixel_mm.prod() >= _SMALLEST_AREA_MM2) & (soft_pixels >= _SMALLEST_SOFT_SHARE * pixels)
    is_kept[0] = False  # the wall
    is_kept[np.concatenate([regions[[0, -1]].ravel(), regions[:, [0, -1]].ravel()])] = False
    return np.asarray(is_kept[regions])


def _bridged(bone: NDArray[np.bool_], pixel_mm: NDArray[np.float64]) -> NDArray[np.uint8]:
    width, height = (2 * max(1, round(_BRIDGED_GAP_MM / 2 / step_mm)) + 1 for step_mm in pixel_mm[::-1])
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, height))
    return np.asarray(cv2.morphologyEx(bone.astype(np.uint8), cv2.MORPH_CLOSE, kernel))
