"""The inside of the skull in axial planes: soft tissue that bone encloses, in true HU or windowed."""

import cv2
import numpy as np
from numpy.typing import NDArray

NARROW_RANGE_HU = 420.0
"""A window this wide leaves bone and air their HU; what is narrower has lost one or both."""

PIXEL_MM = 2.0
"""Side of the coarse pixels in which bone is looked for."""

LOWEST_HU = -1024.0
"""What is not above it is padding."""

_SLICE_MM = 3.0
_OUTLIERS = 5e-4
_BONE_HU = 150.0
_AIR_HU = -30.0
_BONE_SHARE = 0.25
_BRIDGED_GAP_MM = 16.0  # sutures, burr holes, sinuses that break the bone
_RECESS_MM = 6.0
_SMALLEST_AREA_MM2 = 3000.0  # vertebral canals, marrow and orbits have half of it at most, brains five times as much
_SMALLEST_SOFT_SHARE = 0.8


def real_values(voxels: NDArray[np.float32], affine_ras: NDArray[np.float64]) -> NDArray[np.float32]:
    """(N,) values of every few-th voxel, some 2 mm apart, without padding (-1024 HU and all below)."""
    spacing_mm = np.linalg.norm(affine_ras[:3, :3], axis=0)
    steps = np.maximum(1, np.round(PIXEL_MM / spacing_mm)).astype(int)
    sample = voxels[:: steps[0], :: steps[1], :: steps[2]].ravel(order="K")
    return sample[sample > LOWEST_HU]


def intensity_range(values: NDArray[np.float32]) -> tuple[float, float]:
    """Lowest and highest value, but for one outlier in 2000; (0, 0) without values."""
    if values.size == 0:
        return 0.0, 0.0
    low, high = np.quantile(values, [_OUTLIERS, 1 - _OUTLIERS])
    return float(low), float(high)


def axial_axis(affine_ras: NDArray[np.float64]) -> int:
    """The array axis that runs nearest to feet-head."""
    steps = affine_ras[:3, :3]
    return int(np.argmax(np.abs(steps[2]) / np.linalg.norm(steps, axis=0)))


def inside_skull(voxels: NDArray[np.float32], affine_ras: NDArray[np.float64]) -> NDArray[np.float64]:
    """Indices (N, 3), some 2 mm apart, of what lies inside the skull of a scan (I, J, K); none where there is no head.

    The scan may be of one slice or windowed: it needs no true HU, the uppermost values of a narrow range are bone.
    Small gaps in the skull are bridged. Along the `axial_axis` all indices are whole.
    """
    axis = axial_axis(affine_ras)
    inside, step = _enclosed_planes(voxels, affine_ras)
    found = np.argwhere(inside)
    factors = np.delete(voxels.shape, axis)[::-1] / np.array(inside.shape[1:])
    rows_columns = (found[:, 1:] + 0.5) * factors - 0.5
    return np.insert(rows_columns[:, ::-1], axis, found[:, 0] * step, axis=1)


