"""Options of `sliceweave prepare`."""

import pytest

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.options import intensity_window
from sliceweave.pipelines.prepare_options import check_label, listed, recoding


def test_options_read_as_typed() -> None:
    assert recoding("2=1,1=0", [1]) == {2: 1, 1: 0}
    assert recoding("", [1]) == {}
    assert listed(" IPH, IVH ,") == ("IPH", "IVH")


@pytest.mark.parametrize("text", ["2", "2=x", "2=1=0", "a=1", "2:1"])
def test_a_recoding_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--recode is VALUE=LABEL"):
        recoding(text, [1])


def test_a_label_the_task_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match=r"--recode names the label 3; the task has 0 and \[1, 2\]"):
        recoding("2=3", [1, 2])
    with pytest.raises(InputError, match="--others names the label 2"):
        check_label(2, [1], "--others")
    check_label(None, [1], "--others")
    check_label(0, [1], "--others")


@pytest.mark.parametrize("text", ["100,-20", "5", "5,5", "a,b", "0,inf", "nan,1", "1,2,3"])
def test_a_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--window is LOW,HIGH in HU"):
        intensity_window(text, "window")
