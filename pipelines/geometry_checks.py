"""What an affine and slice origins must fulfil before anything is measured on them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sliceweave.pipelines.errors import InputError

SMALLEST_SPACING_MM = 0.05
LARGEST_SPACING_MM = 30.0
SMALLEST_RELATIVE_DET = 1e-3
ORIGIN_TOLERANCE_MM = 0.1


def checked_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape as three integers above zero."""
    sizes = tuple(int(size) for size in shape)
    if len(sizes) != 3 or min(sizes) < 1:
        raise InputError(f"expected a volume of three axes, none empty, but its shape is {sizes}")
    return sizes


def checked_affine(affine_ras: ArrayLike) -> NDArray[np.float64]:
    """A read-only copy of the affine, finite and ending in 0 0 0 1."""
    affine = _read_only(affine_ras, "the affine")
    if affine.shape != (4, 4) or not np.array_equal(affine[3], (0, 0, 0, 1)):
        raise InputError(f"the affine must be a 4 x 4 matrix ending in the row 0 0 0 1, but is {affine.tolist()}")
    return affine


def one_per_slice(values: ArrayLike, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """A read-only copy of the values, finite and of the shape."""
    array = _read_only(values, what)
    if array.shape != shape:
        raise InputError(f"the {what} have shape {array.shape}, expected {shape}: one for each slice of the image")
    return array


def check_spacing(affine_ras: NDArray[np.float64]) -> None:
    """Raises InputError where the affine spans no volume or a spacing is none that a scanner gives."""
    steps_mm = np.linalg.norm(affine_ras[:3, :3], axis=0)
    determinant = abs(np.linalg.det(affine_ras[:3, :3]))
    if determinant <= SMALLEST_RELATIVE_DET * steps_mm.prod():
        raise InputError(
            f"the affine is singular: its voxel steps of {_joined(steps_mm, ' x ')} mm span no volume; "
            "repair the image's header"
        )
    pixel_area_mm2 = np.linalg.norm(np.cross(affine_ras[:3, 0], affine_ras[:3, 1]))
    spacing_mm = np.append(steps_mm[:2], determinant / pixel_area_mm2)
    if spacing_mm.min() < SMALLEST_SPACING_MM or spacing_mm.max() > LARGEST_SPACING_MM:
        raise InputError(
            f"the spacing is {_joined(spacing_mm, ' x ')} mm, expected {SMALLEST_SPACING_MM} to {LARGEST_SPACING_MM} "
            "mm on every axis; is the header in another unit?"
        )


def check_thickness(thickness_mm: NDArray[np.float64]) -> None:
    """Raises InputError where a slice has no thickness."""
    if thickness_mm.min() <= 0:
        raise InputError(f"the slice thicknesses must be above 0 mm, but the least is {thickness_mm.min():g} mm")


def check_origins(
    origins_ras_mm: NDArray[np.float64], affine_ras: NDArray[np.float64], normal_ras: NDArray[np.float64]
) -> None:
    """Raises InputError where slice origins do not advance along the normal or do not fit the affine.

    The even stack fitted to the origins by least squares has to be the affine's, to 0.1 mm at both ends.
    """
    gaps_mm = np.diff(origins_ras_mm @ normal_ras)
    if len(gaps_mm) and gaps_mm.min() < SMALLEST_SPACING_MM:
        k = int(gaps_mm.argmin())
        raise InputError(
            f"the slice origins must advance in the order of the image's slices, but from slice {k} to slice {k + 1} "
            f"they go {gaps_mm[k]:g} mm along the slice normal, expected at least {SMALLEST_SPACING_MM} mm"
        )
    stated = affine_ras[:3, 3], affine_ras[:3, 2]
    fitted = _even_stack(origins_ras_mm) if len(gaps_mm) else (origins_ras_mm[0], stated[1])
    deviation_mm = max(np.linalg.norm(fitted[0] + k * fitted[1] - stated[0] - k * stated[1]) for k in (0, len(gaps_mm)))
    if deviation_mm > ORIGIN_TOLERANCE_MM:
        raise InputError(
            f"slice origins and affine disagree by {deviation_mm:.3g} mm: the origins lie "
            f"{fitted[1] @ normal_ras:.4g} mm apart on average from ({_joined(fitted[0])}) on, the affine's slices "
            f"{stated[1] @ normal_ras:.4g} mm from ({_joined(stated[0])}) on; is this another study's geometry?"
        )


def _even_stack(origins_ras_mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    step, first = np.polyfit(np.arange(len(origins_ras_mm)), origins_ras_mm, deg=1)
    return first, step


def _read_only(values: ArrayLike, what: str) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} must be a regular array of numbers: {error}") from error
    if not np.isfinite(array).all():
        raise InputError(f"{what} must be finite, but NaN or infinity is among the numbers")
    array.setflags(write=False)
    return array


def _joined(numbers: NDArray[np.float64], separator: str = ", ") -> str:
    return separator.join(f"{number:.4g}" for number in numbers)
