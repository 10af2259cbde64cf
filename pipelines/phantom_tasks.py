"""Which studies can be generated, and how each kind is usually scanned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.phantom_case import PhantomCase, ScannedPhantom
from sliceweave.pipelines.phantom_ct import draw_head_scanner
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.phantom_hematoma import grow_bleeding_head


@dataclass(frozen=True)
class PhantomTask:
    """One kind of generated study: how it is scanned unless asked otherwise, and what makes it."""

    options: PhantomOptions
    make: Callable[[int, int, PhantomOptions], PhantomCase]


_HEAD = PhantomTask(PhantomOptions(), ScannedPhantom(grow_bleeding_head, draw_head_scanner, {1: "volume_ml"}))
TASKS: Mapping[str, PhantomTask] = {"hematoma": _HEAD, "head": _HEAD}


def phantom_task(name: str) -> PhantomTask:
    """The task of that name. Raises InputError where there is none."""
    if name not in TASKS:
        raise InputError(f"task {name!r}: expected one of {', '.join(TASKS)}; other tasks have no phantoms")
    return TASKS[name]
