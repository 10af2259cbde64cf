"""How generated bodies are scanned: slices where the grid has them, with partial volume through their thickness."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.phantom_grid import ScanGrid
from sliceweave.pipelines.phantom_subject import Sampler, Subject
from sliceweave.transforms.lattice import Field

Finish = Callable[[Field, ScanGrid, np.random.Generator], Field]
"""What a scanner adds to a slice: kernel, noise, padding."""

_DETAIL_MM = 0.9
_LAYER_MM, _MOST_LAYERS = 1.6, 8
_FINEST_MM, _MOST_POINTS = 0.7, 4e6


@dataclass(frozen=True)
class _Session:
    """A subject on the table: its fields ready to be sampled, and the pixels that can show it."""

    subject: Subject
    grid: ScanGrid

    @cached_property
    def outline(self) -> Sampler:
        return self.subject.sampler((self.subject.outline,))

    @cached_property
    def fields(self) -> Sampler:
        return self.subject.sampler()

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns that can show the subject in any slice."""
        subject, grid = self.subject, self.grid
        body = np.argwhere(subject.fields[subject.outline] > -2)
        corners = np.stack(np.meshgrid(*zip(body.min(0), body.max(0), strict=True)), -1).reshape(-1, 3)
        lattice = subject.lattice
        corners_mm = (np.array(lattice.low_mm) + lattice.step_mm * corners) @ subject.turn + subject.shift_ras_mm
        offsets = corners_mm[:, None] - grid.slice_origins_ras_mm
        pixels = (offsets @ np.linalg.pinv(grid.steps_ras_mm).T).reshape(-1, 2)
        low = np.maximum(np.floor(pixels.min(0)).astype(int), 0)
        high = np.minimum(np.ceil(pixels.max(0)).astype(int) + 1, grid.shape[:2])
        return slice(low[0], high[0]), slice(low[1], high[1])


def scan(
    subject: Subject, grid: ScanGrid, finish: Finish, rng: np.random.Generator
) -> tuple[NDArray[np.int16], dict[int, Field]]:
    """Image, and by label value the share of the structure in each voxel."""
    image = np.empty(grid.shape, np.int16)
    shares = {value: np.zeros(grid.shape, np.float32) for value in subject.labels}
    session = _Session(subject, grid)
    for k in range(grid.shape[2]):
        clean, *found = _slice(session, k)
        image[..., k] = np.rint(finish(clean, grid, rng))
        for share, plane in zip(shares.values(), found, strict=True):
            share[..., k] = plane
    return image, shares


def true_volume_ml(subject: Subject, grid: ScanGrid, label: int) -> float:
    """A label's volume inside the scanned stack, integrated far finer than any grid."""
    lattice, share_of = subject.lattice, subject.labels[label]
    present = share_of(subject.fields) > 0
    if not present.any():
        return 0.0
    corners = np.argwhere(present)
    low_mm, high_mm = (
        np.array(lattice.low_mm) + lattice.step_mm * corner for corner in (corners.min(0) - 1, corners.max(0) + 1)
    )
    step_mm = max(_FINEST_MM, float(np.cbrt(np.prod(high_mm - low_mm) / _MOST_POINTS)))
    axes = [np.arange(first, last, step_mm) for first, last in zip(low_mm, high_mm, strict=True)]
    sample = subject.sampler()
    total = 0.0
    for x in axes[0]:  # plane by plane: a body is too large to be sampled at once
        points = np.stack(np.meshgrid(x, axes[1], axes[2], indexing="ij"), -1)
        points_mm = points @ subject.turn + subject.shift_ras_mm
        inside = _is_scanned(points_mm, grid)
        total += float(share_of(sample(points_mm))[inside].sum(dtype=np.float64))
    return total * step_mm**3 / 1000


def _is_scanned(points_ras_mm: NDArray[np.float64], grid: ScanGrid) -> NDArray[np.bool_]:
    """Whether points lie in the stack; the end slices reach as far outwards as towards their neighbour."""
    centres_mm = grid.slice_origins_ras_mm @ grid.normal_ras
    ends_mm = np.diff(centres_mm)[[0, -1]] if len(centres_mm) > 1 else grid.slice_thickness_mm[[0, 0]]
    heights_mm = points_ras_mm @ grid.normal_ras
    low_mm, high_mm = centres_mm[0] - ends_mm[0] / 2, centres_mm[-1] + ends_mm[1] / 2
    scanned: NDArray[np.bool_] = (heights_mm >= low_mm) & (heights_mm < high_mm)
    return scanned


def _slice(session: _Session, k: int) -> list[Field]:
    """A slice without noise and its labels' shares: the means of layers through its thickness."""
    grid = session.grid
    stride = max(1, round(_DETAIL_MM / float(grid.pixel_mm.min())))
    planes = []
    for layers, outside in zip(*_evaluate(session, _layers_mm(session, k, stride)), strict=True):
        plane = np.full(grid.shape[:2], outside, np.float32)
        fine = cv2.resize(layers.mean(0), None, fx=stride, fy=stride, interpolation=cv2.INTER_LINEAR)
        part = plane[session.window]
        part[...] = fine[: part.shape[0], : part.shape[1]]
        planes.append(plane)
    return planes


def _evaluate(session: _Session, points_mm: NDArray[np.float32]) -> tuple[list[Field], list[float]]:
    """Image and labels' shares at points of the world, and what each is outside the subject."""
    subject = session.subject
    inside = session.outline(points_mm)[subject.outline] > -1
    samples = session.fields(points_mm[inside])
    results, outside = [], [subject.background, *[0.0] * len(subject.labels)]
    for value, found_by in zip(outside, (subject.appearance, *subject.labels.values()), strict=True):
        whole = np.full(inside.shape, value, np.float32)
        whole[inside] = found_by(samples)
        results.append(whole)
    return results, outside


def _layers_mm(session: _Session, k: int, stride: int) -> NDArray[np.float32]:
    """World positions (layers, columns, rows, 3) at which a slice is evaluated, every `stride` pixels."""
    grid = session.grid
    columns, rows = (np.arange(span.start, span.stop, stride) + (stride - 1) / 2 for span in session.window)
    count = int(np.clip(round(grid.slice_thickness_mm[k] / _LAYER_MM), 1, _MOST_LAYERS))
    heights_mm = ((np.arange(count) + 0.5) / count - 0.5) * grid.slice_thickness_mm[k]
    plane = columns[:, None, None] * grid.steps_ras_mm[:, 0] + rows[None, :, None] * grid.steps_ras_mm[:, 1]
    along = (heights_mm[:, None] * grid.normal_ras).astype(np.float32)
    points_mm: NDArray[np.float32] = (plane + grid.slice_origins_ras_mm[k]).astype(np.float32) + along[:, None, None]
    return points_mm
