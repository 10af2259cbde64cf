"""Painted haemorrhage: `SynthesizeHematoma`, which puts blood with exact truth into head CT that has none."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sliceweave.transforms.head_scan import HeadScan
from sliceweave.transforms.head_transform import HeadTransform, HeadTransformd, Odds, chances_of
from sliceweave.transforms.hematoma_epidural import draw_epidural
from sliceweave.transforms.hematoma_growth import Bleeding
from sliceweave.transforms.hematoma_intraparenchymal import draw_intraparenchymal
from sliceweave.transforms.hematoma_subarachnoid import draw_subarachnoid
from sliceweave.transforms.hematoma_subdural import draw_subdural
from sliceweave.transforms.hematoma_tissue import bleed
from sliceweave.transforms.hematoma_ventricular import draw_ventricular

KINDS: Mapping[str, Callable[[np.random.RandomState], Bleeding]] = {
    "intraparenchymal": draw_intraparenchymal,
    "ventricular": draw_ventricular,
    "subarachnoid": draw_subarachnoid,
    "subdural": draw_subdural,
    "epidural": draw_epidural,
}
"""How a bleeding of each kind is drawn."""

KIND_ODDS: Mapping[str, float] = {
    "intraparenchymal": 0.3,
    "ventricular": 0.2,
    "subarachnoid": 0.2,
    "subdural": 0.2,
    "epidural": 0.1,
}
"""How often each kind is drawn unless asked otherwise."""

_SEVERAL = (0.6, 0.28, 0.12)  # odds of one, two and three


def draw_bleedings(rng: np.random.RandomState, odds: Mapping[str, float]) -> tuple[Bleeding, ...]:
    """One to three bleedings, each of another kind."""
    possible = [kind for kind, share in odds.items() if share > 0]
    count = min(int(rng.choice(3, p=_SEVERAL)) + 1, len(possible))
    shares = [odds[kind] for kind in possible]
    drawn = rng.choice(possible, size=count, replace=False, p=np.divide(shares, sum(shares)))
    return tuple(KINDS[str(kind)](rng) for kind in drawn)


class SynthesizeHematoma(HeadTransform):
    """Haemorrhage painted into a head CT: `(1, *S)` in HU → image and share of blood, each `(1, *S)` float32.

    The skull, the ventricles and the noise are the scan's own; nothing but the scan is needed. Shapes are drawn in mm
    and hold across slices of any spacing. The share is the exact truth of what was mixed into each voxel, 0 in a scan
    without a brain. Clipped and windowed HU will do; 8-bit grey values will not. The bleedings drawn last are in
    `drawn`, frozen dataclasses that `bleed` paints again.
    After lesion synthesis for haemorrhage (reference 12 of the haematoma paper) and SynthSeg (Billot et al. 2023,
    doi:10.1016/j.media.2023.102789).

    Args:
        kinds: odds of each kind, or names of equally likely ones; all of them as in `KIND_ODDS` if left out.
        prob: how often anything is painted.

    Raises:
        ValueError: an unknown kind.
    """

    def __init__(self, kinds: Odds = None, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.odds = chances_of(kinds, KINDS, KIND_ODDS)

    def draw(self) -> tuple[Bleeding, ...]:
        return draw_bleedings(self.R, self.odds)

    def apply(self, scan: HeadScan, drawn: tuple[Any, ...]) -> HeadScan:
        return bleed(scan, drawn)


class SynthesizeHematomad(HeadTransformd):
    """Dictionary twin of `SynthesizeHematoma`."""

    def __init__(self, keys: Sequence[str] = ("image", "label"), kinds: Odds = None, prob: float = 1.0) -> None:
        super().__init__(keys, SynthesizeHematoma(kinds, prob))
