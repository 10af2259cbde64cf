"""Kinds of haematoma that networks find hard or easy, computed from the truth instead of picked by hand."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.lesion_shape import lesion_shape
from sliceweave.pipelines.skull_distance import skull_distance_mm
from sliceweave.pipelines.volumetry import volume_ml

LEAST_ROUNDNESS = 0.75
LEAST_SOLIDITY = 0.80
NEAR_SKULL_MM = 5.0
SMALL_ML, LARGE_ML = 5.0, 30.0
SIZE_BANDS = ("under 5 ml", "5 to 30 ml", "over 30 ml")


@dataclass(frozen=True)
class StrataFacts:
    """What decides to which strata a study belongs; None is unknown, and belongs to no stratum.

    Attributes:
        roundness, solidity: of the largest lesion (see `lesion_shape`).
        irregular: roundness below 0.75 or solidity below 0.80. ABC/2 takes a haematoma for an ellipsoid. All ellipsoids
            whose diameters differ by up to three times have a roundness of 0.80 or more and a solidity of 1; two equal
            balls that touch, the plainest lesion of two lobes, a solidity of 0.80. The 0.05 below 0.80 is left for what
            thick slices do to a surface.
        skull_distance_mm: of the nearest lesion (see `skull_distance`).
        near_skull: skull distance under 5 mm: one slice of a routine head CT, within which bone blurs into blood.
        size_band: `under 5 ml`, `5 to 30 ml` (both included), `over 30 ml`; empty for an empty mask.
    """

    roundness: float | None
    solidity: float | None
    irregular: bool | None
    skull_distance_mm: float | None
    near_skull: bool | None
    volume_ml: float
    size_band: str


def stratum_values(mask: NDArray[Any], geometry: Geometry, voxels_hu: NDArray[np.float32] | None = None) -> StrataFacts:
    """The facts of one study from its truth mask (I, J, K), what is not zero, and its head CT where there is one.

    An empty mask has 0.0 ml and belongs to no stratum. Raises InputError where the mask's shape is not the scan's.
    """
    volume = volume_ml(mask, geometry)
    shape = lesion_shape(mask, geometry)
    distance_mm = None if voxels_hu is None else skull_distance_mm(mask, voxels_hu, geometry)
    return StrataFacts(
        roundness=shape.roundness if shape else None,
        solidity=shape.solidity if shape else None,
        irregular=shape.roundness < LEAST_ROUNDNESS or shape.solidity < LEAST_SOLIDITY if shape else None,
        skull_distance_mm=distance_mm,
        near_skull=None if distance_mm is None else distance_mm < NEAR_SKULL_MM,
        volume_ml=volume,
        size_band=size_band(volume),
    )


def size_band(volume_ml: float) -> str:
    """The band of a volume; empty for 0 ml and where there is none (NaN)."""
    if math.isnan(volume_ml) or volume_ml <= 0:
        return ""
    if volume_ml < SMALL_ML:
        return SIZE_BANDS[0]
    return SIZE_BANDS[1] if volume_ml <= LARGE_ML else SIZE_BANDS[2]
