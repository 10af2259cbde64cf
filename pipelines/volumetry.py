"""From a mask and the geometry of its scan to the numbers of the report: pure functions, no files."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.tada import Tada, tada_of_slices

TINY_LESION_ML = 0.1
ONE_SIDED_SHARE = 0.8

PointMm = tuple[float, float, float]


@dataclass(frozen=True)
class Lesion:
    """One 26-connected component of a mask."""

    volume_ml: float
    slices: int
    max_area_mm2: float
    centroid_ras_mm: PointMm
    tada: Tada
    touches_border: bool


@dataclass(frozen=True, eq=False)
class Measurement:
    """All numbers of one mask; `areas_mm2` (K,) has one entry per slice of the scan."""

    volume_ml: float
    lesions: tuple[Lesion, ...]
    slices: int
    max_area_mm2: float
    centroid_ras_mm: PointMm | None
    side: str
    areas_mm2: NDArray[np.float64]
    flags: tuple[str, ...]


def slice_areas_mm2(mask: NDArray[Any], geometry: Geometry) -> NDArray[np.float64]:
    """(K,) area of the mask on each slice, S_n: its pixels times the pixel's area; zeros for an empty mask."""
    region = _Region.around(mask, geometry)
    return np.zeros(geometry.shape[2]) if region is None else region.scan_areas_mm2


def volume_ml(mask: NDArray[Any], geometry: Geometry) -> float:
    """HV = sum over slices of H_n * S_n with the true thickness H_n of each slice; 0.0 for an empty mask."""
    return float(slice_areas_mm2(mask, geometry) @ geometry.slice_thicknesses_mm) / 1000


def measure(mask: NDArray[Any], geometry: Geometry, midline_r_mm: float | None = None) -> Measurement:
    """Volume, areas, lesions, centroid and side of a mask (I, J, K); what is not zero belongs to it.

    Lesions are the 26-connected components, largest volume first. Flags: `touches_border`, a lesion has a voxel in the
    first or last row, column or slice (so in a study of one slice always); `tiny_lesion`, the largest is under 0.1 ml.
    An empty mask measures 0.0 ml and has no lesion, no centroid, no side ("") and no flag.

    Args:
        mask: On the scan's own grid; it is not changed.
        geometry: That grid.
        midline_r_mm: Where the patient's midline lies in R; by default the middle of the grid. The side is "left" or
            "right" with 80 % of the volume beyond it (RAS: R grows towards the patient's right), else "both".

    Raises:
        InputError: The mask's shape is not the scan's.
    """
    return _measurement(_Region.around(mask, geometry), geometry, midline_r_mm)


def measure_labels(
    labels: NDArray[np.integer[Any]], geometry: Geometry, values: Iterable[int], midline_r_mm: float | None = None
) -> dict[int, Measurement]:
    """What `measure` says of each value in a label map (I, J, K), which is looked through once for all of them.

    A value that the map does not hold measures 0.0 ml. Raises InputError as `measure` does.
    """
    if labels.shape != geometry.shape:
        raise InputError(f"the mask's shape is {labels.shape}, expected its scan's {geometry.shape}")
    held = _box_of(labels)
    boxes = {n: _shifted(box, held) for n, box in enumerate(find_objects(labels[held]), 1) if box} if held else {}
    regions = {
        value: _Region(labels[box] == value, box, geometry) if (box := boxes.get(value)) else None for value in values
    }
    return {value: _measurement(region, geometry, midline_r_mm) for value, region in regions.items()}


def _measurement(region: "_Region | None", geometry: Geometry, midline_r_mm: float | None) -> Measurement:
    if region is None:
        return Measurement(0.0, (), 0, 0.0, None, "", np.zeros(geometry.shape[2]), ())
    lesions = tuple(_lesions_of(region))
    return Measurement(
        volume_ml=region.volume_ml,
        lesions=lesions,
        slices=int(np.count_nonzero(region.pixels)),
        max_area_mm2=float(region.areas_mm2.max()),
        centroid_ras_mm=region.centroid_ras_mm,
        side=_side(region, float(geometry.middle_ras_mm[0]) if midline_r_mm is None else midline_r_mm),
        areas_mm2=region.scan_areas_mm2,
        flags=_flags(region, lesions[0]),
    )


