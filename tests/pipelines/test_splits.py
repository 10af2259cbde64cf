"""Patients drawn into training, validation and test."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.splits import SPLITS, draw_splits, parse_shares

EIGHT_ONE_ONE = {"training": 8.0, "validation": 1.0, "test": 1.0}


def counts(splits: dict[str, str]) -> list[int]:
    return [list(splits.values()).count(split) for split in SPLITS]


def names(count: int) -> list[str]:
    return [f"volume-{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("patients", "expected"),
    [(131, [105, 13, 13]), (10, [8, 1, 1]), (3, [1, 1, 1]), (2, [1, 1, 0]), (1, [1, 0, 0]), (0, [0, 0, 0])],
)
def test_shares_are_met_as_nearly_as_patients_allow(patients: int, expected: list[int]) -> None:
    assert counts(draw_splits(names(patients), {}, EIGHT_ONE_ONE, seed=0)) == expected


def test_a_share_of_zero_gets_nobody() -> None:
    assert counts(draw_splits(names(10), {}, parse_shares("9:1:0"), seed=0)) == [9, 1, 0]


def test_a_seed_draws_the_same_whatever_the_order_and_another_seed_does_not() -> None:
    first = draw_splits(names(40), {}, EIGHT_ONE_ONE, seed=3)
    assert draw_splits(reversed(names(40)), {}, EIGHT_ONE_ONE, seed=3) == first
    assert draw_splits(names(40), {}, EIGHT_ONE_ONE, seed=4) != first


def test_new_patients_move_nobody_and_bring_the_whole_back_to_the_shares() -> None:
    before = draw_splits(names(20), {}, EIGHT_ONE_ONE, seed=0)
    after = draw_splits(names(100), before, EIGHT_ONE_ONE, seed=0)
    assert {name: after[name] for name in before} == before
    assert counts(after) == [80, 10, 10]


def test_what_the_data_set_prescribes_stays() -> None:
    settled = dict.fromkeys(names(30), "test")
    assert draw_splits(names(40), settled, EIGHT_ONE_ONE, seed=0).items() >= settled.items()


@given(st.integers(0, 60), st.integers(0, 1000))
def test_every_patient_has_one_side(patients: int, seed: int) -> None:
    splits = draw_splits(names(patients), {}, EIGHT_ONE_ONE, seed)
    assert set(splits) == set(names(patients))
    assert sum(counts(splits)) == patients


@pytest.mark.parametrize("text", ["8:1", "8:1:1:1", "0:1:1", "-8:1:1", "a:b:c", "inf:1:1", "nan:1:1", ""])
def test_shares_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--split is training:validation:test such as 8:1:1"):
        parse_shares(text)
