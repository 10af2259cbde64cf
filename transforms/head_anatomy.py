"""A head CT's own anatomy, found from the scan: how deep below the skull, where in the head, what is CSF."""

from dataclasses import dataclass, replace
from functools import cached_property

import cc3d
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sliceweave.transforms.lattice import Field, Lattice
from sliceweave.transforms.skull import bone_and_air_hu, enclosed, intensity_range, with_recesses

_STEP_MM = 2.0
_MARGIN = 8  # lattice points around the brain
_SOFT_HU = (-15.0, 80.0)
_ENDS = 12  # planes by which a stack that ends within the head is prolonged
_VENTRICLE_DEPTH_MM = 18.0
_SMALLEST_VENTRICLE_MM3 = 250.0


@dataclass(frozen=True, eq=False)
class Head:
    """Fields on a lattice of 2 mm whose axes run right, front and up, in mm from the scan's first voxel.

    Attributes:
        depth_mm: below the inner table; negative in bone and outside.
        hu: mean of the tissue, without bone and air.
        side_mm: to the right of the plane of symmetry.
        front_mm: in front of the middle of the brain.
        up_mm: above the level of the third ventricle, roughly.
        ventricle: 0…1, about 1 in the ventricles and at most 2 mm beyond them; 0 where none are seen.
        brain_hu: median of the brain.
        csf_hu: of the darkest fluid.
        bone_hu: what is denser is bone.
        half_width_mm, half_length_mm: of the brain.
    """

    lattice: Lattice
    depth_mm: Field
    hu: Field
    side_mm: Field
    front_mm: Field
    up_mm: Field
    ventricle: Field
    brain_hu: float
    csf_hu: float
    bone_hu: float
    half_width_mm: float
    half_length_mm: float

    @cached_property
    def csf(self) -> Field:
        """Share (0…1) of CSF around each lattice point."""
        return csf_share(self.hu, self.brain_hu, self.csf_hu)

    @cached_property
    def inward(self) -> tuple[Field, Field, Field]:
        """Unit vectors that lead away from the nearest part of the skull."""
        slope = np.gradient(ndimage.gaussian_filter(self.depth_mm, 1.5), self.lattice.step_mm, axis=_long_axes(self))
        parts = [np.zeros_like(self.depth_mm) for _ in range(3)]
        for axis, part in zip(_long_axes(self), slope, strict=True):
            parts[axis] = part
        length = np.maximum(np.sqrt(sum(part**2 for part in parts)), 0.2)
        return parts[0] / length, parts[1] / length, parts[2] / length


def _long_axes(head: Head) -> tuple[int, ...]:
    return tuple(axis for axis, count in enumerate(head.depth_mm.shape) if count > 1)


def csf_share(hu: Field, brain_hu: float, csf_hu: float) -> Field:
    """Share (0…1) of CSF in tissue of this HU; white matter, the darkest of the brain, has none."""
    white_hu = brain_hu - 0.3 * (brain_hu - csf_hu)
    share: Field = np.clip((white_hu - hu) / max(white_hu - csf_hu - 2, 1), 0, 1)
    return share


def find_head(planes_hu: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Head | None:
    """The anatomy of a scan (K, I, J), or None where no bone encloses anything as large as a brain.

    Args:
        spacing_mm: of right (I), front (J) and up (K).
    """
    pixel_mm = np.array(spacing_mm[:2])
    thresholds_hu = bone_and_air_hu(*intensity_range(planes_hu[:, ::3, ::3].ravel()))
    inside = enclosed(planes_hu, pixel_mm, thresholds_hu)
    inside = with_recesses(inside, planes_hu, pixel_mm, thresholds_hu[0])
    # calcifications are no part of the skull
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in inside])
    inside = cc3d.largest_k(filled, k=1, connectivity=26) > 0
    if not inside.any():
        return None
    coarse_mm = pixel_mm * planes_hu.shape[1:] / inside.shape[1:]
    lattice = _lattice(inside, coarse_mm, spacing_mm[2], len(planes_hu))
    border = np.stack([_signed_distance(plane, coarse_mm) for plane in inside])
    soft = np.stack([_soft_mean(plane, inside.shape[1:], thresholds_hu[0]) for plane in planes_hu])
    depth = _depth(_on_lattice(border, lattice, coarse_mm, spacing_mm[2]) > 0)
    return _described(lattice, depth, _on_lattice(soft, lattice, coarse_mm, spacing_mm[2]), thresholds_hu[0])