@dataclass(frozen=True, eq=False)
class _Region:
    """Part of a mask, cut to its bounding box, and where the box lies in the scan."""

    mask: NDArray[np.bool_]
    box: tuple[slice, slice, slice]
    geometry: Geometry

    @classmethod
    def around(cls, mask: NDArray[Any], geometry: Geometry) -> "_Region | None":
        """The mask in its bounding box; None when it is empty."""
        voxels = np.asarray(mask)
        if voxels.shape != geometry.shape:
            raise InputError(f"the mask's shape is {voxels.shape}, expected its scan's {geometry.shape}")
        box = _box_of(voxels)
        return None if box is None else cls(voxels[box] != 0, box, geometry)

    @property
    def thicknesses_mm(self) -> NDArray[np.float64]:
        return self.geometry.slice_thicknesses_mm[self.box[2]]

    @cached_property
    def pixels(self) -> NDArray[np.intp]:
        return np.asarray(np.count_nonzero(self.mask, axis=(0, 1)))

    @property
    def areas_mm2(self) -> NDArray[np.float64]:
        return np.asarray(self.pixels * self.geometry.pixel_area_mm2, dtype=np.float64)

    @property
    def scan_areas_mm2(self) -> NDArray[np.float64]:
        """The areas with zeros for the slices outside the box, (K,)."""
        areas_mm2 = np.zeros(self.geometry.shape[2])
        areas_mm2[self.box[2]] = self.areas_mm2
        return areas_mm2

    @property
    def volume_ml(self) -> float:
        return float(self.areas_mm2 @ self.thicknesses_mm) / 1000

    @property
    def centroid_ras_mm(self) -> PointMm:
        """Mean position of the voxels' centres, each weighted by its volume."""
        i, j, k = (np.arange(side.start, side.stop) for side in self.box)
        filled = self.pixels > 0
        mean_i = (i @ np.count_nonzero(self.mask, axis=1))[filled] / self.pixels[filled]
        mean_j = (j @ np.count_nonzero(self.mask, axis=0))[filled] / self.pixels[filled]
        centres = self.geometry.to_ras_mm(np.column_stack([mean_i, mean_j, k[filled]]))
        r, a, s = np.average(centres, axis=0, weights=(self.pixels * self.thicknesses_mm)[filled])
        return float(r), float(a), float(s)

    @property
    def touches_border(self) -> bool:
        """Whether a voxel lies in the first or last row, column or slice of the scan, and more may lie beyond."""
        sizes = self.geometry.shape
        return any(side.start == 0 or side.stop == size for side, size in zip(self.box, sizes, strict=True))


def _lesions_of(region: _Region) -> list[Lesion]:
    # cc3d 4.1 fails on small bool boxes such as 1 0 1 and merges voxels of uint8 views that are not contiguous.
    labels = cc3d.connected_components(region.mask.astype(np.uint8, order="C"), connectivity=26)
    boxes = [box for box in find_objects(labels) if box is not None]
    parts = [_Region(labels[box] == n, _shifted(box, region.box), region.geometry) for n, box in enumerate(boxes, 1)]
    return sorted((_lesion(part) for part in parts), key=lambda lesion: lesion.volume_ml, reverse=True)


def _box_of(voxels: NDArray[Any]) -> tuple[slice, slice, slice] | None:
    """What holds all voxels that are not zero; None where there are none."""
    extents = [np.flatnonzero(voxels.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if not len(extents[0]):
        return None
    i, j, k = (slice(int(extent[0]), int(extent[-1]) + 1) for extent in extents)
    return i, j, k


def _shifted(box: tuple[slice, ...], outer: tuple[slice, slice, slice]) -> tuple[slice, slice, slice]:
    i, j, k = (slice(side.start + o.start, side.stop + o.start) for side, o in zip(box, outer, strict=True))
    return i, j, k


def _lesion(part: _Region) -> Lesion:
    estimate = tada_of_slices(part.mask, part.thicknesses_mm, part.geometry.in_plane_mm)
    if estimate is None:
        raise ValueError("a connected component cannot be empty")
    return Lesion(
        volume_ml=part.volume_ml,
        slices=int(np.count_nonzero(part.pixels)),
        max_area_mm2=float(part.areas_mm2.max()),
        centroid_ras_mm=part.centroid_ras_mm,
        tada=estimate,
        touches_border=part.touches_border,
    )


def _flags(region: _Region, largest: Lesion) -> tuple[str, ...]:
    named = {"touches_border": region.touches_border, "tiny_lesion": largest.volume_ml < TINY_LESION_ML}
    return tuple(name for name, applies in named.items() if applies)


def _side(region: _Region, midline_r_mm: float) -> str:
    right = _right_volume_ml(region, midline_r_mm) / region.volume_ml
    if right >= ONE_SIDED_SHARE:
        return "right"
    return "left" if 1 - right >= ONE_SIDED_SHARE else "both"


def _right_volume_ml(region: _Region, midline_r_mm: float) -> float:
    """Volume on the patient's right; a voxel that the midline cuts counts with its share beyond."""
    geometry = region.geometry
    width_mm = np.abs(geometry.affine_ras[0, :3]).sum()
    i, j, k = (np.arange(side.start, side.stop) for side in region.box)
    corners_r_mm = geometry.to_ras_mm(np.column_stack([np.zeros_like(k), np.zeros_like(k), k]))[:, 0]
    in_slice_r_mm = np.add.outer(i * geometry.affine_ras[0, 0], j * geometry.affine_ras[0, 1]) - midline_r_mm
    beyond = [
        np.clip((in_slice_r_mm + corner_r_mm) / width_mm + 0.5, 0, 1).sum(where=region.mask[:, :, n])
        for n, corner_r_mm in enumerate(corners_r_mm)
    ]
    return float(np.array(beyond) @ region.thicknesses_mm) * geometry.pixel_area_mm2 / 1000
