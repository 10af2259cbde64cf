import numpy as np
import pytest

from sliceweave.pipelines.mean_interval import mean_interval


def test_the_interval_is_the_same_at_every_run_and_holds_the_mean() -> None:
    values = np.random.default_rng(0).gamma(2, 3, 30).tolist()
    low, high = mean_interval(values)
    assert (low, high) == mean_interval(values)
    assert low < np.mean(values) < high


def test_it_is_as_wide_as_theory_has_it() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = mean_interval(values.tolist())
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


def test_equal_values_leave_no_doubt_and_fewer_than_two_no_answer() -> None:
    assert mean_interval([0.5] * 5) == (0.5, 0.5)
    assert mean_interval([0.5]) == (None, None)
    assert mean_interval([]) == (None, None)
