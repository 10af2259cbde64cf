"""What a cohort's driver and its workers tell each other, and what a worker has to work with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

ATTEMPTS = 2


@dataclass(frozen=True)
class Job:
    """One study to do.

    Attributes:
        number: its place in the tables.
        case: `study_id`, `image`, and `label` where there is one.
        attempt: from 1; a study whose worker was lost is tried again.
    """

    number: int
    case: Mapping[str, str]
    attempt: int = 1


@dataclass(frozen=True)
class Lost:
    """Why there is no record of a study."""

    reason: str


Outcome = tuple[Job, bytes | Lost]  # bytes: the record, which stands in its folder


@dataclass(frozen=True)
class Crew:
    """How many workers, what each has to itself, and how long a study may take.

    Attributes:
        gpus: as CUDA_VISIBLE_DEVICES names them, dealt to the workers in turn; without any, devices stay as they are.
    """

    workers: int
    threads: int = 1
    gpus: tuple[str, ...] = ()
    timeout_s: float = math.inf

    def seat(self, number: int) -> "Seat":
        """What worker `number` gets."""
        return Seat(self.threads, self.gpus[number % len(self.gpus)] if self.gpus else None, number == 0)


@dataclass(frozen=True)
class Seat:
    """What a worker has to itself; of what all would say of the model, one says it."""

    threads: int
    gpu: str | None
    speaks: bool
