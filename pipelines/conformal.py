"""Split-conformal intervals around a volume: pure functions.

The score of a study is |reference − volume| / (spread + 0.5 ml): an error counts for less where test-time augmentation
is unsure, and half a millilitre keeps a spread of zero from counting as certainty. If calibration studies and a new
study are exchangeable, the interval holds the new one's true volume with at least the stated probability, on average
over both (Papadopoulos et al. 2002, doi:10.1007/3-540-36755-1_29; Lei et al. 2018, doi:10.1080/01621459.2017.1307116).
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sliceweave.pipelines.errors import InputError

OFFSET_ML = 0.5
Volumes = NDArray[np.float64]


def calibrate(
    volumes_ml: ArrayLike, references_ml: ArrayLike, spreads_ml: ArrayLike, coverage: float = 0.9
) -> float | None:
    """The quantile of the studies' scores with which `interval_ml` covers; None where there are too few studies.

    Args:
        volumes_ml, references_ml, spreads_ml: (n,) measured, true, and standard deviation under augmentation.
        coverage: 1 − α.

    Raises:
        InputError: a coverage that is no share between 0 and 1, or a number that is not finite, or a negative spread.
    """
    return quantile(scores(volumes_ml, references_ml, spreads_ml), coverage)


def scores(volumes_ml: ArrayLike, references_ml: ArrayLike, spreads_ml: ArrayLike) -> Volumes:
    """|v − v̂| / (spread + 0.5 ml) of each study.

    Raises:
        InputError: a number that is not finite, or a negative spread.
    """
    volumes, references, spreads = (np.asarray(v, np.float64) for v in (volumes_ml, references_ml, spreads_ml))
    found = np.abs(references - volumes) / (spreads + OFFSET_ML)
    if not np.isfinite(found).all() or (spreads < 0).any():
        raise InputError("calibration: expected finite volumes and spreads from 0 ml, got others; leave them out")
    return np.asarray(found)


def quantile(calibration_scores: Volumes, coverage: float) -> float | None:
    """The ⌈(n + 1)(1 − α)⌉-th smallest of n scores; None with fewer than ⌈1/α⌉ − 1, where no finite one covers.

    Raises:
        InputError: a coverage that is no share between 0 and 1.
    """
    rank = quantile_rank(len(calibration_scores), coverage)
    if rank > len(calibration_scores):
        return None
    return float(np.partition(calibration_scores, rank - 1)[rank - 1])


def quantile_rank(cases: int, coverage: float) -> int:
    """⌈(n + 1)(1 − α)⌉, without the rounding of 0.55 · 100 to 55.000000000000007. Raises InputError as `quantile`."""
    return math.ceil((cases + 1) * _exact(coverage))


def cases_needed(coverage: float) -> int:
    """⌈1/α⌉ − 1, the fewest studies that give an interval. Raises InputError as `quantile`."""
    return math.ceil(1 / (1 - _exact(coverage))) - 1


def interval_ml(volumes_ml: ArrayLike, spreads_ml: ArrayLike, score: float) -> tuple[Volumes, Volumes]:
    """Lower ends, at least 0, and upper ends of the volumes' intervals, for the quantile of a calibration."""
    volumes, spreads = np.asarray(volumes_ml, np.float64), np.asarray(spreads_ml, np.float64)
    reach = score * (spreads + OFFSET_ML)
    return np.maximum(volumes - reach, 0.0), np.asarray(volumes + reach)


def _exact(coverage: float) -> Fraction:
    if isinstance(coverage, bool) or not isinstance(coverage, int | float) or not 0 < coverage < 1:
        raise InputError(f"--coverage is a share between 0 and 1, such as 0.9, got {coverage!r}")
    return Fraction(str(float(coverage)))
