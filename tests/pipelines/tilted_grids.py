"""Grids as scanners give them, even and awkward, around the patient's origin."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.geometry import Geometry

Triple = tuple[float, float, float]


def grid(spacing_mm: Triple, extent_mm: Triple, turn_deg: Triple = (0, 0, 0), tilt_deg: float = 0) -> Geometry:
    """A grid centred on the origin; the gantry's tilt leans its slices against a straight table."""
    shape = tuple(round(length / step) for length, step in zip(extent_mm, spacing_mm, strict=True))
    columns = np.diag(spacing_mm).astype(float)
    tilt = np.radians(tilt_deg)
    columns[:, 1] = spacing_mm[1] * np.array([0, np.cos(tilt), np.sin(tilt)])
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix() @ columns
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Geometry(affine, shape)


def uneven(geometry: Geometry) -> Geometry:
    """The same with every other gap a third narrower, and the affine fitted to that."""
    slices = geometry.shape[2]
    steps = np.where(np.arange(slices - 1) % 2, 4 / 3, 2 / 3)
    places = np.append(0, np.cumsum(steps))
    origins = geometry.affine_ras[:3, 3] + places[:, None] * geometry.affine_ras[:3, 2]
    slope, intercept = np.polyfit(np.arange(slices), places, 1)
    affine = geometry.affine_ras.copy()
    affine[:3, 3] += intercept * geometry.affine_ras[:3, 2]
    affine[:3, 2] *= slope
    return Geometry(affine, geometry.shape, origins)


def voxels_mm(geometry: Geometry) -> NDArray[np.float64]:
    """(I, J, K, 3) places of the voxels' centres."""
    return geometry.to_ras_mm(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), axis=-1))
