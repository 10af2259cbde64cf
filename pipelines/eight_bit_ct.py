"""CT volumes that were stored as grey levels of a window, told from those in HU and brought back to HU."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack, SourceFiles
from sliceweave.pipelines.plain_volumes import find_plain

CHEST_WINDOW_HU = (-1250.0, 250.0)
_LEVELS = 255
# A window that reaches from air to bone leaves neither end of the levels empty.
_LOWEST_HIGHEST_LEVEL = 200


def find_plain_ct(
    files: SourceFiles, options: PrepareOptions, window_hu: tuple[float, float] | None = None
) -> list[Case]:
    """Plain volumes, those of 8-bit grey brought back to HU where the user or the task names the window they show."""
    cases, window_hu = find_plain(files, options), options.window_hu or window_hu
    return [replace(case, image=partial(_image_in_hu, case.image, window_hu)) for case in cases] if window_hu else cases


def _image_in_hu(image: Callable[[], SliceStack], window_hu: tuple[float, float]) -> SliceStack:
    return in_hu(image(), window_hu)


def in_hu(stack: SliceStack, window_hu: tuple[float, float] | None = None) -> SliceStack:
    """The volume in HU: itself, or the levels 0 to 255 of 8-bit grey spread over a window (the chest's by default).

    Chest CT in HU holds air, so a value below 0 settles it and most volumes are read no further than that here. Levels
    are whole numbers from 0 to 255 with one of 200 or more. What is neither stays as it is, with a warning.
    """
    lowest, highest, whole = _range(stack)
    if not lowest >= 0:
        return stack
    if whole and _LOWEST_HIGHEST_LEVEL <= highest <= _LEVELS:
        return _spread(stack, *(window_hu or CHEST_WINDOW_HU))
    doubt = f"expected HU with air below 0, or grey levels 0 to 255, got values {lowest:g} to {highest:g}; taken as HU"
    return replace(stack, warnings=(*stack.warnings, doubt))


def _range(stack: SliceStack) -> tuple[float, float, bool]:
    """Lowest and highest value, and whether all are whole numbers; of the first blocks alone if they go below 0."""
    lowest, highest, whole = np.inf, -np.inf, True
    for block in stack.blocks():
        lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
        whole = whole and (block.dtype.kind in "iu" or np.array_equal(block, np.rint(block)))
        if not lowest >= 0:
            break
    return lowest, highest, whole


def _spread(stack: SliceStack, lowest_hu: float, highest_hu: float) -> SliceStack:
    """The levels as HU, rounded to whole ones where no two levels become the same HU by it."""
    step_hu = (highest_hu - lowest_hu) / _LEVELS
    exact = np.float32(lowest_hu + step_hu * np.arange(_LEVELS + 1))
    hu_of_level = np.rint(exact).astype(np.int16) if step_hu >= 1 else exact

    def blocks() -> Iterator[NDArray[Any]]:
        for block in stack.blocks():
            yield hu_of_level[block.astype(np.uint8)]

    return replace(stack, dtype=hu_of_level.dtype, blocks=blocks, flags=(*stack.flags, "eight_bit"))
