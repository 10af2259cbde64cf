"""What looks like blood and is none: calcifications, dense sinuses, dense falx and tentorium, cupping,
craniotomies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.craniotomy import draw_craniotomy
from sliceweave.transforms.cupping import draw_cupping
from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.head_scan import HeadScan
from sliceweave.transforms.head_transform import Change, HeadTransformd, Odds, SomeChanges
from sliceweave.transforms.hematoma_extraaxial import behind_table, falx_mask, tentorium_mm
from sliceweave.transforms.hematoma_growth import Blood, Growth, draw_log, draw_seed, nearest_point
from sliceweave.transforms.hematoma_intraparenchymal import site_mask
from sliceweave.transforms.hematoma_tissue import imitate
from sliceweave.transforms.lattice import Field, union

CALCIFIED = ("pineal", "choroid_plexus", "falx", "basal_ganglia")
DENSE = ("sagittal_sinus", "transverse_sinus", "straight_sinus", "falx", "tentorium")


@dataclass(frozen=True)
class Calcification:
    """Chalk in one of the places that have it in healthy heads, as drawn.

    Attributes:
        place: one of `CALCIFIED`.
        radius_mm: of the largest spot.
        spots: how many; basal ganglia and choroid plexus have them on both sides.
        seed: of where and how large they are.
    """

    blood: Blood
    place: str
    radius_mm: float
    spots: int
    seed: int
    kind: str = "calcification"

    def grow(self, head: Head) -> Growth | None:
        """The spots in this head, or None where the place is not in the scan."""
        rng = np.random.default_rng(self.seed)
        start = nearest_point(_calcified_mask(head, self.place), float(rng.uniform()))
        if start is None:
            return None
        middle = np.array([field[tuple(start)] for field in (head.side_mm, head.front_mm, head.up_mm)])
        sides = (1, -1) if self.place in ("choroid_plexus", "basal_ganglia") else (1,)
        spread_mm = 0.3 if self.place == "pineal" else 1.2
        spots = [
            _spot(head, middle * [side, 1, 1] + rng.normal(0, spread_mm * self.radius_mm, 3), self.radius_mm * size)
            for side in sides
            for size in [1, *rng.uniform(0.3, 1, self.spots - 1)]
        ]
        return Growth(union(*spots).astype(np.float32))

    def apply(self, scan: HeadScan) -> HeadScan:
        return imitate(scan, [self])


@dataclass(frozen=True)
class DenseDura:
    """A sinus full of dense blood, or falx or tentorium denser than brain, as drawn.

    Attributes:
        place: one of `DENSE`.
        width_mm: of a sinus, or thickness of a sheet.
        seed: of how it bends.
    """

    blood: Blood
    place: str
    width_mm: float
    seed: int
    kind: str = "dense_dura"

    def grow(self, head: Head) -> Growth | None:
        """It in this head, or None where it is not in the scan."""
        rng = np.random.default_rng(self.seed)
        extent = _dense_extent(head, self.place, self.width_mm, head.lattice.noise(rng, 60))
        return Growth(behind_table(head, extent)) if (extent > 0).any() else None

    def apply(self, scan: HeadScan) -> HeadScan:
        return imitate(scan, [self])


def draw_calcification(rng: np.random.RandomState) -> Calcification:
    """Spots of 1 to 6 mm from as dense as a clot to as dense as bone."""
    place = str(rng.choice(CALCIFIED))
    contrast_hu = draw_log(rng, 30, 300)
    return Calcification(
        blood=Blood(contrast_hu, 0.1 * contrast_hu, 6, float(rng.uniform(0.7, 1.8)), 1, draw_seed(rng)),
        place=place,
        radius_mm=float(rng.uniform(1, 3.5)),
        spots=int(rng.randint(1, 5)),
        seed=draw_seed(rng),
    )


def draw_dense_dura(rng: np.random.RandomState) -> DenseDura:
    """Sinuses 10 to 40 HU above the brain, sheets 8 to 25, partial volume apart."""
    place = str(rng.choice(DENSE))
    is_sheet = place in ("falx", "tentorium")
    contrast_hu = float(rng.uniform(8, 25) if is_sheet else rng.uniform(10, 40))
    return DenseDura(
        blood=Blood(contrast_hu, 1.5, 20, float(rng.uniform(0.7, 1.8)), 1, draw_seed(rng)),
        place=place,
        width_mm=float(rng.uniform(0.8, 2.0) if is_sheet else rng.uniform(3, 6.5)),
        seed=draw_seed(rng),
    )


def _spot(head: Head, middle: NDArray[np.float64], radius_mm: float) -> Field:
    offsets = zip((head.side_mm, head.front_mm, head.up_mm), middle, strict=True)
    squares = sum((field - np.float32(place)) ** 2 for field, place in offsets)
    field: Field = radius_mm - np.sqrt(squares)
    return field


def _calcified_mask(head: Head, place: str) -> NDArray[np.bool_]:
    side, front = np.abs(head.side_mm) / head.half_width_mm, head.front_mm / head.half_length_mm
    near_middle, in_ventricle = np.abs(head.side_mm) < 2, head.ventricle > 0.5
    places = {
        "pineal": near_middle & (np.abs(front + 0.2) < 0.06) & (np.abs(head.up_mm - 3) < 5) & (head.depth_mm > 20),
        "choroid_plexus": in_ventricle & (side > 0.25) & (front < -0.2),
        "falx": falx_mask(head) & near_middle & (head.depth_mm > 3) & (head.depth_mm < 25),
        "basal_ganglia": site_mask(head, "basal_ganglia") & (np.abs(head.up_mm - 4) < 8),
    }
    return np.asarray(places[place], np.bool_)


def _dense_extent(head: Head, place: str, width_mm: float, bend: Field) -> Field:
    """Signed distance, in mm, to the surface of the dense thing."""
    half = 0.5 * width_mm
    beside = np.abs(head.side_mm - bend)
    under_table = np.abs(head.depth_mm - half)
    above_tent = tentorium_mm(head, 0.0) + bend
    back = head.front_mm / head.half_length_mm
    extents = {
        "sagittal_sinus": np.where(head.up_mm > -8 + 15 * (back + 1), half - np.maximum(0.7 * under_table, beside), -9),
        "transverse_sinus": np.where(
            (back < -0.25) & (np.abs(head.side_mm) > 4), half - np.hypot(under_table, above_tent), -9
        ),
        "straight_sinus": np.where((back < -0.3) & (head.depth_mm > 2), half - np.hypot(beside, above_tent - 2), -9),
        "falx": np.where(falx_mask(head) & (head.depth_mm > 0), half - beside, -9),
        "tentorium": np.where(
            (back < 0.05) & (head.depth_mm > 0) & (np.abs(head.side_mm) > 4), half - 0.85 * np.abs(above_tent), -9
        ),
    }
    return np.asarray(extents[place], np.float32)


HARD_NEGATIVES: Mapping[str, Callable[[np.random.RandomState], Change]] = {
    "craniotomy": draw_craniotomy,
    "calcification": draw_calcification,
    "dense_dura": draw_dense_dura,
    "cupping": draw_cupping,
}
"""How each kind is drawn."""

HARD_NEGATIVE_CHANCES: Mapping[str, float] = {
    "craniotomy": 0.12,
    "calcification": 0.4,
    "dense_dura": 0.4,
    "cupping": 0.5,
}
"""How often a scan gets each unless asked otherwise."""


class SynthesizeHardNegatives(SomeChanges):
    """A head CT with things that look like blood and are none: `(1, *S)` in HU → image and label, `(1, *S)` float32.

    Calcifications of falx, choroid plexus, pineal gland and basal ganglia; dense sinuses, falx and tentorium; burr
    holes, bone flaps and air under them; cupping. The label, where there is one, stays as it is; else it is 0. Before
    `SynthesizeHematoma`, so that blood lies over them.

    Args:
        kinds: chance of each of `HARD_NEGATIVES`, or names of certain ones; `HARD_NEGATIVE_CHANCES` if left out.
        prob: how often any of them is drawn.

    Raises:
        ValueError: an unknown kind.
    """

    known, usual = HARD_NEGATIVES, HARD_NEGATIVE_CHANCES


class SynthesizeHardNegativesd(HeadTransformd):
    """Dictionary twin of `SynthesizeHardNegatives`."""

    def __init__(self, keys: Sequence[str] = ("image", "label"), kinds: Odds = None, prob: float = 1.0) -> None:
        super().__init__(keys, SynthesizeHardNegatives(kinds, prob))
