"""Which lesions a prediction finds, whatever share of each: a lesion is a 26-connected component of a mask."""

from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.surface_distances import joint_box

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Detection:
    """Lesions of the truth, those of them that a voxel at least of the prediction overlaps, and predicted lesions that
    overlap none.

    The sum of two is that of two scans taken together (pooled).
    """

    lesions: int
    detected: int
    false_positives: int

    def __add__(self, other: "Detection") -> "Detection":
        return Detection(
            self.lesions + other.lesions, self.detected + other.detected, self.false_positives + other.false_positives
        )

    @property
    def sensitivity(self) -> float:
        """Share of the lesions that are detected; without any it is 1, or 0 if something is predicted."""
        return self.detected / self.lesions if self.lesions else float(not self.false_positives)


def detect_lesions(prediction: Mask, truth: Mask) -> Detection:
    """How many lesions of two masks (I, J, K) overlap; an empty mask has none."""
    if not (prediction.any() or truth.any()):
        return Detection(0, 0, 0)
    box = joint_box(prediction, truth)
    lesions, detected = _touched(truth[box], prediction[box])
    predicted, right = _touched(prediction[box], truth[box])
    return Detection(lesions, detected, predicted - right)


def _touched(mask: Mask, other: Mask) -> tuple[int, int]:
    """How many components the mask has, and how many of them have a voxel in the other mask."""
    # contiguous bytes, since cc3d 4.1 goes wrong on small bool boxes and on views of bytes
    found: tuple[NDArray[Any], int] = cc3d.connected_components(
        mask.astype(np.uint8, order="C"), connectivity=26, return_N=True
    )
    components, count = found
    touched = np.zeros(count + 1, bool)
    touched[components[mask & other]] = True
    return count, int(np.count_nonzero(touched))
