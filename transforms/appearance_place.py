"""How a scan lies and is cut: motion, slice thickness, pose, field of view; blood's share goes with the image."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.head_scan import HeadScan, Stack
from sliceweave.transforms.hematoma_growth import draw_seed


@dataclass(frozen=True)
class Motion:
    """Slices that moved against each other, and some that show the head twice.

    Attributes:
        jitter_mm, jitter_deg: deviation of each slice's place.
        ghost_share: how much of a moved slice is the head at another place.
        moved_share: of the slices that have a ghost.
        seed: of each slice's movement.
    """

    jitter_mm: float
    jitter_deg: float
    ghost_share: float
    moved_share: float
    seed: int

    def apply(self, scan: HeadScan) -> HeadScan:
        rng = np.random.default_rng(self.seed)
        hu, share = scan.hu.copy(), scan.share.copy()
        for k in range(len(hu)):
            place, ghost = self._place(rng, scan, 1.0), self._place(rng, scan, 2.5)
            ghost_share = np.float32(self.ghost_share if rng.uniform() < self.moved_share else 0)
            for planes in (hu, share):
                planes[k] = _moved(planes[k], *place)
                planes[k] += ghost_share * (_moved(planes[k], *ghost) - planes[k])
        return scan.on_grid(hu, share, scan.affine_ras)

    def _place(self, rng: np.random.Generator, scan: HeadScan, size: float) -> tuple[float, tuple[float, float]]:
        """How far a slice is turned (degrees) and shifted (pixels)."""
        right_mm, front_mm = rng.normal(0, size * self.jitter_mm, 2)
        turn_deg = float(rng.normal(0, size * self.jitter_deg))
        return turn_deg, (float(right_mm / scan.spacing_mm[0]), float(front_mm / scan.spacing_mm[1]))


@dataclass(frozen=True)
class SliceThickness:
    """The stretch that was scanned in slices of another thickness: means of what linear interpolation gives."""

    thickness_mm: float

    def apply(self, scan: HeadScan) -> HeadScan:
        old_mm, count = scan.spacing_mm[2], len(scan.hu)
        slices = max(1, round(count * old_mm / self.thickness_mm))
        if count == 1 or slices == count:
            return scan
        weights = _thickness_weights(count, slices)
        hu, share = (np.tensordot(weights, planes, 1) for planes in (scan.hu, scan.share))
        factor = count / slices
        affine = scan.affine_ras.copy()
        affine[:3, 3] += affine[:3, 2] * (0.5 * factor - 0.5)
        affine[:3, 2] *= factor
        return scan.on_grid(hu, share, affine)


@dataclass(frozen=True)
class Pose:
    """The head turned and shifted in the plane, mirrored, or scanned with a tilted gantry.

    Tilted slices lie shifted against each other, and the affine says so: nothing is where it was not.
    """

    turn_deg: float
    shift_mm: tuple[float, float]
    tilt_deg: float
    is_mirrored: bool

    def apply(self, scan: HeadScan) -> HeadScan:
        right_mm, front_mm, up_mm = scan.spacing_mm
        lean = float(np.tan(np.radians(self.tilt_deg)) * up_mm / front_mm)
        shift = self.shift_mm[0] / right_mm, self.shift_mm[1] / front_mm
        stacks = []
        for planes in (scan.hu, scan.share):
            own = planes[:, ::-1] if self.is_mirrored else planes
            middle = (len(own) - 1) / 2
            moved = [
                _moved(np.ascontiguousarray(plane), self.turn_deg, (shift[0], shift[1] + lean * (k - middle)))
                for k, plane in enumerate(own)
            ]
            stacks.append(np.stack(moved))
        affine = scan.affine_ras.copy()
        affine[:3, 3] += affine[:3, 1] * lean * (len(scan.hu) - 1) / 2
        affine[:3, 2] -= affine[:3, 1] * lean
        return scan.on_grid(stacks[0], stacks[1], affine)


@dataclass(frozen=True)
class FieldOfView:
    """A part of the scan: 0…1 cut off at each end of right, front and up."""

    cut_low: tuple[float, float, float]
    cut_high: tuple[float, float, float]

    def apply(self, scan: HeadScan) -> HeadScan:
        counts = np.array([*scan.hu.shape[1:], scan.hu.shape[0]])
        low = np.floor(counts * self.cut_low).astype(int)
        high = np.maximum(counts - np.floor(counts * self.cut_high).astype(int), low + 1)
        part = slice(low[2], high[2]), slice(low[0], high[0]), slice(low[1], high[1])
        affine = scan.affine_ras.copy()
        affine[:3, 3] += affine[:3, :3] @ low
        return scan.on_grid(scan.hu[part].copy(), scan.share[part].copy(), affine)


def _moved(plane: NDArray[np.float32], turn_deg: float, shift: tuple[float, float]) -> NDArray[np.float32]:
    """A plane turned about its middle and shifted by so many rows and columns; filled with its darkest value."""
    rows, columns = plane.shape
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), turn_deg, 1.0)
    matrix[:, 2] += np.array([shift[1], shift[0]])
    return np.asarray(cv2.warpAffine(plane, matrix, (columns, rows), borderValue=float(plane.min())))


def _thickness_weights(count: int, slices: int) -> Stack:
    """(slices, count) weights of the old slices in each new one."""
    layers = 12
    places = (np.arange(slices * layers) + 0.5) * count / (slices * layers) - 0.5
    hats = np.clip(1 - np.abs(np.clip(places, 0, count - 1)[:, None] - np.arange(count)), 0, None)
    return np.asarray(hats.reshape(slices, layers, count).mean(1), np.float32)


def draw_motion(rng: np.random.RandomState) -> Motion:
    return Motion(
        jitter_mm=float(rng.uniform(0, 1.2)),
        jitter_deg=float(rng.uniform(0, 0.8)),
        ghost_share=float(rng.uniform(0.15, 0.45)),
        moved_share=float(rng.uniform(0, 0.4)),
        seed=draw_seed(rng),
    )


def draw_slice_thickness(rng: np.random.RandomState) -> SliceThickness:
    """1 to 10 mm; thin slices, which make large files, less often."""
    return SliceThickness(float(rng.uniform(1, 2.5) if rng.uniform() < 0.15 else rng.uniform(2.5, 10)))


def draw_pose(rng: np.random.RandomState) -> Pose:
    return Pose(
        turn_deg=float(rng.normal(0, 12)),
        shift_mm=(float(rng.normal(0, 10)), float(rng.normal(0, 10))),
        tilt_deg=float(rng.uniform(-25, 25)) if rng.uniform() < 0.4 else 0.0,
        is_mirrored=bool(rng.uniform() < 0.5),
    )


def draw_field_of_view(rng: np.random.RandomState) -> FieldOfView:
    """Up to a fifth cut off at each end, now and then."""
    low, high = (np.clip(rng.uniform(-0.2, 0.2, 3), 0, None) for _ in range(2))
    return FieldOfView((float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2])))
