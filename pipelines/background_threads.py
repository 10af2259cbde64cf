"""What happens beside the network: the next study is read, the last one written."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from monai.data import DataLoader


class OneAheadLoader(DataLoader):
    """MONAI's loader with one batch ready ahead, made in a thread: never more, so that memory is bounded.

    Takes what MONAI's takes, and no worker processes: a study is too large to be sent from one to another. What the
    data set raises is raised here, in its turn.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        batches = super().__iter__()
        threads = torch.get_num_threads()  # asked first: torch gives a new thread what the last one was set to
        try:
            with ThreadPoolExecutor(1, "reading", single_threaded) as pool:
                ahead = pool.submit(next, batches, None)
                while (batch := ahead.result()) is not None:
                    ahead = pool.submit(next, batches, None)
                    yield batch
        finally:
            torch.set_num_threads(threads)


class OneBehind:
    """Does one thing at a time in a thread: the next begins when the last is done, and none is left waiting."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None

    def start(self, task: Callable[..., None], *arguments: Any) -> None:
        """Begins a task once the last one is done. Raises what that one raised."""
        self.wait()
        torch.get_num_threads()
        self._pool = self._pool or ThreadPoolExecutor(1, "writing", single_threaded)
        self._last = self._pool.submit(task, *arguments)

    def wait(self) -> None:
        """Returns when nothing is being done. Raises what the last task raised, once."""
        last, self._last = self._last, None
        if last is not None:
            last.result()


def single_threaded() -> None:
    """Sets this thread to one core: the network next door keeps the others."""
    torch.set_num_threads(1)
