"""Where the voxels of a generated study lie."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry_checks import LARGEST_SPACING_MM

_STACK_CENTRE_MM = 3.0
_PLANES = {
    "axial": np.eye(3),
    "sagittal": np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),  # columns to the back, rows down, slices to the right
}


@dataclass(frozen=True)
class PhantomOptions:
    """How phantoms are scanned.

    Attributes:
        size: pixels of a slice, one number for a square or (columns, rows).
        spacing_mm: column, row and perpendicular slice distance.
        tilt_deg: gantry tilt; slices lean while the table moves straight, which shears the affine.
        oblique: the whole scan is rotated against the world's axes.
        uneven: slice distances change within the scan, with one overlap, as in base-to-vertex protocols.
        healthy_share: share of studies without a lesion; the first three of every seed always have one.
        even_kinds: lesions that are rare among patients are as frequent as the others; to train on, not to score.
        plane: what a slice is, "axial" or "sagittal".
    """

    size: int | tuple[int, int] = 512
    slices: int = 32
    spacing_mm: tuple[float, float, float] = (0.45, 0.45, 5.0)
    tilt_deg: float = 0.0
    oblique: bool = False
    uneven: bool = False
    healthy_share: float = 0.1
    even_kinds: bool = False
    plane: str = "axial"

    def with_slices(self, slices: int) -> "PhantomOptions":
        """The same stretch of the body in another number of slices.

        Raises:
            InputError: so few that they lie farther apart than any scan's that is read.
        """
        columns_mm, rows_mm, slices_mm = self.spacing_mm
        apart_mm = slices_mm * self.slices / slices
        if apart_mm > LARGEST_SPACING_MM:
            least = math.ceil(slices_mm * self.slices / LARGEST_SPACING_MM)
            raise InputError(f"--slices: {slices} would lie {apart_mm:.3g} mm apart; give {least} or more")
        return replace(self, slices=slices, spacing_mm=(columns_mm, rows_mm, apart_mm))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along each axis of the study."""
        columns, rows = (self.size, self.size) if isinstance(self.size, int) else self.size
        return columns, rows, self.slices


@dataclass(frozen=True)
class ScanGrid:
    """Where the voxels of a scan lie: each slice's first voxel, nominal thickness and two in-plane steps; RAS mm."""

    shape: tuple[int, int, int]
    slice_origins_ras_mm: NDArray[np.float64]
    slice_thickness_mm: NDArray[np.float64]
    steps_ras_mm: NDArray[np.float64]
    affine_ras: NDArray[np.float64]

    @property
    def pixel_mm(self) -> NDArray[np.float64]:
        """Size of a pixel along columns and rows."""
        sizes_mm: NDArray[np.float64] = np.linalg.norm(self.steps_ras_mm, axis=0)
        return sizes_mm

    @property
    def normal_ras(self) -> NDArray[np.float64]:
        """Unit vector perpendicular to the slices, in stacking direction."""
        normal = np.cross(self.steps_ras_mm[:, 0], self.steps_ras_mm[:, 1])
        unit: NDArray[np.float64] = normal / np.linalg.norm(normal)
        return unit


def scan_grid(options: PhantomOptions) -> ScanGrid:
    """Grid of the scan; its affine is the best uniform one where slices are unevenly spaced."""
    turn = Rotation.from_euler("xyz", [9, -7, 12] if options.oblique else [0, 0, 0], degrees=True).as_matrix()
    turn = turn @ _PLANES[options.plane]
    lean = turn @ Rotation.from_euler("x", options.tilt_deg, degrees=True).as_matrix()
    steps = lean[:, :2] * [-options.spacing_mm[0], -options.spacing_mm[1]]
    gaps_mm, thickness_mm = _slice_gaps_mm(options)
    heights_mm = np.concatenate([[0.0], np.cumsum(gaps_mm)])
    # The table moves along the untilted axis, so a perpendicular distance takes a longer way on it.
    table = turn[:, 2] / np.cos(np.radians(options.tilt_deg))
    centre = turn[:, 2] * _STACK_CENTRE_MM - steps @ ((np.array(options.shape[:2]) - 1) / 2)
    origins = centre + np.outer(heights_mm - heights_mm[-1] / 2, table)
    affine = np.eye(4)
    affine[:3, :2] = steps
    affine[:3, 2] = table * options.spacing_mm[2]
    affine[:3, 3] = origins[0]
    if options.uneven and options.slices > 1:
        affine[:3, 2], affine[:3, 3] = np.polyfit(np.arange(options.slices), origins, 1)
    return ScanGrid(options.shape, origins, thickness_mm, steps, affine)


def _slice_gaps_mm(options: PhantomOptions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Perpendicular distances between slices (K - 1) and nominal thicknesses (K)."""
    step_mm, count = options.spacing_mm[2], options.slices
    if not options.uneven:
        return np.full(count - 1, step_mm), np.full(count, step_mm)
    thin = round(0.64 * count)
    thickness_mm = np.where(np.arange(count) < thin, 0.8, 1.4) * step_mm
    gaps_mm = thickness_mm[1:].copy()
    gaps_mm[thin - 1 : thin] = 0.6 * step_mm
    return gaps_mm, thickness_mm
