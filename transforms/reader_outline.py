"""Painted blood as a reader would outline it: one line around what belongs together, drawn just outside it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

GAP_MM = 2.0
"""Gaps up to twice as wide are closed over."""
MARGIN_MM = 0.7
"""How far outside half of the density the line is drawn: about where blood begins to be seen."""


def reader_outline(planes: Mask, bone: Mask, pixel_mm: tuple[float, float]) -> Mask:
    """Masks of slices `(K, I, J)`, each grown and closed in its plane; an empty slice stays empty.

    Readers' polygons are coarser and wider than the exact share of blood: they take in narrow gaps and what is blurred.

    Args:
        bone: where no line is drawn.
        pixel_mm: spacing of I and J.
    """
    outlined = planes.copy()
    for k in np.flatnonzero(planes.any((1, 2))):
        box = _around(planes[k], pixel_mm)
        own = np.pad(planes[k][box], 1)
        grown = ndimage.distance_transform_edt(~own, sampling=pixel_mm) <= GAP_MM + MARGIN_MM
        shrunk = ndimage.distance_transform_edt(np.pad(grown, 1, mode="edge"), sampling=pixel_mm) > GAP_MM
        outlined[k][box] |= shrunk[2:-2, 2:-2] & ~bone[k][box]
    return outlined


def _around(plane: Mask, pixel_mm: tuple[float, float]) -> tuple[slice, slice]:
    """The part of a plane that an outline may reach."""
    reach = np.ceil(np.divide(GAP_MM + MARGIN_MM, pixel_mm)).astype(int) + 1
    points = np.argwhere(plane)
    low, high = np.maximum(points.min(0) - reach, 0), points.max(0) + reach + 1
    return slice(low[0], high[0]), slice(low[1], high[1])
