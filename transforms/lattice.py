"""Fields on the coarse lattice of a generated body, and the shapes they are drawn with.

A body's frame: millimetres, x to the right, y to the front, z up. A shape is a signed distance (mm, positive inside):
distances interpolate between lattice points with crisp edges, image values do not.
"""

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Field = NDArray[Any]
Fields = dict[str, Field]


@dataclass(frozen=True)
class Lattice:
    """A regular grid of points in a body's frame: the first one, their distance, and how many along each axis."""

    low_mm: tuple[float, float, float]
    step_mm: float
    shape: tuple[int, int, int]

    def axes_mm(self) -> tuple[Field, Field, Field]:
        """Open grid of the points' coordinates."""
        axes = [low + self.step_mm * np.arange(count) for low, count in zip(self.low_mm, self.shape, strict=True)]
        x, y, z = np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij", sparse=True)
        return x, y, z

    def noise(self, rng: np.random.Generator, wavelength_mm: float) -> Field:
        """Smooth noise with zero mean and unit deviation; zeros lie about half a wavelength apart."""
        sigma = wavelength_mm / 9 / self.step_mm
        stride = max(1.0, sigma / 1.2)
        coarse = [int(np.ceil(count / stride)) + 1 for count in self.shape]
        white = gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), sigma / stride, mode="wrap")
        fine = torch.nn.functional.interpolate(torch.from_numpy(white)[None, None], self.shape, mode="trilinear")
        smooth: Field = fine[0, 0].numpy()
        scaled: Field = (smooth - smooth.mean()) / smooth.std()
        return scaled


def ramp(distance_mm: Field, width_mm: float = 1.0) -> Field:
    """Share (0…1) of a structure in a sample, from its signed distance and the width of its edge."""
    share: Field = np.clip(distance_mm / np.float32(width_mm) + np.float32(0.5), 0, 1)
    return share


def bump(*offsets: Field) -> Field:
    """Gaussian bell of height 1 over offsets given in standard deviations."""
    return np.exp(-0.5 * sum(offset * offset for offset in offsets))


def union(*fields: Field) -> Field:
    """Signed distance to all of several structures together."""
    return reduce(np.maximum, fields)


def intersection(*fields: Field) -> Field:
    """Signed distance to what several structures share."""
    return reduce(np.minimum, fields)


def ellipsoid(offsets: tuple[Field, Field, Field], radii_mm: tuple[float, float, float]) -> Field:
    """Signed distance (first order) to an ellipsoid, from offsets to its centre."""
    inner = np.sqrt(sum((offset / radius) ** 2 for offset, radius in zip(offsets, radii_mm, strict=True)))
    slope = np.sqrt(sum((offset / radius**2) ** 2 for offset, radius in zip(offsets, radii_mm, strict=True)))
    distance_mm: Field = inner * (1 - inner) / np.maximum(slope, 1e-3)
    return distance_mm


def tube(axes: tuple[Field, Field, Field], knots: tuple[tuple[float, float, float, float], ...]) -> Field:
    """Signed distance to a chain of cones with round ends; a knot is x, y, z and the radius there."""
    parts = []
    for start, stop in pairwise(knots):
        step = np.subtract(stop[:3], start[:3])
        along = sum((axis - s) * d for axis, s, d in zip(axes, start, step, strict=False)) / float(step @ step)
        along = np.clip(along, 0, 1).astype(np.float32)
        apart = sum((axis - s - along * np.float32(d)) ** 2 for axis, s, d in zip(axes, start, step, strict=False))
        parts.append(start[3] + along * (stop[3] - start[3]) - np.sqrt(apart))
    return union(*parts)
