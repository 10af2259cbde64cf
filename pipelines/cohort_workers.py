"""Worker processes of a cohort on one machine: each takes one study at a time, and losing one loses no study."""

import contextlib
import math
import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any, final

from sliceweave.pipelines.cohort_jobs import ATTEMPTS, Crew, Job, Lost, Outcome, Seat
from sliceweave.pipelines.cohort_recipe import Recipe
from sliceweave.pipelines.cohort_serving import serve
from sliceweave.pipelines.errors import InputError

LONGEST_START_S = 600.0
_END_S = 10.0


@final
class Workers:
    """Worker processes that go on from one call of `outcomes` to the next, until `close`."""

    def __init__(self, recipe: Recipe, crew: Crew) -> None:
        self._recipe = recipe
        self._crew = crew
        self._workers = [_Worker(recipe, crew.seat(number)) for number in range(crew.workers)]
        self._lost_at_start = 0

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers, whatever they are doing."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.end()

    def outcomes(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Each job once, in the order in which they are finished.

        Raises:
            InputError: no study can be done at all: the output folder or the weights cannot be used.
        """
        waiting = deque(jobs)
        while waiting or any(worker.job for worker in self._workers):
            for worker in self._workers:
                if waiting and worker.is_free:
                    worker.give(waiting.popleft(), self._crew.timeout_s)
            for number in self._ready():
                yield from self._outcome(number, waiting)

    def _ready(self) -> list[int]:
        """Numbers of the workers that have said something, died, or are out of time; waits for the first."""
        pause_s = min(worker.deadline_s for worker in self._workers) - time.monotonic()
        spoke = wait([worker.pipe for worker in self._workers], None if math.isinf(pause_s) else max(0.0, pause_s))
        now_s = time.monotonic()
        return [n for n, w in enumerate(self._workers) if w.pipe in spoke or w.deadline_s <= now_s]

    def _outcome(self, number: int, waiting: "deque[Job]") -> Iterator[Outcome]:
        worker = self._workers[number]
        try:
            said = worker.heard()
        except (EOFError, OSError):
            yield from self._loss(number, waiting)
            return
        self._lost_at_start = 0
        if isinstance(said, str):
            raise InputError(said)
        job = worker.free()
        if job:
            yield job, said

    def _loss(self, number: int, waiting: "deque[Job]") -> Iterator[Outcome]:
        """Puts another in the worker's place; its study is tried again, unless it is what ended the worker."""
        worker = self._workers[number]
        was_late, job = worker.deadline_s <= time.monotonic(), worker.job
        worker.end()
        if not worker.has_started:
            self._check_start(worker.how_it_ended(), was_late)
        self._workers[number] = _Worker(self._recipe, self._crew.seat(number))
        if job is None:
            return
        if was_late:
            yield job, Lost(f"took longer than {self._crew.timeout_s:g} s (--timeout): its file or the worker hangs")
        elif job.attempt < ATTEMPTS:
            waiting.appendleft(replace(job, attempt=job.attempt + 1))
        else:
            yield job, Lost(f"its worker was lost {job.attempt} times, the last one {worker.how_it_ended()}")

    def _check_start(self, how: str, was_late: bool) -> None:
        self._lost_at_start += 1
        if self._lost_at_start > ATTEMPTS:
            what = f"took longer than {LONGEST_START_S:g} s" if was_late else how
            raise InputError(f"no worker gets as far as its first study: the last one {what}; try fewer --workers")


@final
class _Worker:
    """One process, and what the driver knows of it."""

    def __init__(self, recipe: Recipe, seat: Seat) -> None:
        spawn = multiprocessing.get_context("spawn")  # a fork would take torch's locks along
        self.pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=serve, args=(theirs, recipe, seat), daemon=True)
        with _deaf_to_ctrl_c():
            self._process.start()
        theirs.close()
        self.job: Job | None = None
        self.has_started = self.is_free = False
        self.deadline_s = time.monotonic() + LONGEST_START_S

    def give(self, job: Job, timeout_s: float) -> None:
        """Sends a study; where the process is gone, that shows as its loss."""
        self.job, self.is_free, self.deadline_s = job, False, time.monotonic() + timeout_s
        with contextlib.suppress(OSError):
            self.pipe.send(job)

    def heard(self) -> Any:
        """What it said: None once it can take its first study, then what became of each, or a text if it gives up.

        Raises:
            EOFError: it is gone, or was out of time and has been ended.
        """
        if not self.pipe.poll():
            self.end()
        if not self.pipe.poll():  # a process that hangs in the system cannot be ended, nor closes its pipe
            raise EOFError
        return self.pipe.recv()

    def free(self) -> Job | None:
        """Marks it as free for the next study. Returns the one it had."""
        job, self.job = self.job, None
        self.has_started = self.is_free = True
        self.deadline_s = math.inf
        return job

    def kill(self) -> None:
        """Ends the process, without waiting for that."""
        self._process.kill()

    def end(self) -> None:
        """Ends the process and waits until it is gone, so that nothing is written for it any more."""
        self.kill()
        self._process.join(_END_S)

    def how_it_ended(self) -> str:
        """What the system says of the process."""
        status = self._process.exitcode
        if status is not None and status < 0:
            return f"ended by signal {-status}, perhaps for want of memory"
        return f"ended with status {status}"


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started inside ignore it from their first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
