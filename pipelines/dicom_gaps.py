"""Which gaps of a DICOM series are too wide because slices are missing, and not by protocol."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.dicom_geometry import distances_mm
from sliceweave.pipelines.dicom_headers import SliceHeader

WIDE = 1.5
_MULTIPLE_TOLERANCE = 0.1
_HOLE_TOLERANCE = 0.4

Gaps = NDArray[np.float64]


def missing_slices(headers: Sequence[SliceHeader]) -> list[str]:
    """A line for every gap with slices missing, of slices in order.

    A gap is too wide where it, or it and the next, is 1.5 times both gaps beside it; at an end of the series where it
    is a whole multiple of the two gaps beside it; or where the instance numbers leave out about as many slices as fit
    in. Protocols that change the distance of slices midway do none of this.
    """
    along_mm = distances_mm(headers)
    gaps_mm = np.diff(along_mm)
    found = _by_width(gaps_mm) | _by_number(gaps_mm, [header.instance for header in headers])
    return [_line(headers[k : k + 2], along_mm[k : k + 2], missing) for k, missing in sorted(found.items())]


def _by_width(gaps_mm: Gaps) -> dict[int, int]:
    """Number of slices missing by the index of the gap."""
    found: dict[int, int] = {}
    for length in (1, 2):
        for start in range(1, len(gaps_mm) - length):
            beside_mm = max(gaps_mm[start - 1], gaps_mm[start + length])
            if gaps_mm[start : start + length].min() >= WIDE * beside_mm:
                found |= {k: _left_out(gaps_mm[k] / beside_mm) for k in range(start, start + length)}
    ends = {0: gaps_mm[1:3], len(gaps_mm) - 1: gaps_mm[-3:-1]}
    multiples = {k: gaps_mm[k] / beside.max() for k, beside in ends.items() if len(beside)}
    return found | {k: _left_out(multiple) for k, multiple in multiples.items() if _is_whole(multiple)}


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


def _left_out(multiple: float) -> int:
    return max(round(multiple) - 1, 1)


def _is_whole(multiple: float) -> bool:
    return multiple >= WIDE and abs(multiple - round(multiple)) <= _MULTIPLE_TOLERANCE * multiple


def _line(beside: Sequence[SliceHeader], along_mm: Gaps, missing: int) -> str:
    names = " and ".join(_name(header) for header in beside)
    slices = "1 slice seems" if missing == 1 else f"{missing} slices seem"
    return (
        f"{slices} to be missing between {names}, a gap of {np.diff(along_mm)[0]:.2f} mm from "
        f"{along_mm[0]:.2f} to {along_mm[1]:.2f} mm along the normal; the slices that are there keep their true places"
    )


def _name(header: SliceHeader) -> str:
    return header.path.name if header.instance is None else f"{header.path.name} (instance {header.instance})"
