"""The scanner of generated studies: a head in a pose becomes slices with partial volume, blur, noise and padding."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from sliceweave.pipelines.phantom_grid import ScanGrid
from sliceweave.pipelines.phantom_head import Head
from sliceweave.pipelines.phantom_hematoma import blend_blood, lesion_share
from sliceweave.pipelines.phantom_lattice import LATTICE_LOW_MM, LATTICE_SHAPE, LATTICE_STEP_MM, Field, Fields
from sliceweave.pipelines.phantom_tissue import tissue_hu

_DETAIL_MM = 0.9
_LAYER_MM = 1.6
_PADDING_HU = (-1024, -2000, -3024)


@dataclass(frozen=True)
class Patient:
    """A head and its pose: head = turn @ (world - shift)."""

    head: Head
    turn: NDArray[np.float64]
    shift_ras_mm: NDArray[np.float64]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class _Session:
    """A patient on the table: the grid, the head's fields as one stack, and the pixels that can show the head."""

    patient: Patient
    grid: ScanGrid
    stack: torch.Tensor
    window: tuple[slice, slice]


@dataclass(frozen=True)
class _Scanner:
    """One scanner's habits."""

    noise_hu: float
    grain_mm: float
    sharpness: float
    padding_hu: int | None
    rest_gap_mm: float | None


def scan(patient: Patient, grid: ScanGrid, rng: np.random.Generator) -> tuple[NDArray[np.int16], Field]:
    """Image (HU) and the share of blood in each voxel."""
    scanner = _draw_scanner(rng)
    image_hu = np.empty(grid.shape, np.int16)
    share = np.zeros(grid.shape, np.float32)
    session = _Session(patient, grid, _stacked(patient.head.fields), _window(patient, grid))
    for k in range(grid.shape[2]):
        hu, share[..., k] = _slice(session, k)
        hu = _with_head_rest(hu, grid, scanner)
        image_hu[..., k] = np.rint(_finish(hu, grid, scanner, rng))
    return image_hu, share


def true_volume_ml(patient: Patient, grid: ScanGrid, step_mm: float = 0.7) -> float:
    """Blood inside the scanned stack, integrated far finer than any grid."""
    if "lesion" not in patient.head.fields:
        return 0.0
    axes = []
    for axis, low in enumerate(LATTICE_LOW_MM):
        others = tuple(a for a in range(3) if a != axis)
        hits = np.flatnonzero((patient.head.fields["lesion"] > -LATTICE_STEP_MM).any(axis=others))
        axes.append(np.arange(low + LATTICE_STEP_MM * (hits[0] - 1), low + LATTICE_STEP_MM * (hits[-1] + 1), step_mm))
    points_mm = np.stack(np.meshgrid(*axes, indexing="ij"), -1) @ patient.turn + patient.shift_ras_mm
    lesion = _stacked({"lesion": patient.head.fields["lesion"]})
    share = lesion_share({"lesion": sample(patient, points_mm, lesion)[0]})
    return float(share[_is_scanned(points_mm, grid)].sum(dtype=np.float64)) * step_mm**3 / 1000


def _is_scanned(points_ras_mm: NDArray[np.float64], grid: ScanGrid) -> NDArray[np.bool_]:
    """Whether points lie in the stack; the end slices reach as far outwards as towards their neighbour."""
    centres_mm = grid.slice_origins_ras_mm @ grid.normal_ras
    ends_mm = np.diff(centres_mm)[[0, -1]] if len(centres_mm) > 1 else grid.slice_thickness_mm[[0, 0]]
    heights_mm = points_ras_mm @ grid.normal_ras
    low_mm, high_mm = centres_mm[0] - ends_mm[0] / 2, centres_mm[-1] + ends_mm[1] / 2
    scanned: NDArray[np.bool_] = (heights_mm >= low_mm) & (heights_mm < high_mm)
    return scanned


def _draw_scanner(rng: np.random.Generator) -> _Scanner:
    padding_hu = int(rng.choice(_PADDING_HU)) if rng.uniform() < 0.5 else None
    rest_gap_mm = float(rng.uniform(2, 25)) if rng.uniform() < 0.5 else None
    return _Scanner(rng.uniform(2, 5.5), rng.uniform(0.35, 0.65), rng.uniform(0, 0.8), padding_hu, rest_gap_mm)


def sample(patient: Patient, points_ras_mm: NDArray[np.floating], stack: torch.Tensor) -> NDArray[np.float32]:
    """Values (C, ...) of stacked fields at points (..., 3) of the world; the lattice's border value outside it."""
    scale = 2 / (LATTICE_STEP_MM * (np.array(LATTICE_SHAPE) - 1))
    turn, shift = patient.turn.T * scale, -(patient.turn @ patient.shift_ras_mm + LATTICE_LOW_MM) * scale - 1
    places = points_ras_mm.astype(np.float32) @ turn[:, ::-1].astype(np.float32) + shift[::-1].astype(np.float32)
    grid = torch.from_numpy(places).reshape(1, 1, 1, -1, 3)
    values = torch.nn.functional.grid_sample(stack[None], grid, padding_mode="border", align_corners=True)
    return values.numpy().reshape(len(stack), *points_ras_mm.shape[:-1])


def _stacked(fields: Fields) -> torch.Tensor:
    return torch.from_numpy(np.stack(list(fields.values()), axis=-1, dtype=np.float32, casting="same_kind")).permute(
        3, 0, 1, 2
    )


