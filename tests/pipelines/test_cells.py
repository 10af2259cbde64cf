import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sliceweave.pipelines.cells import format_cell, format_number, guard, printable, unguard


@settings(deadline=None)
@given(st.text())
def test_unguarding_gives_back_any_text(text: str) -> None:
    assert unguard(guard(text)) == text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "'"])
def test_text_a_spreadsheet_would_run_is_guarded(start: str) -> None:
    assert guard(f"{start}1+1") == f"'{start}1+1"


def test_other_text_is_left_alone() -> None:
    assert [guard(text) for text in ("pt-079", "a=b", "", "007")] == ["pt-079", "a=b", "", "007"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (19.1082468, "19.1082"),
        (0.0010125, "0.0010125"),
        (1.23456789e-7, "0.000000123"),
        (1234567.89, "1234570.0"),
        (12.0, "12.0"),
        (0.0, "0.0"),
        (-0.0, "0.0"),
        (1e-16, "0.0"),
        (-34.5, "-34.5"),
        (math.nan, ""),
        (math.inf, ""),
    ],
)
def test_numbers_have_six_digits_and_no_exponent(number: float, text: str) -> None:
    assert format_number(number) == text


@settings(deadline=None)
@given(st.floats(min_value=1e-6, max_value=1e7))
def test_a_number_is_kept_to_its_fifth_digit(number: float) -> None:
    assert float(format_number(number)) == pytest.approx(number, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("plain", "numpy"), [(3, np.int64(3)), (True, np.bool_(True)), (0.25, np.float32(0.25)), (-1.5, np.float64(-1.5))]
)
def test_numpy_and_python_cells_look_the_same(plain: Any, numpy: Any) -> None:
    assert format_cell(plain) == format_cell(numpy)


def test_only_text_is_guarded() -> None:
    assert [format_cell(cell) for cell in (-5, -5.0, "-5", None)] == ["-5", "-5.0", "'-5", ""]


def test_bytes_that_are_no_text_become_escapes() -> None:
    assert printable(b"scan\xff".decode("utf-8", "surrogateescape")) == "scan\\udcff"
