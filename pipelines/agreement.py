"""How well measured volumes agree with reference volumes over a cohort: pure functions, no files.

What a cohort is too small for, or what is undefined since nothing varies, is None.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LIMITS_SD = 1.96
"""Half the width of the limits of agreement, in standard deviations."""

_FEWEST_FOR_LIMITS = 2
_FEWEST_FOR_CORRELATION = 3

Volumes = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Agreement of measured with reference volumes.

    Attributes:
        rmse_ml: root mean square of the differences, measured - reference.
        mae_ml: mean of the absolute differences.
        bias_ml: mean difference.
        limit_low_ml, limit_high_ml: limits of agreement, bias ± 1.96 standard deviations (n - 1) of the differences
            (Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8); two cases are needed.
        pearson_r: correlation; like the next two it needs three cases, and volumes that differ on both sides.
        ccc: concordance correlation coefficient, with variances over n (Lin 1989, doi:10.2307/2532051).
        icc21: intraclass correlation ICC(2,1): two-way random effects, absolute agreement, single measurement (Shrout
            and Fleiss 1979, doi:10.1037/0033-2909.86.2.420).
    """

    rmse_ml: float
    mae_ml: float
    bias_ml: float
    limit_low_ml: float | None
    limit_high_ml: float | None
    pearson_r: float | None
    ccc: float | None
    icc21: float | None


def agreement(measured_ml: Sequence[float], reference_ml: Sequence[float]) -> Agreement:
    """The agreement over one case at least; one measured and one reference volume each."""
    measured, reference = np.asarray(measured_ml, np.float64), np.asarray(reference_ml, np.float64)
    errors_ml = measured - reference
    low_ml, high_ml = limits_of_agreement(errors_ml)
    return Agreement(
        rmse_ml=float(np.sqrt(np.mean(errors_ml**2))),
        mae_ml=float(np.abs(errors_ml).mean()),
        bias_ml=float(errors_ml.mean()),
        limit_low_ml=low_ml,
        limit_high_ml=high_ml,
        pearson_r=pearson_r(measured, reference),
        ccc=concordance(measured, reference),
        icc21=icc21(measured, reference),
    )


def limits_of_agreement(errors: ArrayLike) -> tuple[float | None, float | None]:
    """Bias ± 1.96 standard deviations; None for fewer than two cases."""
    values = np.asarray(errors, np.float64)
    if len(values) < _FEWEST_FOR_LIMITS:
        return None, None
    bias, width = values.mean(), LIMITS_SD * values.std(ddof=1)
    return float(bias - width), float(bias + width)


def pearson_r(first: Volumes, second: Volumes) -> float | None:
    """Pearson's correlation; None where it is undefined."""
    return float(np.corrcoef(first, second)[0, 1]) if _vary(first, second) else None


def concordance(first: Volumes, second: Volumes) -> float | None:
    """Lin's concordance correlation coefficient; None where the two do not vary."""
    if not _vary(first, second):
        return None
    covariance = np.mean((first - first.mean()) * (second - second.mean()))
    return float(2 * covariance / (first.var() + second.var() + (first.mean() - second.mean()) ** 2))


def icc21(first: Volumes, second: Volumes) -> float | None:
    """ICC(2,1) from the mean squares of a two-way analysis of variance; None where the two do not vary."""
    if not _vary(first, second):
        return None
    table = np.column_stack([first, second])
    cases, raters = table.shape
    between_cases = raters * table.mean(axis=1).var(ddof=1)
    between_raters = cases * table.mean(axis=0).var(ddof=1)
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    residual = np.sum(rest**2) / ((cases - 1) * (raters - 1))
    spread = between_cases + (raters - 1) * residual + raters * (between_raters - residual) / cases
    return float((between_cases - residual) / spread)


def _vary(first: Volumes, second: Volumes) -> bool:
    return len(first) >= _FEWEST_FOR_CORRELATION and bool(np.ptp(first) > 0 and np.ptp(second) > 0)
