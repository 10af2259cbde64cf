"""One generated study, and how a generated body becomes one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.phantom_grid import PhantomOptions, ScanGrid, scan_grid
from sliceweave.pipelines.phantom_scan import Finish, scan, true_volume_ml
from sliceweave.pipelines.phantom_subject import Subject

Grow = Callable[[np.random.Generator, bool, int], Subject]
"""A subject from its random numbers, whether it is healthy, and its number, by which kinds of lesion take turns."""

_ALWAYS_ILL = 3


@dataclass(frozen=True)
class PhantomCase:
    """One generated study.

    Attributes:
        image: int16, HU for CT.
        label: uint8.
        grid: where the voxels lie.
        truth: what is known of it, by column of `truth.csv`.
        kinds: what was drawn into it.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    grid: ScanGrid
    truth: Mapping[str, float]
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScannedPhantom:
    """Makes the studies of one kind of body: `case = phantom(seed, index, options)`.

    Args:
        grow: the body.
        draw_scanner: a scanner, from its random numbers.
        truth_columns: by label value, the column that holds its true volume in ml.
    """

    grow: Grow
    draw_scanner: Callable[[np.random.Generator], Finish]
    truth_columns: Mapping[int, str]

    def __call__(self, seed: int, index: int, options: PhantomOptions) -> PhantomCase:
        """The study `index` of a seed; its body depends on nothing else, however it is scanned."""
        body_rng, scanner_rng = np.random.default_rng([seed, index]).spawn(2)
        healthy = body_rng.uniform() < options.healthy_share and index >= _ALWAYS_ILL
        subject = self.grow(body_rng, healthy, seed + index)
        grid = scan_grid(options)
        image, shares = scan(subject, grid, self.draw_scanner(scanner_rng), scanner_rng)
        truth = {column: true_volume_ml(subject, grid, value) for value, column in self.truth_columns.items()}
        return PhantomCase(image, _label(shares), grid, truth, subject.kinds)


def _label(shares: Mapping[int, NDArray[np.floating]]) -> NDArray[np.uint8]:
    """The value that holds at least half of a voxel, else 0."""
    label = np.zeros(next(iter(shares.values())).shape, np.uint8)
    for value, share in shares.items():
        label[share >= 0.5] = value
    return label
