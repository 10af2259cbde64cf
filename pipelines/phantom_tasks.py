"""Which studies can be generated, and how each kind is usually scanned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.phantom_abdomen import ABDOMEN_OPTIONS, grow_abdomen
from sliceweave.pipelines.phantom_case import PhantomCase, ScannedPhantom
from sliceweave.pipelines.phantom_chest import CHEST_OPTIONS, grow_chest
from sliceweave.pipelines.phantom_ct import draw_ct_scanner, draw_head_scanner
from sliceweave.pipelines.phantom_echo import echo_grid, make_echo
from sliceweave.pipelines.phantom_grid import PhantomOptions, ScanGrid, scan_grid
from sliceweave.pipelines.phantom_hematoma import grow_bleeding_head
from sliceweave.pipelines.phantom_knee import KNEE_LABELS, KNEE_OPTIONS, grow_knee
from sliceweave.pipelines.phantom_mr import draw_mr_scanner


def _make_abdomen(seed: int, index: int, options: PhantomOptions) -> PhantomCase:
    grow = partial(grow_abdomen, even_kinds=options.even_kinds)
    return ScannedPhantom(grow, draw_ct_scanner, {1: "volume_ml"})(seed, index, options)


def _stated_grid(_seed: int, _index: int, options: PhantomOptions) -> ScanGrid:
    return scan_grid(options)


@dataclass(frozen=True)
class PhantomTask:
    """One kind of generated study.

    Attributes:
        options: how it is scanned unless asked otherwise.
        make: the study of a seed, an index and options.
        grid: where its voxels lie, known before it is made.
    """

    options: PhantomOptions
    make: Callable[[int, int, PhantomOptions], PhantomCase]
    grid: Callable[[int, int, PhantomOptions], ScanGrid] = _stated_grid


TASKS: Mapping[str, PhantomTask] = {
    "hematoma": PhantomTask(PhantomOptions(), ScannedPhantom(grow_bleeding_head, draw_head_scanner, {1: "volume_ml"})),
    "lung_infection": PhantomTask(CHEST_OPTIONS, ScannedPhantom(grow_chest, draw_ct_scanner, {1: "volume_ml"})),
    "liver_tumor": PhantomTask(ABDOMEN_OPTIONS, _make_abdomen),
    "knee_cartilage": PhantomTask(
        KNEE_OPTIONS,
        ScannedPhantom(grow_knee, draw_mr_scanner, {value: f"{name}_ml" for value, name in KNEE_LABELS.items()}),
    ),
    "echo_left_ventricle": PhantomTask(
        PhantomOptions(size=256, slices=50, spacing_mm=(1.0, 1.0, 1.0)), make_echo, echo_grid
    ),
}


def phantom_task(name: str) -> PhantomTask:
    """The task of that name. Raises InputError where there is none."""
    if name not in TASKS:
        raise InputError(f"task {name!r}: expected one of {', '.join(TASKS)}; other tasks have no phantoms")
    return TASKS[name]
