"""How sure the mean over a cohort is: an interval by the bootstrap, the same at every run."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0


def mean_interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Lower and upper end of the 95 % percentile interval of the mean over 2,000 resampled cohorts.

    None for fewer than two values. It tells how much the mean depends on which cases happened to be in the cohort.
    """
    if len(values) < 2:
        return None, None
    found = bootstrap(
        (np.asarray(values, np.float64),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return float(found.low), float(found.high)
