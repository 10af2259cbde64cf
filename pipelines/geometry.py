"""The grid of one scan in patient space: distances, areas and volumes, right under tilt, obliquity and gaps."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry_checks import (
    check_origins,
    check_spacing,
    check_thickness,
    checked_affine,
    checked_shape,
    one_per_slice,
)
from sliceweave.pipelines.slice_gaps import missing_by_width

SHEAR_TOLERANCE_DEG = 0.5
OBLIQUE_TOLERANCE_DEG = 1.0
GAP_TOLERANCE = 0.01
# Header positions rounded to hundredths of a millimetre make even gaps differ by this much.
GAP_ROUNDING_MM = 0.02
_SAME_PLACE = 0.5


@dataclass(frozen=True, eq=False)
class Geometry:
    """The voxel grid of one scan in RAS mm; slices are stacked along the third array axis.

    A uniform grid is its affine alone. Unevenly spaced slices also carry one origin each (the centre of voxel
    (0, 0, k)), and their affine is the least-squares uniform one. Header thicknesses count only for a scan of one
    slice: between slices the distance is what fills the volume, not the collimation.

    Raises:
        InputError: The affine is not a 4 x 4 matrix of finite numbers, is singular or has a spacing outside
            0.05-30 mm; origins or thicknesses do not number one per slice, origins do not advance from slice to
            slice, or do not fit the affine; a thickness is not positive.
    """

    affine_ras: NDArray[np.float64]
    shape: tuple[int, int, int]
    slice_origins_ras_mm: NDArray[np.float64] | None = None
    slice_thickness_mm: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        self._set("shape", checked_shape(self.shape))
        self._set("affine_ras", checked_affine(self.affine_ras))
        check_spacing(self.affine_ras)
        if self.slice_thickness_mm is not None:
            self._set("slice_thickness_mm", one_per_slice(self.slice_thickness_mm, self.shape[2:], "slice thicknesses"))
            check_thickness(self.slice_thickness_mm)
        if self.slice_origins_ras_mm is not None:
            self._set(
                "slice_origins_ras_mm", one_per_slice(self.slice_origins_ras_mm, (self.shape[2], 3), "slice origins")
            )
            check_origins(self.slice_origins_ras_mm, self.affine_ras, self.slice_normal_ras)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    @classmethod
    def with_sidecar(
        cls, affine_ras: NDArray[np.float64], shape: tuple[int, int, int], path: Path | None
    ) -> "Geometry":
        """The grid of a scan whose `<id>.geometry.json` lies at `path`; None means that the affine says all.

        Raises:
            InputError: The affine is unusable (no file named), or the sidecar is (its path leads the message).
        """
        uniform = cls(affine_ras, shape)
        if path is None:
            return uniform
        content = _read_json_object(path)
        origins_ras_mm = content.get("slice_origins_ras_mm")
        if origins_ras_mm is None:
            raise InputError(f"{path}: expected slice_origins_ras_mm, one [r, a, s] in mm for each slice, found none")
        try:
            return cls(affine_ras, shape, origins_ras_mm, content.get("slice_thickness_mm"))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def sidecar_bytes(self) -> bytes:
        """What `with_sidecar` reads: where slices truly lie, and how thick the header says they are."""
        values = {"slice_origins_ras_mm": self.slice_origins_ras_mm, "slice_thickness_mm": self.slice_thickness_mm}
        return json.dumps({name: value.tolist() for name, value in values.items() if value is not None}).encode()

    @cached_property
    def slice_normal_ras(self) -> NDArray[np.float64]:
        """Unit vector perpendicular to the slices, pointing from each slice to the next."""
        row, column, stacking = self.affine_ras[:3, :3].T
        normal = np.cross(row, column)
        return np.asarray(normal * np.sign(normal @ stacking) / np.linalg.norm(normal))

    @cached_property
    def pixel_area_mm2(self) -> float:
        """Area of one pixel in its slice: |c0 x c1| of the affine's columns."""
        return float(np.linalg.norm(np.cross(self.affine_ras[:3, 0], self.affine_ras[:3, 1])))

    @cached_property
    def in_plane_mm(self) -> NDArray[np.float64]:
        """(2, 2) matrix taking pixel steps (i, j) to mm in a right-angled frame of the slice plane."""
        return np.asarray(np.linalg.qr(self.affine_ras[:3, :2], mode="r"))

    @cached_property
    def slice_gaps_mm(self) -> NDArray[np.float64]:
        """(K - 1,) distances between neighbouring slices along their normal, never along the table."""
        if self.slice_origins_ras_mm is None:
            return np.full(self.shape[2] - 1, self._uniform_gap_mm)
        return np.diff(self.slice_origins_ras_mm @ self.slice_normal_ras)

    @cached_property
    def slice_thicknesses_mm(self) -> NDArray[np.float64]:
        """(K,) thickness with which each slice counts in a volume.

        Half the distance to each neighbour; an end slice takes its one gap in full; a single slice the header's
        thickness. On a uniform grid every slice has |det(affine)| / pixel area.
        """
        gaps_mm = self.slice_gaps_mm
        if len(gaps_mm) == 0:
            header_mm = self.slice_thickness_mm
            return np.array([self._uniform_gap_mm]) if header_mm is None else header_mm
        before_mm, after_mm = np.append(gaps_mm[0], gaps_mm), np.append(gaps_mm, gaps_mm[-1])
        return np.asarray((before_mm + after_mm) / 2)

    @cached_property
    def spacing_mm(self) -> NDArray[np.float64]:
        """(3,) lengths of the two in-plane steps and the mean distance of slices along their normal.

        Their product is the voxel's volume wherever the in-plane steps are at right angles and slices are even.
        """
        in_plane = np.linalg.norm(self.affine_ras[:3, :2], axis=0)
        gaps_mm = self.slice_gaps_mm if self.shape[2] > 1 else self.slice_thicknesses_mm
        return np.append(in_plane, gaps_mm.mean())

    @cached_property
    def voxel_ml(self) -> float:
        """Volume of a voxel: |det(affine)| on a uniform grid, the mean over slices on an uneven one."""
        return self.pixel_area_mm2 * float(self.slice_thicknesses_mm.mean()) / 1000

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """Those of `uneven_slices`, `missing_slices`, `sheared`, `oblique` that apply; all are measured as they lie.

        Of uneven slices some are missing where gaps are far wider than those beside them, see `missing_by_width`.
        `sheared` compares the stacking direction with the slice normal and the in-plane directions with each other;
        `oblique` compares slice plane and in-plane directions with the patient's axes. A gantry-tilted study has
        slices leaning against a straight table and is both; one whose slices were moved sideways to make up for
        the tilt is only sheared.
        """
        named = {
            "uneven_slices": self._is_uneven,
            "missing_slices": self._is_uneven and bool(missing_by_width(self.slice_gaps_mm)),
            "sheared": self._is_sheared,
            "oblique": self._is_oblique,
        }
        return tuple(name for name, applies in named.items() if applies)

    @property
    def middle_ras_mm(self) -> NDArray[np.float64]:
        """(3,): the middle of the grid."""
        return self.to_ras_mm((np.array(self.shape) - 1) / 2)

    def to_ras_mm(self, voxel_indices: ArrayLike) -> NDArray[np.float64]:
        """RAS mm (..., 3) of voxel indices (..., 3); fractions between uneven slices are interpolated."""
        indices = np.asarray(voxel_indices, dtype=np.float64)
        in_plane = indices[..., :2] @ self.affine_ras[:3, :2].T
        return np.asarray(in_plane + self._slice_origin_ras_mm(indices[..., 2]))

    def _slice_origin_ras_mm(self, k: NDArray[np.float64]) -> NDArray[np.float64]:
        origins_ras_mm = self.slice_origins_ras_mm
        if origins_ras_mm is None or len(origins_ras_mm) == 1:
            return np.asarray(self.affine_ras[:3, 3] + k[..., None] * self.affine_ras[:3, 2])
        below = np.clip(np.floor(k).astype(int), 0, len(origins_ras_mm) - 2)
        step = origins_ras_mm[below + 1] - origins_ras_mm[below]
        return np.asarray(origins_ras_mm[below] + (k - below)[..., None] * step)

    def to_voxel_indices(self, points_ras_mm: ArrayLike) -> NDArray[np.float64]:
        """Voxel indices (..., 3), with fractions, of RAS mm (..., 3): the inverse of `to_ras_mm`."""
        points = np.asarray(points_ras_mm, dtype=np.float64)
        along_mm = (points - self._slice_origin_ras_mm(np.zeros(1))) @ self.slice_normal_ras
        gaps_mm = self.slice_gaps_mm if self.shape[2] > 1 else np.array([self._uniform_gap_mm])
        places_mm = np.append(0, np.cumsum(gaps_mm))
        below = np.clip(np.searchsorted(places_mm, along_mm, side="right") - 1, 0, len(gaps_mm) - 1)
        k = below + (along_mm - places_mm[below]) / gaps_mm[below]
        in_plane_mm = points - self._slice_origin_ras_mm(k)
        return np.concatenate([in_plane_mm @ np.linalg.pinv(self.affine_ras[:3, :2]).T, k[..., None]], axis=-1)

    def axes_ending_in(self, ras_axis: int) -> tuple[int, int, int]:
        """Array axes in an order that ends with the one nearest to a patient axis (0 R, 1 A, 2 S).

        As they are where the third axis has to stay the slices' own: uneven slices, or a scan of one slice.
        """
        if self.slice_origins_ras_mm is not None or 1 in self.shape:
            return 0, 1, 2
        nearest = nib.io_orientation(self.affine_ras)[:, 0].astype(int).tolist()
        last = nearest.index(ras_axis)
        first, second = (axis for axis in range(3) if axis != last)
        return first, second, last

    def permuted(self, axes: tuple[int, int, int]) -> "Geometry":
        """The grid of the array transposed to that order of axes."""
        if axes == (0, 1, 2):
            return self
        i, j, k = (self.shape[axis] for axis in axes)
        return Geometry(self.affine_ras[:, [*axes, 3]], (i, j, k))

    @property
    def _uniform_gap_mm(self) -> float:
        return float(abs(np.linalg.det(self.affine_ras[:3, :3]))) / self.pixel_area_mm2

    @property
    def _is_uneven(self) -> bool:
        gaps_mm = self.slice_gaps_mm
        return len(gaps_mm) > 1 and bool(np.ptp(gaps_mm) > max(GAP_TOLERANCE * gaps_mm.mean(), GAP_ROUNDING_MM))

    @property
    def _is_sheared(self) -> bool:
        row, column, stacking = self.affine_ras[:3, :3].T
        in_plane_shear = abs(90 - _angle_deg(row, column))
        return max(in_plane_shear, _angle_deg(stacking, self.slice_normal_ras)) > SHEAR_TOLERANCE_DEG

    @property
    def _is_oblique(self) -> bool:
        # With in-plane shear one of the two directions has to leave its axis, so only both count.
        row, column = self.affine_ras[:3, :2].T
        in_plane = min(_angle_to_axis_deg(row), _angle_to_axis_deg(column))
        return max(in_plane, _angle_to_axis_deg(self.slice_normal_ras)) > OBLIQUE_TOLERANCE_DEG


