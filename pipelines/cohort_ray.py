"""A cohort's workers in a Ray cluster: Ray places them, gives them studies, and replaces those it loses."""

import importlib
import itertools
import logging
import os
import signal
import socket
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sliceweave.pipelines.cohort import Engine, crew_of_machine
from sliceweave.pipelines.cohort_jobs import ATTEMPTS, Crew, Job, Lost, Outcome
from sliceweave.pipelines.cohort_recipe import Recipe
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.ray_worker import RayWorker

logger = logging.getLogger(__name__)

_OBJECT_STORE_BYTES = 100_000_000  # records are all that is sent
_ANSWER_S = 10.0
_ADVICE = "start one (ray start --head), or leave out --address for a Ray of its own"


@dataclass(frozen=True)
class Cluster:
    """Where Ray runs and what of it the workers get.

    Attributes:
        address: of a cluster that runs; None starts one on this machine.
        workers: None: as many as the cluster has room for.
        gpus_per_worker: None: one where the cluster has any.
    """

    address: str | None
    workers: int | None
    gpus_per_worker: float | None
    timeout_s: float


def ray_engine(cluster: Cluster) -> Engine:
    """Workers that Ray places, gives studies and replaces. Raises InputError where Ray is not installed."""
    _ray()

    def outcomes(recipe: Recipe, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        if not jobs:
            return
        has_device = "device" in recipe.options
        crew = crew_of_machine(cluster.workers, cluster.timeout_s, has_device)
        _connect(cluster.address, crew)
        try:
            threads = crew.threads if cluster.address is None else 1
            options = {"num_cpus": threads, "num_gpus": _gpu_share(cluster, has_device)}
            actor = _ray().remote(**options, max_restarts=-1, max_task_retries=ATTEMPTS - 1)(RayWorker)
            count = min(_count(cluster.workers, options), len(jobs))
            yield from _pooled([actor.remote(recipe, threads, cluster.timeout_s) for _ in range(count)], jobs)
        finally:
            _ray().shutdown()

    return outcomes


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before the import: nothing is sent to anybody
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise InputError('--engine ray needs Ray: pip install "sliceweave[cluster]"') from error


def _connect(address: str | None, crew: Crew) -> None:
    own = {
        "num_cpus": crew.workers * crew.threads,
        "object_store_memory": _OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        _check_answers(address)
        _ray().init(address or "local", logging_level=logging.ERROR, **({} if address else own))
    except (OSError, ValueError, RuntimeError) as error:
        what = " ".join(str(error).split())
        raise InputError(f"no Ray cluster at --address {address or 'local'} ({what}): {_ADVICE}") from error
    signal.signal(signal.SIGTERM, on_term)  # Ray's own would end the run without a word


def _check_answers(address: str | None) -> None:
    """Raises OSError where nobody answers at HOST:PORT, after which Ray would ask for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), _ANSWER_S).close()


def _gpu_share(cluster: Cluster, has_device: bool) -> float:
    if cluster.gpus_per_worker is not None:
        return cluster.gpus_per_worker
    return 0.0 if has_device else min(1.0, _ray().cluster_resources().get("GPU", 0.0))


def _count(wanted: int | None, each: Mapping[str, float]) -> int:
    """How many workers: as many as were asked for, else as many as there is room for.

    Raises:
        InputError: there is less room.
    """
    has = _ray().cluster_resources()
    needs = {"CPU": each["num_cpus"], "GPU": each["num_gpus"]}
    room = int(min(has.get(name, 0.0) / need for name, need in needs.items() if need))
    if room < (wanted or 1):
        what = ", ".join(f"{has.get(name, 0.0):g} {name}" for name in needs)
        raise InputError(f"Ray has {what}: room for {room} workers of {needs}, not for {wanted or 1}: take fewer")
    return wanted or room


def _pooled(actors: Sequence[Any], jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
    """Each job once; those that Ray gave up come last.

    Raises:
        InputError: no study can be done at all.
    """
    from ray.exceptions import RayError
    from ray.util.actor_pool import ActorPool

    pool, waiting, left = ActorPool(list(actors)), iter(jobs), {job.number: job for job in jobs}
    for job in itertools.islice(waiting, len(actors)):
        pool.submit(_submitted, job)
    while pool.has_next():
        try:
            number, said = pool.get_next_unordered()
        except RayError as error:
            logger.warning("Ray gave up a study: %s", " ".join(str(error).split()))
        else:
            if isinstance(said, str):
                raise InputError(said)
            yield left.pop(number), said
        for job in itertools.islice(waiting, 1):
            pool.submit(_submitted, job)
    if next(waiting, None):
        raise InputError("no Ray worker is left: see Ray's log, and run the same command again")
    for job in left.values():
        yield job, Lost(f"Ray lost its worker {ATTEMPTS} times")


def _submitted(actor: Any, job: Job) -> Any:
    return actor.outcome.remote(job)
