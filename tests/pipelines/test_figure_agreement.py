import numpy as np
import pytest
from scipy import stats

from sliceweave.pipelines.figure_agreement import agreement


def test_agreement_is_that_of_an_independent_computation() -> None:
    rng = np.random.default_rng(0)
    reference = rng.lognormal(2.5, 1, 40)
    predicted = reference * rng.normal(0.95, 0.1, 40) + 0.5
    found = agreement(predicted, reference)
    difference = predicted - reference
    assert found.bias_ml == pytest.approx(sum(difference) / 40)
    sd = (sum((d - sum(difference) / 40) ** 2 for d in difference) / 39) ** 0.5
    assert found.limit_low_ml == pytest.approx(sum(difference) / 40 - 1.96 * sd)
    assert found.limit_high_ml == pytest.approx(sum(difference) / 40 + 1.96 * sd)
    assert found.pearson_r == pytest.approx(stats.pearsonr(predicted, reference).statistic)
    bias_correction = 2 / (
        np.std(predicted) / np.std(reference)
        + np.std(reference) / np.std(predicted)
        + (predicted.mean() - reference.mean()) ** 2 / (np.std(predicted) * np.std(reference))
    )
    assert found.ccc == pytest.approx(found.pearson_r * bias_correction)


def test_a_shift_leaves_r_and_lowers_concordance() -> None:
    reference = np.array([1.0, 2.0, 3.0])
    found = agreement(reference + 1, reference)
    assert found.pearson_r == pytest.approx(1)
    assert found.ccc == pytest.approx(2 * (2 / 3) / (4 / 3 + 1))
    assert (found.bias_ml, found.limit_low_ml, found.limit_high_ml) == (1, 1, 1)


def test_one_case_has_a_bias_and_nothing_else() -> None:
    found = agreement(np.array([3.0]), np.array([2.0]))
    assert (found.bias_ml, found.limit_low_ml, found.limit_high_ml, found.pearson_r, found.ccc) == (
        1,
        None,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(("predicted", "reference"), [([2, 2, 2], [1, 2, 3]), ([1, 2, 3], [0, 0, 0]), ([0, 0], [0, 0])])
def test_volumes_that_do_not_differ_have_no_correlation(predicted: list[float], reference: list[float]) -> None:
    found = agreement(np.array(predicted, float), np.array(reference, float))
    assert (found.pearson_r, found.ccc) == (None, None)
    assert found.limit_low_ml is not None


def test_two_cases_have_limits_but_no_correlation() -> None:
    found = agreement(np.array([3.0, 5.0]), np.array([2.0, 6.0]))
    assert found.bias_ml == 0
    assert found.limit_high_ml == pytest.approx(1.96 * 2**0.5)
    assert (found.pearson_r, found.ccc) == (None, None)
