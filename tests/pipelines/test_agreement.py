import numpy as np
import pytest
from scipy.stats import pearsonr

from sliceweave.pipelines.agreement import agreement, concordance, icc21, limits_of_agreement


def test_the_intraclass_correlation_is_that_worked_out_by_hand() -> None:
    # judges 1 and 2 of Shrout and Fleiss 1979, Table 2: sums of squares 281/12 of 5, 961/12 of 1 and 41/12 of 5
    first, second = np.array([9.0, 6, 8, 7, 10, 6]), np.array([2.0, 1, 4, 1, 5, 2])
    cases, raters, residual = 281 / 60, 961 / 12, 41 / 60
    expected = (cases - residual) / (cases + residual + 2 * (raters - residual) / 6)
    assert icc21(first, second) == pytest.approx(expected)


def test_perfect_agreement_is_one_and_the_errors_are_none() -> None:
    found = agreement([1.0, 2.0, 4.0], [1.0, 2.0, 4.0])
    assert (found.rmse_ml, found.mae_ml, found.bias_ml, found.limit_low_ml, found.limit_high_ml) == (0, 0, 0, 0, 0)
    assert (found.pearson_r, found.ccc, found.icc21) == pytest.approx((1, 1, 1))


def test_a_constant_error_costs_concordance_and_not_correlation() -> None:
    found = agreement([2.0, 3.0, 5.0], [1.0, 2.0, 4.0])
    assert (found.rmse_ml, found.mae_ml, found.bias_ml) == pytest.approx((1, 1, 1))
    assert (found.limit_low_ml, found.limit_high_ml) == pytest.approx((1, 1))
    assert found.pearson_r == pytest.approx(1)
    assert found.ccc == pytest.approx(2 * (14 / 9) / (2 * (14 / 9) + 1))
    assert found.icc21 == pytest.approx((14 / 3) / (14 / 3 + 2 * 1.5 / 3))


def test_errors_of_both_signs_cancel_in_the_bias_alone() -> None:
    found = agreement([3.0, 1.0], [1.0, 3.0])
    assert (found.bias_ml, found.mae_ml, found.rmse_ml) == (0, 2, 2)
    width = 1.96 * np.sqrt(8)
    assert (found.limit_low_ml, found.limit_high_ml) == pytest.approx((-width, width))


@pytest.mark.parametrize(
    ("measured", "reference"),
    [([1.0], [2.0]), ([1.0, 2.0], [1.0, 3.0]), ([5.0, 5.0, 5.0], [1.0, 2.0, 3.0]), ([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])],
)
def test_what_is_undefined_stays_empty(measured: list[float], reference: list[float]) -> None:
    found = agreement(measured, reference)
    assert (found.pearson_r, found.ccc, found.icc21) == (None, None, None)
    assert (found.limit_low_ml is None) == (len(measured) < 2)
    assert found.bias_ml == pytest.approx(np.mean(measured) - np.mean(reference))


def test_no_case_has_no_limits() -> None:
    assert limits_of_agreement([]) == (None, None)


def test_coefficients_are_those_of_scipy_and_in_order() -> None:
    random = np.random.default_rng(0)
    reference = random.gamma(2, 10, 50)
    measured = reference * 1.1 + random.normal(0, 3, 50)
    found = agreement(measured, reference)
    assert found.pearson_r == pytest.approx(pearsonr(measured, reference).statistic)
    assert 0 < found.ccc < found.pearson_r
    assert concordance(reference, measured) == pytest.approx(found.ccc)
    assert icc21(reference, measured) == pytest.approx(found.icc21)
