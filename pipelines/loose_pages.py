"""Slices that lie in one file without belonging together, each as a volume of its own."""

from collections.abc import Callable
from dataclasses import replace
from threading import Lock
from typing import final

import numpy as np

from sliceweave.pipelines.cases import SliceStack, whole_block
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry


@final
class LoosePages:
    """The pages of one file, read once and then kept: a compressed file has no way to its last page but through all.

    100 pages of 512 x 512 take 105 MB at most while the object lives. What is wrong with the file is kept as well, so
    a damaged one is not read a hundred times either.
    """

    def __init__(self, open_file: Callable[[], SliceStack]) -> None:
        self._open_file = open_file
        self._lock = Lock()
        self._outcome: SliceStack | str | None = None

    def page(self, number: int) -> SliceStack:
        """One page where the file's first one is said to lie: their places are not known.

        Raises:
            InputError: as opening and reading the file does.
        """
        whole = self._whole()
        i, j, _ = whole.geometry.shape
        (voxels,) = whole.blocks()
        return replace(
            whole,
            geometry=Geometry(whole.geometry.affine_ras, (i, j, 1)),
            blocks=whole_block(voxels[..., number : number + 1]),
            flags=(*whole.flags, "unknown_patient"),
            header=None,
        )

    def _whole(self) -> SliceStack:
        with self._lock:  # threads that convert pages side by side wait for the one that reads
            if self._outcome is None:
                self._outcome = self._read()
        if isinstance(self._outcome, str):
            raise InputError(self._outcome)
        return self._outcome

    def _read(self) -> SliceStack | str:
        """The file in memory, or what is wrong with it."""
        try:
            stack = self._open_file()
            return replace(stack, blocks=whole_block(np.concatenate(list(stack.blocks()), axis=2)))
        except InputError as error:
            return str(error)
