"""Randomised appearance: a head CT as another scanner, table or file would have shown it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sliceweave.transforms.appearance_bone import draw_bone_hu
from sliceweave.transforms.appearance_grey import (
    draw_kernel,
    draw_miscalibration,
    draw_noise,
    draw_streaks,
    draw_windowed,
)
from sliceweave.transforms.appearance_place import draw_field_of_view, draw_motion, draw_pose, draw_slice_thickness
from sliceweave.transforms.head_transform import Change, HeadTransformd, Odds, SomeChanges

APPEARANCES: Mapping[str, Callable[[np.random.RandomState], Change]] = {
    "bone": draw_bone_hu,
    "pose": draw_pose,
    "motion": draw_motion,
    "slice_thickness": draw_slice_thickness,
    "kernel": draw_kernel,
    "noise": draw_noise,
    "streaks": draw_streaks,
    "miscalibration": draw_miscalibration,
    "window": draw_windowed,
    "field_of_view": draw_field_of_view,
}
"""How each is drawn, in the order in which they are done."""

APPEARANCE_CHANCES: Mapping[str, float] = {
    "bone": 0.5,
    "pose": 0.6,
    "motion": 0.1,
    "slice_thickness": 0.35,
    "kernel": 0.4,
    "noise": 0.35,
    "streaks": 0.2,
    "miscalibration": 0.6,
    "window": 0.4,
    "field_of_view": 0.2,
}
"""How often each is drawn unless asked otherwise."""


class RandomizeAppearance(SomeChanges):
    """A head CT as another scanner would have shown it: `(1, *S)` in HU → image and label, `(1, *S')` float32.

    HU for the bone of clipped scans, pose and tilt, motion, slices of 1 to 10 mm, kernel, noise, streaks, HU off by a
    little, windowed, 8-bit or JPEG values, a part of the field of view. The label, a mask or a share, goes with the
    image, means where the image has means; without one it is 0. Grid and affine may change; values stay HU. What was
    drawn last is in `drawn`.

    Args:
        kinds: chance of each of `APPEARANCES`, or names of certain ones; `APPEARANCE_CHANCES` if left out.
        prob: how often anything is done.

    Raises:
        ValueError: an unknown kind.
    """

    known, usual = APPEARANCES, APPEARANCE_CHANCES


class RandomizeAppearanced(HeadTransformd):
    """Dictionary twin of `RandomizeAppearance`."""

    def __init__(self, keys: Sequence[str] = ("image", "label"), kinds: Odds = None, prob: float = 1.0) -> None:
        super().__init__(keys, RandomizeAppearance(kinds, prob))
