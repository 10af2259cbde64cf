"""How well the scores of slices tell those with haemorrhage from those without."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu


def auc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Chance that a slice with haemorrhage scores above one without; ties count half."""
    statistic = mannwhitneyu(scores[truth], scores[~truth]).statistic
    return float(statistic / (truth.sum() * (~truth).sum()))