def same_grid(first: Geometry, second: Geometry) -> bool:
    """Whether voxels of two scans are the same places in the patient; see `lie_together`."""
    return first.shape == second.shape and lie_together(first.affine_ras, second.affine_ras, first.shape)


def lie_together(first: NDArray[np.float64], second: NDArray[np.float64], shape: Sequence[int]) -> bool:
    """Whether no voxel of two grids of one shape lies half its shortest side elsewhere: headers round their numbers."""
    shortest_mm = np.linalg.norm(first[:3, :3], axis=0).min()
    return bool(apart_mm(first, second, shape) < _SAME_PLACE * shortest_mm)


def apart_mm(first: NDArray[np.float64], second: NDArray[np.float64], shape: Sequence[int]) -> float:
    """How far the voxels of two grids of one shape lie apart at most, which is at a corner."""
    corners = np.array(np.meshgrid(*([0, size - 1] for size in shape))).reshape(len(shape), -1)
    apart = (first - second)[:3] @ np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(apart, axis=0).max())


def _read_json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object with slice_origins_ras_mm and slice_thickness_mm")
    return content


def _angle_deg(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _angle_to_axis_deg(direction: NDArray[np.float64]) -> float:
    nearest = np.zeros(3)
    nearest[np.abs(direction).argmax()] = 1
    angle = _angle_deg(direction, nearest)
    return min(angle, 180 - angle)
