"""ABC/2, the bedside estimate of a hematoma's volume (Tada; Kothari et al. 1996, doi:10.1161/01.STR.27.8.1304)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist
from skimage.measure import find_contours

from sliceweave.pipelines.geometry import Geometry

# Symmetric outlines have several longest diameters, equal but for rounding.
TIE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Tada:
    """The three diameters of an ellipsoid's ABC/2, in mm."""

    a_mm: float
    b_mm: float
    c_mm: float

    @property
    def volume_ml(self) -> float:
        """A * B * C / 2."""
        return self.a_mm * self.b_mm * self.c_mm / 2000


def tada(mask: NDArray[Any], geometry: Geometry) -> Tada | None:
    """ABC/2 of everything in the mask (I, J, K), taken as one lesion; None when the mask is empty.

    A is the longest diameter on the slice of largest area, B the longest one at right angles to it on that slice,
    C the summed true thickness of the slices that hold the lesion.

    A and B end on the half-level outline of the mask, which crosses every grid line halfway between a pixel inside
    and one outside: a run of n pixels measures n pixels, and so does one pixel. Discs and boxes come out within one
    pixel of their true diameter; from pixel centres a run would lose a pixel, from pixel corners a disc gain more
    than one. B spans holes and notches. Of equal slices, and of equal diameters A, those count that make A, then B,
    the longest.
    """
    return tada_of_slices(np.asarray(mask) != 0, geometry.slice_thicknesses_mm, geometry.in_plane_mm)


def tada_of_slices(
    mask: NDArray[np.bool_], thicknesses_mm: NDArray[np.float64], in_plane_mm: NDArray[np.float64]
) -> Tada | None:
    """ABC/2 as `tada`, of a stack (I, J, K) cut out of a scan, with the thicknesses (K,) its slices have there."""
    pixels = np.count_nonzero(mask, axis=(0, 1))
    if not pixels.any():
        return None
    c_mm = float(thicknesses_mm[pixels > 0].sum())
    if pixels.max() == 1:
        return Tada(*_pixel_diameters_mm(in_plane_mm), c_mm)
    largest = np.flatnonzero(pixels == pixels.max())
    a_mm, b_mm = max(_diameters_mm(mask[:, :, k], in_plane_mm) for k in largest)
    return Tada(a_mm, b_mm, c_mm)


def _pixel_diameters_mm(in_plane_mm: NDArray[np.float64]) -> tuple[float, float]:
    """A and B of a single pixel, as `_diameters_mm`: its outline is the rhombus whose diagonals are the two steps."""
    products = in_plane_mm.T @ in_plane_mm
    longest = products.diagonal().max()
    a_mm = np.sqrt(longest)
    return float(a_mm), float(abs(np.linalg.det(in_plane_mm)) * a_mm / (longest + abs(products[0, 1])))


def _diameters_mm(slice_mask: NDArray[np.bool_], in_plane_mm: NDArray[np.float64]) -> tuple[float, float]:
    edges_mm = _outline_edges_mm(slice_mask, in_plane_mm)
    outline_mm = edges_mm[:, 0]
    hull_mm = outline_mm[ConvexHull(outline_mm).vertices]
    lengths_mm = pdist(hull_mm)
    pairs = np.flatnonzero(lengths_mm >= lengths_mm.max() * (1 - TIE_TOLERANCE))
    first, second = (ends[pairs] for ends in np.triu_indices(len(hull_mm), k=1))
    directions = (hull_mm[second] - hull_mm[first]) / lengths_mm[pairs, None]
    return float(lengths_mm.max()), max(_longest_chord_mm(edges_mm, direction) for direction in directions)


def _outline_edges_mm(slice_mask: NDArray[np.bool_], in_plane_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2, 2) ends of the straight pieces of all outlines, holes left out: they lie within what A and B span."""
    outlines = find_contours(np.pad(binary_fill_holes(slice_mask), 1).astype(np.float64), 0.5)
    edges = np.concatenate([np.stack([outline[:-1], outline[1:]], axis=1) for outline in outlines])
    return np.asarray(edges @ in_plane_mm.T)


def _longest_chord_mm(edges_mm: NDArray[np.float64], direction: NDArray[np.float64]) -> float:
    """Largest extent of the outline on any line at right angles to the direction.

    Between two neighbouring corners the extent is a convex function of the line's place, so that a corner holds
    its maximum: only lines through corners are looked at.
    """
    along, across = edges_mm @ direction, edges_mm @ np.array([-direction[1], direction[0]])
    places = np.unique(along)
    first = np.searchsorted(places, along.min(axis=1), side="left")
    crossings = np.searchsorted(places, along.max(axis=1), side="right") - first
    edge = np.repeat(np.arange(len(edges_mm)), crossings)
    place = np.arange(len(edge)) - np.repeat(np.cumsum(crossings) - crossings - first, crossings)
    run = along[edge, 1] - along[edge, 0]
    share = np.divide(places[place] - along[edge, 0], run, out=np.zeros(len(edge)), where=run != 0)
    crossed = across[edge, 0] + share * (across[edge, 1] - across[edge, 0])
    upper, lower = np.full(len(places), -np.inf), np.full(len(places), np.inf)
    np.maximum.at(upper, place, crossed)
    np.minimum.at(lower, place, crossed)
    return float((upper - lower).max())
