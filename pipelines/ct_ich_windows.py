"""The two windows in which CT-ICH (Hssayeni, PhysioNet 2019, doi:10.13026/w8q8-ky94) shows its slices."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.pictures import Picture, picture_file, read_grey, read_mask
from sliceweave.pipelines.slice_pictures import Size, check_size, to_hu

BONE_WINDOW_HU = (-900.0, 2300.0)  # level 700, width 3200
THICKNESS_MM = 5.0  # as the authors state; of the pixel size they say nothing
# JPEG moves saturated pixels by a few grey steps, so those next to the ends are taken for saturated too.
_DARK, _BRIGHT = 2, 253


def read_hu(brain: Picture, bone: Picture | None, window_hu: tuple[float, float]) -> NDArray[np.float32]:
    """(columns, rows) HU from the brain window, and where it is saturated from the bone window if there is one.

    Raises:
        InputError: a damaged picture, or two of different size.
    """
    grey = read_grey(brain)
    hu = to_hu(grey, window_hu)
    if bone is None:
        return hu
    columns, rows = grey.shape
    check_size(bone, (columns, rows), f"as {brain.path}")
    bone_hu = to_hu(read_grey(bone), BONE_WINDOW_HU)
    lowest_hu, highest_hu = map(np.float32, window_hu)
    hu = np.where(grey <= _DARK, np.minimum(bone_hu, lowest_hu), hu)
    return np.where(grey >= _BRIGHT, np.maximum(bone_hu, highest_hu), hu)


def mask_reader(path: Path, above: int) -> Callable[[Size], NDArray[np.uint8]]:
    """Reads a mask picture for a slice of a size; brighter than `above` is haemorrhage."""
    return partial(_read_fitting_mask, picture_file(path), above)


def _read_fitting_mask(picture: Picture, above: int, size: Size) -> NDArray[np.uint8]:
    check_size(picture, size, "as its slice")
    return read_mask(picture, above)