def slices_with_brain(voxels: NDArray[np.float32], affine_ras: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers along the `axial_axis` of the slices, of some 3 mm apart, in which something is `inside_skull`."""
    inside, step = _enclosed_planes(voxels, affine_ras)
    return np.flatnonzero(inside.any((1, 2))) * step


def _enclosed_planes(voxels: NDArray[np.float32], affine_ras: NDArray[np.float64]) -> tuple[NDArray[np.bool_], int]:
    """What is `enclosed` in every few-th axial plane, and how many that are."""
    axis, spacing_mm = axial_axis(affine_ras), np.linalg.norm(affine_ras[:3, :3], axis=0)
    step = max(1, round(_SLICE_MM / spacing_mm[axis]))
    # Transposed, because planes of a volume in NIfTI's (Fortran) order are then contiguous.
    planes = np.moveaxis(voxels, axis, 2).T[::step]
    return enclosed(planes, np.delete(spacing_mm, axis)[::-1], thresholds_hu(voxels, affine_ras)), step


def thresholds_hu(voxels: NDArray[np.float32], affine_ras: NDArray[np.float64]) -> tuple[float, float]:
    """`bone_and_air_hu` of a scan (I, J, K)."""
    return bone_and_air_hu(*intensity_range(real_values(voxels, affine_ras)))


def bone_and_air_hu(low_hu: float, high_hu: float) -> tuple[float, float]:
    """Of a scan with this range: above the first all is bone, below the second air.

    In a windowed scan the uppermost values are bone. Fat counts as air where they can be told apart.
    """
    span_hu = high_hu - low_hu
    bone_hu = high_hu - 0.08 * min(span_hu, 250) if high_hu <= NARROW_RANGE_HU else _BONE_HU
    return bone_hu, low_hu + 0.05 * span_hu if span_hu <= NARROW_RANGE_HU else _AIR_HU


def coarse_size(shape: tuple[int, ...], pixel_mm: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows and columns of a plane in pixels of 2 mm, or of the plane's own where those are larger."""
    return np.maximum(1, np.ceil(shape * pixel_mm / np.maximum(pixel_mm, PIXEL_MM))).astype(np.int64)


def enclosed(
    planes_hu: NDArray[np.float32], pixel_mm: NDArray[np.float64], thresholds_hu: tuple[float, float]
) -> NDArray[np.bool_]:
    """Soft regions that bone cuts off from the border of their plane: (K, rows, columns) → the same, coarser.

    Small gaps in the skull are bridged. A plane without such a region stays empty.

    Args:
        planes_hu: axial planes.
        pixel_mm: (2,) along rows and columns.
        thresholds_hu: of bone and of air, see `bone_and_air_hu`.
    """
    size = coarse_size(planes_hu.shape[1:], pixel_mm)
    coarse_mm = pixel_mm * planes_hu.shape[1:] / size
    bone_hu, air_hu = thresholds_hu
    found = np.zeros((len(planes_hu), *size), np.bool_)
    for plane, inside in zip(planes_hu, found, strict=True):
        bone = _share(plane > bone_hu, size) > _BONE_SHARE
        soft = (_share(plane > air_hu, size) > 0.5) & ~bone
        inside[:] = _enclosed_in_plane(_bridged(bone, coarse_mm), soft, coarse_mm)
    return found


def with_recesses(
    inside: NDArray[np.bool_], planes_hu: NDArray[np.float32], pixel_mm: NDArray[np.float64], bone_hu: float
) -> NDArray[np.bool_]:
    """The inside grown by up to 6 mm into corners of the skull that bridging had filled; arguments as `enclosed`."""
    size = np.array(inside.shape[1:])
    coarse_mm = pixel_mm * planes_hu.shape[1:] / size
    grown = inside.copy()
    for plane, into in zip(planes_hu, grown, strict=True):
        if into.any():
            bone = _share(plane > bone_hu, size) > _BONE_SHARE
            near = cv2.dilate(into.view(np.uint8), _disk(_RECESS_MM, coarse_mm)).astype(bool)
            into |= near & _bridged(bone, coarse_mm).astype(bool) & ~bone
    return grown


def _share(mask: NDArray[np.bool_], size: NDArray[np.int64]) -> NDArray[np.float32]:
    """Share (rows, columns) of each larger pixel that the mask fills; noise, which could close a gap, averages out."""
    rows, columns = (int(n) for n in size)
    pixels = np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)
    return np.asarray(cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA) / np.float32(255))


def _enclosed_in_plane(
    wall: NDArray[np.uint8], soft: NDArray[np.bool_], pixel_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Of what the wall cuts off from the border, that which is soft and large enough for a section of a brain."""
    count, regions, boxes, _ = cv2.connectedComponentsWithStats(1 - wall, connectivity=4)
    pixels = boxes[:, cv2.CC_STAT_AREA]
    soft_pixels = np.bincount(regions.ravel(), weights=soft.ravel(), minlength=count)
    is_kept = (pixels * pixel_mm.prod() >= _SMALLEST_AREA_MM2) & (soft_pixels >= _SMALLEST_SOFT_SHARE * pixels)
    is_kept[0] = False  # the wall
    is_kept[np.concatenate([regions[[0, -1]].ravel(), regions[:, [0, -1]].ravel()])] = False
    return np.asarray(is_kept[regions])


def _bridged(bone: NDArray[np.bool_], pixel_mm: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray(cv2.morphologyEx(bone.astype(np.uint8), cv2.MORPH_CLOSE, _disk(_BRIDGED_GAP_MM / 2, pixel_mm)))


def _disk(radius_mm: float, pixel_mm: NDArray[np.float64]) -> NDArray[np.uint8]:
    width, height = (2 * max(1, round(radius_mm / step_mm)) + 1 for step_mm in pixel_mm[::-1])
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, height)))
