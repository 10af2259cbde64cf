import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from sliceweave.pipelines.conformal import calibrate, cases_needed, interval_ml, quantile, quantile_rank, scores
from sliceweave.pipelines.errors import InputError


def cohort(studies: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Volumes, references and spreads of studies whose error grows with their size, and that of a few with nothing."""
    rng = np.random.default_rng(seed)
    references = rng.lognormal(2.5, 1.2, studies) * (rng.random(studies) > 0.1)
    spreads = 0.05 * references * rng.lognormal(0, 0.5, studies)
    volumes = np.maximum(references + rng.normal(0, 1, studies) * (0.1 * references + 0.3), 0)
    return volumes, references, spreads


def test_a_score_is_the_error_by_the_spread_and_half_a_millilitre() -> None:
    assert scores([10.0, 3.0], [12.0, 3.5], [1.5, 0.0]).tolist() == [1.0, 1.0]


def test_the_quantile_is_the_score_of_the_finite_sample_rank() -> None:
    found = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))
    assert quantile(found, 0.9) == 18
    assert quantile(found, 0.95) == 19
    assert quantile(found, 0.5) == 10
    assert calibrate(np.zeros(19), 0.5 * found, np.zeros(19), 0.9) == 18


@pytest.mark.parametrize("percent", [10, 50, 55, 80, 90, 95, 99])
def test_ranks_are_those_of_exact_arithmetic(percent: int) -> None:
    for cases in range(1, 300):
        assert quantile_rank(cases, percent / 100) == -(-(cases + 1) * percent // 100)


@pytest.mark.parametrize("coverage", [0.5, 0.66, 0.8, 0.9, 0.95, 0.99])
def test_there_is_a_quantile_from_the_number_of_cases_that_one_over_alpha_says(coverage: float) -> None:
    alpha = 1 - Fraction(str(coverage))
    needed = math.ceil(1 / alpha) - 1
    assert cases_needed(coverage) == needed
    assert quantile(np.ones(needed), coverage) == 1
    assert quantile(np.ones(needed - 1), coverage) is None
    assert calibrate([], [], [], coverage) is None


def test_an_interval_reaches_alike_to_both_sides_and_never_below_zero() -> None:
    low, high = interval_ml([10.0, 1.0, 0.0], [1.5, 0.5, 0.0], 2.0)
    assert low.tolist() == [6.0, 0.0, 0.0]
    assert high.tolist() == [14.0, 3.0, 1.0]


def test_coverage_over_200_random_splits_is_the_nominal_one_and_spreads_as_theory_says() -> None:
    calibration, tested, splits, coverage = 200, 1800, 200, 0.9
    volumes, references, spreads = cohort(calibration + tested, 0)
    rng, found = np.random.default_rng(1), []
    for _ in range(splits):
        chosen, others = np.split(rng.permutation(len(volumes)), [calibration])
        score = calibrate(volumes[chosen], references[chosen], spreads[chosen], coverage)
        assert score is not None
        low, high = interval_ml(volumes[others], spreads[others], score)
        found.append(np.mean((low <= references[others]) & (references[others] <= high)))
    rank = quantile_rank(calibration, coverage)
    theory = stats.betabinom(tested, rank, calibration + 1 - rank)
    print(f"coverage {np.mean(found):.4f} ± {np.std(found):.4f}, theory {theory.mean() / tested:.4f} ± ", end="")
    print(f"{theory.std() / tested:.4f}")
    assert abs(np.mean(found) - coverage) < 0.01
    assert np.mean(found) == pytest.approx(theory.mean() / tested, abs=4 * theory.std() / tested / math.sqrt(splits))
    assert np.std(found) == pytest.approx(theory.std() / tested, rel=0.2)


@pytest.mark.parametrize("coverage", [0, 1, 1.5, -0.1, math.nan, "0.9", True])
def test_a_coverage_is_a_share_between_0_and_1(coverage: object) -> None:
    with pytest.raises(InputError, match="--coverage is a share between 0 and 1"):
        quantile(np.ones(50), coverage)


@pytest.mark.parametrize("numbers", [([np.nan], [1], [1]), ([1], [np.inf], [1]), ([1], [1], [-0.1])])
def test_numbers_that_cannot_be_are_refused(numbers: tuple[list[float], ...]) -> None:
    with pytest.raises(InputError, match="expected finite volumes and spreads from 0 ml"):
        calibrate(*numbers)
