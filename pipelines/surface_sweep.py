"""Distances between two surfaces on a straight, even grid, exact and without a tree over their points.

A sweep along the axis with the shortest steps, there and back, notes in each voxel how many steps the other surface is
away along that axis: one pass of an exact distance transform (Felzenszwalb and Huttenlocher 2012,
doi:10.4086/toc.2012.v008a019). The nearest surface voxel of any other column is then looked for only from where a
distance is asked, in rings of columns from near to far, until no farther ring can hold a nearer one. Surfaces that
nearly agree are close in almost all places, so that few rings are needed; what is farther is left to a tree, or to the
transform of the whole box (Maurer and others 2003, doi:10.1109/TPAMI.2003.1177156).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.spatial import KDTree

Surface = NDArray[np.bool_]
Distances = NDArray[np.float64]

SPARSE = 300  # voxels for each point from which on a tree over the points is faster than a pass over the voxels

_COLUMNS = 300
_EFFORT = 60  # columns per point, after which most are too far
_NONE = 1 << 15  # steps in a column without a surface; no axis is as long


def swept_distances_mm(surfaces: tuple[Surface, Surface], spacing_mm: Sequence[float]) -> tuple[Distances, Distances]:
    """(N,) and (M,) distances from each surface voxel of the one to the nearest of the other, and back.

    Args:
        surfaces: two masks (I, J, K) of one box, neither empty.
        spacing_mm: lengths of a step along each axis; the axes are at right angles.
    """
    strides = surfaces[0].strides
    axes = sorted(range(3), key=lambda axis: (spacing_mm[axis], -strides[axis]))
    steps_mm = np.array([spacing_mm[axis] for axis in axes])
    columns = _Columns(float(steps_mm[1]), float(steps_mm[2]))
    first, second = (_Swept(columns.padded(surface.transpose(axes)), steps_mm, columns) for surface in surfaces)
    return second.distances_mm(first), first.distances_mm(second)


@dataclass(frozen=True)
class _Columns:
    """The columns around one, as steps along the two axes that are not swept, in rings by their distance."""

    row_mm: float
    column_mm: float

    @property
    def reach_mm(self) -> float:
        return float(np.sqrt(_COLUMNS * self.row_mm * self.column_mm / np.pi))

    @property
    def margins(self) -> tuple[int, int]:
        return int(self.reach_mm / self.row_mm), int(self.reach_mm / self.column_mm)

    @cached_property
    def rings(self) -> dict[float, list[tuple[int, int]]]:
        """Steps by squared distance in mm², nearest first, without the column itself."""
        rows, columns = (np.arange(-margin, margin + 1) for margin in self.margins)
        squared_mm2 = np.add.outer((rows * self.row_mm) ** 2, (columns * self.column_mm) ** 2).round(12)
        rings = defaultdict(list)
        for row, column in np.argwhere((squared_mm2 > 0) & (squared_mm2 <= self.reach_mm**2)):
            rings[float(squared_mm2[row, column])].append((int(rows[row]), int(columns[column])))
        return dict(sorted(rings.items()))

    def padded(self, surface: Surface) -> Surface:
        """The surface with a margin in which every ring ends."""
        return np.pad(np.ascontiguousarray(surface), ((0, 0), *((margin, margin) for margin in self.margins)))


@dataclass(frozen=True, eq=False)
class _Swept:
    """A surface in its padded box, and how far it is along the first axis."""

    surface: Surface
    steps_mm: NDArray[np.float64]
    columns: _Columns

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """(N,) of the surface voxels in the raveled box."""
        return np.flatnonzero(self.surface)

    @cached_property
    def steps(self) -> NDArray[np.uint16]:
        """Raveled box: steps to the surface along the first axis, `_NONE` or more where there is none."""
        free = ~self.surface
        steps = np.empty(free.shape, np.uint16)
        steps[0] = free[0] * np.uint16(_NONE)
        for plane in range(1, len(steps)):
            np.add(steps[plane - 1], 1, out=steps[plane])
            steps[plane] *= free[plane]
        for plane in range(len(steps) - 2, -1, -1):
            np.minimum(steps[plane], steps[plane + 1] + np.uint16(1), out=steps[plane])
        return steps.ravel()

    def distances_mm(self, other: "_Swept") -> Distances:
        """(N,) distance to this surface from each voxel of the other."""
        squared_mm2, far = self._searched(other.places)
        if len(far):
            few = self.surface.size > SPARSE * len(far)
            squared_mm2[far] = (self._of_points_mm2 if few else self._of_all_mm2)(other.places[far])
        return np.asarray(np.sqrt(squared_mm2))

    def _searched(self, places: NDArray[np.intp]) -> tuple[Distances, NDArray[np.intp]]:
        """(N,) squared distances in mm² from the places, and which of them are too far for the rings."""
        squared_of_steps_mm2 = (np.arange(1 << 16) * self.steps_mm[0]) ** 2
        squared_of_steps_mm2[_NONE:] = np.inf
        squared_mm2 = squared_of_steps_mm2[self.steps.take(places)]
        open_ones, effort = np.arange(len(places)), _EFFORT * len(places)
        for ring_mm2, columns in self.columns.rings.items():
            open_ones = open_ones[squared_mm2[open_ones] > ring_mm2]
            effort -= len(open_ones) * len(columns)
            if effort < 0:
                break
            here, nearest_mm2 = places[open_ones], squared_mm2[open_ones]
            for row, column in columns:
                beside = self.steps.take(here + (row * self.surface.shape[2] + column))
                np.minimum(nearest_mm2, ring_mm2 + squared_of_steps_mm2[beside], out=nearest_mm2)
            squared_mm2[open_ones] = nearest_mm2
        else:
            open_ones = open_ones[squared_mm2[open_ones] > self.columns.reach_mm**2]
        return squared_mm2, open_ones

    def _of_points_mm2(self, places: NDArray[np.intp]) -> Distances:
        """Squared distances of a few places."""
        tree = KDTree(self._points_mm(self.places), leafsize=32)
        return np.asarray(tree.query(self._points_mm(places), workers=-1)[0] ** 2)

    def _of_all_mm2(self, places: NDArray[np.intp]) -> NDArray[np.float32]:
        """Squared distances of many places, from a transform of the whole box in single precision."""
        image = sitk.GetImageFromArray(self.surface.view(np.uint8))
        image.SetSpacing(self.steps_mm[::-1].tolist())
        transform = sitk.SignedMaurerDistanceMap(image, squaredDistance=True, useImageSpacing=True)
        return np.abs(sitk.GetArrayViewFromImage(transform).reshape(-1)[places])

    def _points_mm(self, places: NDArray[np.intp]) -> NDArray[np.float64]:
        return np.column_stack(np.unravel_index(places, self.surface.shape)) * self.steps_mm
