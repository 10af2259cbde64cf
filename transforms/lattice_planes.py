"""From a lattice to a scan's own pixels: fields at any height, and means through the thickness of a slice."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.lattice import Field, Lattice, ramp

_LAYER_MM = 1.7
_MOST_LAYERS = 5

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class LatticePlanes:
    """A lattice seen from the slices of a scan (K, I, J) with this spacing, of right, front and up, in mm."""

    lattice: Lattice
    shape: tuple[int, ...]
    spacing_mm: tuple[float, float, float]

    @cached_property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of a slice that the lattice reaches."""
        low = np.ceil(np.divide(self.lattice.low_mm[:2], self.spacing_mm[:2]))
        last_mm = np.add(self.lattice.low_mm[:2], self.lattice.step_mm * (np.array(self.lattice.shape[:2]) - 1))
        high = np.floor(last_mm / self.spacing_mm[:2]) + 1
        low, high = np.clip(low, 0, self.shape[1:]).astype(int), np.clip(high, 0, self.shape[1:]).astype(int)
        return slice(low[0], high[0]), slice(low[1], high[1])

    @cached_property
    def _matrix(self) -> NDArray[np.float64]:
        """Pixel in the box (column, row) → lattice (column, row), as OpenCV wants it."""
        scale = np.divide(self.spacing_mm[:2], self.lattice.step_mm)
        start = [self.box[0].start, self.box[1].start] * scale - np.divide(
            self.lattice.low_mm[:2], self.lattice.step_mm
        )
        return np.array([[scale[1], 0, start[1]], [0, scale[0], start[0]]])

    def layers(self, k: int) -> list[float]:
        """Heights, in lattice planes, through the thickness of slice k."""
        thick_mm = self.spacing_mm[2]
        count = int(np.clip(round(thick_mm / _LAYER_MM), 1, _MOST_LAYERS))
        offsets_mm = ((np.arange(count) + 0.5) / count - 0.5) * thick_mm
        return [float(h) for h in (k * thick_mm + offsets_mm) / self.lattice.step_mm]

    def plane(self, field: Field, height: float) -> Plane:
        """A field at a height, in lattice planes, on the pixels of the box."""
        coarse = between_planes(field, height)
        size = self.box[1].stop - self.box[1].start, self.box[0].stop - self.box[0].start
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(coarse, self._matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))

    def height(self, k: int) -> float:
        """Of the middle of slice k, in lattice planes."""
        return k * self.spacing_mm[2] / self.lattice.step_mm

    def mean(self, field: Field, k: int, edge_mm: float) -> Plane:
        """Share (0…1) of each pixel of slice k, through its thickness, that lies within a signed field."""
        layers = [ramp(self.plane(field, height), edge_mm) for height in self.layers(k)]
        return np.asarray(sum(layers) / np.float32(len(layers)), np.float32)

    def at_slice(self, field: Field, k: int) -> Field:
        """A field in the middle of slice k, at the lattice's own points."""
        return between_planes(field, self.height(k))

    def slices(self, mask: NDArray[np.bool_]) -> Iterator[int]:
        """Slices that show any of the mask."""
        filled = np.flatnonzero(mask.any((0, 1)))
        if filled.size:
            low_mm, high_mm = (filled[[0, -1]] + [-1, 1]) * self.lattice.step_mm
            half_mm = self.spacing_mm[2] / 2
            for k in range(self.shape[0]):
                if low_mm - half_mm <= k * self.spacing_mm[2] <= high_mm + half_mm:
                    yield k


def between_planes(field: Field, height: float) -> Plane:
    """The plane of a field at a height, in planes; the end planes beyond the ends."""
    last = field.shape[2] - 1
    low = int(np.clip(np.floor(height), 0, last))
    share = np.float32(np.clip(height - low, 0, 1))
    high = min(low + 1, last)
    return np.ascontiguousarray(field[..., low] * (1 - share) + field[..., high] * share, np.float32)
