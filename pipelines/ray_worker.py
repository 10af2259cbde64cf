"""What runs inside a Ray actor. Without torch: its worker process has that."""

from typing import final

from sliceweave.pipelines.cohort_jobs import Crew, Job, Lost
from sliceweave.pipelines.cohort_recipe import Recipe
from sliceweave.pipelines.cohort_workers import Workers
from sliceweave.pipelines.errors import InputError


@final
class RayWorker:
    """One Ray actor: it keeps a worker process of the local kind, which can crash or hang without it."""

    def __init__(self, recipe: Recipe, threads: int, timeout_s: float) -> None:
        self._workers = Workers(recipe, Crew(1, threads, timeout_s=timeout_s))

    def outcome(self, job: Job) -> tuple[int, bytes | Lost | str]:
        """The study's number, and what became of it; a text where no study can be done at all."""
        try:
            [(_, said)] = self._workers.outcomes([job])
        except InputError as error:
            return job.number, str(error)
        return job.number, said
