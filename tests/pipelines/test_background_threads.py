"""What happens beside the network, and how far ahead or behind it may be."""

import threading
from typing import Any

import pytest
import torch
from monai.data import Dataset

from sliceweave.pipelines.background_threads import OneAheadLoader, OneBehind


class Counted(Dataset):
    """Numbers, and which of them were asked for."""

    def __init__(self, count: int, bad: int = -1) -> None:
        super().__init__([{"n": n} for n in range(count)])
        self.bad = bad
        self.made: list[int] = []
        self.began = [threading.Event() for _ in range(count + 2)]

    def __getitem__(self, index: Any) -> dict[str, int]:
        self.began[index].set()
        if index == self.bad:
            raise OSError("gone")
        self.made.append(index)
        return {"n": index}


def test_one_study_is_read_ahead_and_never_two() -> None:
    studies = Counted(5)
    for number, batch in enumerate(OneAheadLoader(studies, batch_size=1)):
        assert batch["n"].item() == number
        if number < 4:
            assert studies.began[number + 1].wait(10)
        assert not studies.began[number + 2].is_set()
    assert studies.made == [0, 1, 2, 3, 4]


def test_no_studies_are_no_batches() -> None:
    assert list(OneAheadLoader(Dataset([]), batch_size=1)) == []


def test_what_the_data_set_raises_is_raised_in_its_turn() -> None:
    loader = iter(OneAheadLoader(Counted(3, bad=1), batch_size=1))
    assert next(loader)["n"].item() == 0
    with pytest.raises(OSError, match="gone"):
        next(loader)


def test_reading_in_a_thread_leaves_the_networks_threads_alone() -> None:
    before = torch.get_num_threads()
    inside = [torch.get_num_threads() for _ in OneAheadLoader(Counted(2), batch_size=1)]
    assert [*inside, torch.get_num_threads()] == [before] * 3


def test_one_thing_is_done_behind_at_a_time_and_in_order() -> None:
    behind, done, may_end = OneBehind(), [], threading.Event()

    def slow(name: str) -> None:
        may_end.wait(10)
        done.append(name)

    behind.start(slow, "first")
    assert done == []
    may_end.set()
    behind.start(slow, "second")
    assert done[0] == "first"
    behind.wait()
    assert done == ["first", "second"]
    behind.wait()


def test_what_a_task_raised_comes_up_once_when_it_is_waited_for() -> None:
    behind = OneBehind()
    behind.start(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        behind.start(print, "never")
    behind.wait()
