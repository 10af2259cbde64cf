"""Which gaps between slices are too wide because slices are missing, by their widths alone."""

import numpy as np
from numpy.typing import NDArray

Gaps = NDArray[np.float64]

_WIDE = 1.5
_MULTIPLE_TOLERANCE = 0.1


def missing_by_width(gaps_mm: Gaps) -> dict[int, int]:
    """Number of slices that are missing, by the index of the gap (K - 1,) in which they are.

    A gap is too wide where it, or it and the next, is 1.5 times both gaps beside it; at an end of the series where it
    is a whole multiple of the two gaps beside it. Protocols that change the distance of slices midway do neither.
    """
    found: dict[int, int] = {}
    for length in (1, 2):
        for start in range(1, len(gaps_mm) - length):
            beside_mm = max(gaps_mm[start - 1], gaps_mm[start + length])
            if gaps_mm[start : start + length].min() >= _WIDE * beside_mm:
                found |= {k: _left_out(gaps_mm[k] / beside_mm) for k in range(start, start + length)}
    ends = {0: gaps_mm[1:3], len(gaps_mm) - 1: gaps_mm[-3:-1]}
    multiples = {k: gaps_mm[k] / beside.max() for k, beside in ends.items() if len(beside)}
    return found | {k: _left_out(multiple) for k, multiple in multiples.items() if _is_whole(multiple)}


def _left_out(multiple: float) -> int:
    return max(round(multiple) - 1, 1)


def _is_whole(multiple: float) -> bool:
    return multiple >= _WIDE and abs(multiple - round(multiple)) <= _MULTIPLE_TOLERANCE * multiple