def _lattice(inside: NDArray[np.bool_], coarse_mm: NDArray[np.float64], slice_mm: float, slices: int) -> Lattice:
    """Points around the inside, in planes 2 mm apart, or one for a single slice."""
    places = np.argwhere(inside.any(0))
    low = (places.min(0) + 0.5) * coarse_mm - _MARGIN * _STEP_MM
    counts = np.ceil(((places.max(0) + 0.5) * coarse_mm + _MARGIN * _STEP_MM - low) / _STEP_MM).astype(int) + 1
    planes = 1 if slices == 1 else int(np.ceil((slices - 1) * slice_mm / _STEP_MM)) + 1
    return Lattice((float(low[0]), float(low[1]), 0.0), _STEP_MM, (int(counts[0]), int(counts[1]), planes))


def _signed_distance(plane: NDArray[np.bool_], coarse_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """In mm to the plane's border, positive inside; far below 0 where there is nothing."""
    if not plane.any():
        return np.full(plane.shape, -30, np.float32)
    masks = [np.pad(mask, 1, constant_values=not value) for value, mask in ((True, plane), (False, ~plane))]
    inner, outer = (cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1] for mask in masks)
    return np.asarray((inner - outer) * np.float32(coarse_mm.mean()))


def _soft_mean(plane_hu: NDArray[np.float32], size: tuple[int, ...], bone_hu: float) -> NDArray[np.float32]:
    """Mean HU of what is neither bone nor air in each coarse pixel; bone's where there is nothing else."""
    is_soft = ((plane_hu > _SOFT_HU[0]) & (plane_hu < min(bone_hu, _SOFT_HU[1]))).astype(np.float32)
    shape = (size[1], size[0])
    share = cv2.resize(is_soft, shape, interpolation=cv2.INTER_AREA)
    total = cv2.resize(np.where(is_soft > 0, plane_hu, 0), shape, interpolation=cv2.INTER_AREA)
    return np.asarray(np.where(share > 0.05, total / np.maximum(share, 0.05), _SOFT_HU[1]), np.float32)