def _window(patient: Patient, grid: ScanGrid) -> tuple[slice, slice]:
    """Rows and columns that can show the head in any slice."""
    skin = np.argwhere(patient.head.fields["skin"] > -2)
    corners = np.stack(np.meshgrid(*zip(skin.min(0), skin.max(0), strict=True)), -1).reshape(-1, 3)
    corners_mm = (LATTICE_LOW_MM + LATTICE_STEP_MM * corners) @ patient.turn + patient.shift_ras_mm
    offsets = corners_mm[:, None] - grid.slice_origins_ras_mm
    pixels = (offsets @ np.linalg.pinv(grid.steps_ras_mm).T).reshape(-1, 2)
    low = np.maximum(np.floor(pixels.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(pixels.max(0)).astype(int) + 1, grid.shape[:2])
    return slice(low[0], high[0]), slice(low[1], high[1])


def _slice(session: _Session, k: int) -> tuple[Field, Field]:
    """Noise-free slice (HU) and its share of blood: the mean of layers through its thickness."""
    grid = session.grid
    stride = max(1, round(_DETAIL_MM / float(_pixel_mm(grid).min())))
    layers_hu, blood = _evaluate(session, _layers_mm(session, k, stride))
    hu, share = np.full(grid.shape[:2], -1000, np.float32), np.zeros(grid.shape[:2], np.float32)
    for whole, layers in ((hu, layers_hu), (share, blood)):
        fine = cv2.resize(layers.mean(0), None, fx=stride, fy=stride, interpolation=cv2.INTER_LINEAR)
        part = whole[session.window]
        part[...] = fine[: part.shape[0], : part.shape[1]]
    return hu, share


def _evaluate(session: _Session, points_mm: NDArray[np.float32]) -> tuple[Field, Field]:
    """CT numbers and share of blood at points of the world; only the head's points are worked out."""
    patient, stack = session.patient, session.stack
    names = list(patient.head.fields)
    skin = names.index("skin")
    inside = sample(patient, points_mm, stack[skin : skin + 1])[0] > -1
    samples = dict(zip(names, sample(patient, points_mm[inside], stack), strict=True))
    hu, blood = np.full(inside.shape, -1000, np.float32), np.zeros(inside.shape, np.float32)
    hu[inside] = tissue_hu(samples, patient.head.traits)
    if "lesion" in samples:
        hu[inside] = blend_blood(hu[inside], samples, patient.head.traits)
        blood[inside] = lesion_share(samples)
    return hu, blood


def _layers_mm(session: _Session, k: int, stride: int) -> NDArray[np.float32]:
    """World positions (layers, columns, rows, 3) at which a slice is evaluated, every `stride` pixels."""
    grid = session.grid
    columns, rows = (np.arange(span.start, span.stop, stride) + (stride - 1) / 2 for span in session.window)
    count = int(np.clip(round(grid.slice_thickness_mm[k] / _LAYER_MM), 1, 16))
    heights_mm = ((np.arange(count) + 0.5) / count - 0.5) * grid.slice_thickness_mm[k]
    plane = columns[:, None, None] * grid.steps_ras_mm[:, 0] + rows[None, :, None] * grid.steps_ras_mm[:, 1]
    along = (heights_mm[:, None] * grid.normal_ras).astype(np.float32)
    points_mm: NDArray[np.float32] = (plane + grid.slice_origins_ras_mm[k]).astype(np.float32) + along[:, None, None]
    return points_mm


def _pixel_mm(grid: ScanGrid) -> NDArray[np.float64]:
    sizes_mm: NDArray[np.float64] = np.linalg.norm(grid.steps_ras_mm, axis=0)
    return sizes_mm


def _with_head_rest(hu: Field, grid: ScanGrid, scanner: _Scanner) -> Field:
    """The thin shell of a head rest behind the head."""
    if scanner.rest_gap_mm is None:
        return hu
    centre_mm = (np.array(grid.shape[:2]) - 1) / 2 * _pixel_mm(grid)
    across = (np.arange(grid.shape[0]) * _pixel_mm(grid)[0] - centre_mm[0])[:, None]
    down = (np.arange(grid.shape[1]) * _pixel_mm(grid)[1] - centre_mm[1])[None]
    shell = 2.5 - np.abs(np.hypot(across, down + 40) - 142 - scanner.rest_gap_mm)
    shell = np.clip(np.where(down > 20, shell, -9), 0, 1).astype(np.float32)
    return np.where(hu < -900, hu + shell * 900, hu)


def _finish(hu: Field, grid: ScanGrid, scanner: _Scanner, rng: np.random.Generator) -> Field:
    """Kernel, correlated noise and padding outside the reconstructed circle."""
    pixel_mm = float(_pixel_mm(grid).mean())
    # Bone is left out of the sharpening: its undershoot would drown the blood that lies against it.
    soft = np.minimum(hu, 120)
    hu = hu + scanner.sharpness * (soft - cv2.GaussianBlur(soft, (0, 0), 0.8 / pixel_mm))
    white = rng.standard_normal(hu.shape, dtype=np.float32)
    grain = cv2.GaussianBlur(white, (0, 0), max(0.3, scanner.grain_mm / pixel_mm))
    hu = np.clip(hu + grain * (scanner.noise_hu / grain.std()), -1024, 3071)
    if scanner.padding_hu is not None:
        radii = [(np.arange(count) - (count - 1) / 2) * 2 / count for count in hu.shape]
        hu[np.hypot(radii[0][:, None], radii[1]) > 1] = scanner.padding_hu
    return hu
