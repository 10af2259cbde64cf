"""Which gaps of a DICOM series are too wide because slices are missing, and not by protocol."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.dicom_geometry import distances_mm
from sliceweave.pipelines.dicom_headers import SliceHeader
from sliceweave.pipelines.slice_gaps import Gaps, missing_by_width

_HOLE_TOLERANCE = 0.4


def missing_slices(headers: Sequence[SliceHeader]) -> list[str]:
    """A line for every gap with slices missing, of slices in order.

    Where `missing_by_width` says so, or where the instance numbers leave out about as many slices as fit in.
    """
    along_mm = distances_mm(headers)
    gaps_mm = np.diff(along_mm)
    found = missing_by_width(gaps_mm) | _by_number(gaps_mm, [header.instance for header in headers])
    return [_line(headers[k : k + 2], along_mm[k : k + 2], missing) for k, missing in sorted(found.items())]


def _by_number(gaps_mm: Gaps, instances: Sequence[int | None]) -> dict[int, int]:
    """The same from holes in the instance numbers that a wider gap bears out."""
    numbers = [number for number in instances if number is not None]
    if len(numbers) < max(len(instances), 3):
        return {}
    steps = np.abs(np.diff(numbers))
    counts = steps / max(float(np.median(steps)), 1.0)
    complete = np.flatnonzero(counts == 1)
    holes = [k for k in np.flatnonzero(counts >= 2).tolist() if _fits(gaps_mm, k, counts[k], complete)]
    return {k: round(counts[k]) - 1 for k in holes}


def _fits(gaps_mm: Gaps, k: int, count: float, complete: NDArray[np.intp]) -> bool:
    """Whether `count` gaps like the nearest complete ones make up gap k."""
    nearest = [*complete[complete < k][-1:], *complete[complete > k][:1]]
    if not nearest:
        return False
    beside_mm = count * gaps_mm[nearest]
    return bool((1 - _HOLE_TOLERANCE) * beside_mm.min() <= gaps_mm[k] <= (1 + _HOLE_TOLERANCE) * beside_mm.max())


def _line(beside: Sequence[SliceHeader], along_mm: Gaps, missing: int) -> str:
    names = " and ".join(_name(header) for header in beside)
    slices = "1 slice seems" if missing == 1 else f"{missing} slices seem"
    return (
        f"{slices} to be missing between {names}, a gap of {np.diff(along_mm)[0]:.2f} mm from "
        f"{along_mm[0]:.2f} to {along_mm[1]:.2f} mm along the normal; the slices that are there keep their true places"
    )


def _name(header: SliceHeader) -> str:
    return header.path.name if header.instance is None else f"{header.path.name} (instance {header.instance})"
