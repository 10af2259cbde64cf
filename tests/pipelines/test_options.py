import pytest

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.options import (
    amount,
    check_schedule,
    in_plane_size,
    intensity_window,
    not_given,
    probability,
    whole_number,
    yes_or_no,
)


@pytest.mark.parametrize(("typed", "meant"), [(True, True), ("true", True), ("False", False), ("false", False)])
def test_yes_and_no_may_come_as_text(typed: object, meant: bool) -> None:
    assert yes_or_no(typed, "resume") is meant


def test_values_in_range_pass_as_they_are() -> None:
    assert probability(0.4) == 0.4
    assert in_plane_size([256, 320]) == [256, 320, -1]
    assert in_plane_size((256, 320)) == [256, 320, -1]
    assert whole_number(3, "slab", odd=True) == 3


@pytest.mark.parametrize(
    ("epochs", "batch_size", "val_interval", "words"),
    [
        ("x", 1, 1, "--epochs is a whole number from 1, got 'x'"),
        (5, 0, 1, "--batch_size is a whole number from 1, got 0"),
        (5, 1, 0, "--val_interval is a whole number from 1, got 0"),
        (5, 1, 6, "--val_interval is at most --epochs .5., else no weights are kept; got 6"),
    ],
)
def test_a_schedule_that_cannot_be_is_one_clear_line(
    epochs: object, batch_size: object, val_interval: object, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        check_schedule(epochs, batch_size, val_interval)
    check_schedule(5, 1, 5)


@pytest.mark.parametrize("typed", ["maybe", None, 2, ""])
def test_neither_yes_nor_no_is_one_clear_line(typed: object) -> None:
    with pytest.raises(InputError, match="--resume is True or False, got"):
        yes_or_no(typed, "resume")


@pytest.mark.parametrize("typed", [0, 1, 5, 40, "abc", (0, 4), True])
def test_a_threshold_is_a_probability(typed: object) -> None:
    with pytest.raises(InputError, match="--threshold is a probability between 0 and 1, got"):
        probability(typed)


def test_an_option_that_a_task_does_not_have_is_refused() -> None:
    not_given(None, "threshold")
    with pytest.raises(InputError, match=r"--threshold means nothing in this task: leave it out; got 0.4"):
        not_given(0.4, "threshold")


@pytest.mark.parametrize("typed", [256, "256", [256], [256, 0], [256.0, 256.0], [1, 2, 3]])
def test_a_plane_has_two_sizes(typed: object) -> None:
    with pytest.raises(InputError, match="--plane_size is two numbers of pixels"):
        in_plane_size(typed)


@pytest.mark.parametrize("typed", [0, -1, 2, 1.0, "3", True])
def test_a_slab_is_odd(typed: object) -> None:
    with pytest.raises(InputError, match="--slab is an odd whole number from 1, got"):
        whole_number(typed, "slab", odd=True)


@pytest.mark.parametrize("typed", [(-20, 100), [-20, 100], "-20,100", "-20, 1e2", (-20.0, 100.0)])
def test_an_intensity_window_is_two_rising_numbers(typed: object) -> None:
    assert intensity_window(typed, "override_intensity") == (-20.0, 100.0)
    assert intensity_window(None, "override_intensity") is None


@pytest.mark.parametrize(
    "typed", ["brain", "", -20, [100, -20], [5, 5], [1, 2, 3], "1,2,3", [0, "inf"], [None, 3], {"a": 1}, [True, 9]]
)
def test_no_intensity_window_is_one_clear_line(typed: object) -> None:
    with pytest.raises(InputError, match="--override_intensity is LOW,HIGH in HU, such as -20,100 for a brain window"):
        intensity_window(typed, "override_intensity")


def test_an_amount_may_be_nothing_at_all() -> None:
    assert (amount(0, "min_lesion_ml"), amount(0.3, "min_lesion_ml")) == (0.0, 0.3)


@pytest.mark.parametrize("typed", [-0.1, "0.1", None, True, float("nan"), float("inf")])
def test_no_amount_is_one_clear_line(typed: object) -> None:
    with pytest.raises(InputError, match="--min_lesion_ml is a number from 0, got"):
        amount(typed, "min_lesion_ml")