def _on_lattice(
    planes: NDArray[np.float32], lattice: Lattice, coarse_mm: NDArray[np.float64], slice_mm: float
) -> Field:
    """Coarse planes (K, rows, columns) at the lattice's points, (X, Y, Z)."""
    low = np.array(lattice.low_mm[:2]) / coarse_mm - 0.5
    scale = lattice.step_mm / coarse_mm
    matrix = np.array([[scale[1], 0, low[1]], [0, scale[0], low[0]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = lattice.shape[1], lattice.shape[0]
    moved = [cv2.warpAffine(p, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) for p in planes]
    heights = lattice.step_mm * np.arange(lattice.shape[2])[:, None] - slice_mm * np.arange(len(planes))
    weights = np.clip(1 - np.abs(heights) / max(slice_mm, lattice.step_mm), 0, None)
    weights[-1, -1] += 1e-6  # the last lattice plane may lie beyond the last slice
    weights /= weights.sum(1, keepdims=True)
    return np.tensordot(np.stack(moved), weights.astype(np.float32), (0, 1))


def _depth(inside: NDArray[np.bool_]) -> Field:
    """Signed distance in mm to the inner table; where the scan ends is no table."""
    long = np.pad(inside, ((0, 0), (0, 0), (_ENDS, _ENDS)), "edge")
    signed = ndimage.distance_transform_edt(long) - ndimage.distance_transform_edt(~long)
    smooth = ndimage.gaussian_filter(signed.astype(np.float32) * _STEP_MM, 0.7)
    return np.ascontiguousarray(smooth[..., _ENDS:-_ENDS])


def _described(lattice: Lattice, depth_mm: Field, hu: Field, bone_hu: float) -> Head:
    x, y, z = lattice.axes_mm()
    side_mm, front_mm = _symmetric(depth_mm > 0, x, y, z)
    deep_hu = hu[depth_mm > min(8.0, 0.5 * float(depth_mm.max()))]
    brain_hu = float(np.median(deep_hu))
    csf_hu = float(np.clip(np.quantile(deep_hu, 0.005), brain_hu - 30, brain_hu - 20))
    inside = depth_mm > 0
    half_width, half_length = (float(np.quantile(np.abs(axis[inside]), 0.98)) for axis in (side_mm, front_mm))
    nothing = np.zeros_like(depth_mm)
    head = Head(
        lattice, depth_mm, hu, side_mm, front_mm, nothing, nothing, brain_hu, csf_hu, bone_hu, half_width, half_length
    )
    mask = _ventricle_mask(head)
    up_mm = np.broadcast_to(z - np.float32(_middle_height_mm(head, mask, z)), depth_mm.shape)
    mask = ndimage.binary_dilation(mask & ~_behind_third_ventricle(head, up_mm))
    ventricle = np.clip(1.6 * ndimage.gaussian_filter(mask.astype(np.float32), 0.8), 0, 1)
    return replace(head, up_mm=up_mm, ventricle=ventricle)


def _symmetric(inside: NDArray[np.bool_], x: Field, y: Field, z: Field) -> tuple[Field, Field]:
    """To the right of the brain's plane of symmetry and in front of its middle, in mm: by its moments."""
    weights = inside.astype(np.float32)
    total = weights.sum()
    middle = [float((weights * axis).sum() / total) for axis in (x, y, z)]
    dx, dy, dz = (axis - np.float32(m) for axis, m in zip((x, y, z), middle, strict=True))
    xx, yy, xy = (float((weights * a * b).sum() / total) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    turn = float(np.clip(0.5 * np.arctan2(2 * xy, yy - xx), -0.5, 0.5)) if yy > 1.1 * xx else 0.0
    zz, xz = (float((weights * a * dz).sum() / total) for a in (dz, dx))
    lean = float(np.clip(xz / zz, -0.3, 0.3)) if zz > 100 else 0.0
    across = (dx - lean * dz) * np.cos(turn) - dy * np.sin(turn)
    return across, np.broadcast_to(dx * np.sin(turn) + dy * np.cos(turn), inside.shape)


def _ventricle_mask(head: Head) -> NDArray[np.bool_]:
    """Dark fluid deep in the middle of the brain."""
    central = (np.abs(head.side_mm) < 0.58 * head.half_width_mm) & (np.abs(head.front_mm) < 0.68 * head.half_length_mm)
    fluid = (head.csf > 0.45) & central & (head.depth_mm > _VENTRICLE_DEPTH_MM)
    regions, count = ndimage.label(fluid)
    sizes = np.bincount(regions.ravel(), minlength=count + 1) * head.lattice.step_mm**3
    needed = _SMALLEST_VENTRICLE_MM3 if head.depth_mm.shape[2] > 1 else 0.2 * _SMALLEST_VENTRICLE_MM3
    sizes[0] = 0
    return np.asarray(sizes[regions] > needed)


def _behind_third_ventricle(head: Head, up_mm: Field) -> NDArray[np.bool_]:
    """Where the cisterns of the midbrain's back lie, which are as dark and as deep as ventricles."""
    front = head.front_mm / head.half_length_mm
    in_the_middle = (np.abs(head.side_mm) < 13) & (front < -0.14) & (front > -0.6)
    return np.asarray(in_the_middle & (up_mm > -14) & (up_mm < 12))


def _middle_height_mm(head: Head, ventricle: NDArray[np.bool_], z: Field) -> float:
    """Where the third ventricle should lie: below the lateral ones, or so far below the vertex."""
    if ventricle.sum() * head.lattice.step_mm**3 > 4000:
        return float((ventricle * z).sum() / ventricle.sum()) - 8
    inside = (head.depth_mm > 0).any((0, 1))
    top_mm = head.lattice.step_mm * float(np.flatnonzero(inside)[-1])
    bottom_mm = head.lattice.step_mm * float(np.flatnonzero(inside)[0])
    return max(top_mm - 1.1 * head.half_width_mm, 0.5 * (top_mm + bottom_mm) - 20, bottom_mm)
