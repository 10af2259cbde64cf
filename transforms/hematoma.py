"""Painted haemorrhage: `SynthesizeHematoma`, which puts blood with exact truth into head CT that has none."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import TransformBackends

from sliceweave.transforms.head_scan import close_scan, open_scan
from sliceweave.transforms.hematoma_epidural import draw_epidural
from sliceweave.transforms.hematoma_growth import Bleeding
from sliceweave.transforms.hematoma_intraparenchymal import draw_intraparenchymal
from sliceweave.transforms.hematoma_subarachnoid import draw_subarachnoid
from sliceweave.transforms.hematoma_subdural import draw_subdural
from sliceweave.transforms.hematoma_tissue import bleed
from sliceweave.transforms.hematoma_ventricular import draw_ventricular

Draw = Callable[[np.random.RandomState], Bleeding]

KINDS: Mapping[str, Draw] = {
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


def odds_of(kinds: Mapping[str, float] | Sequence[str] | None) -> dict[str, float]:
    """Odds of each kind that sum to 1, from odds, from names, which are then equally likely, or from nothing.

    Raises:
        ValueError: an unknown kind, odds below 0, or none above 0.
    """
    if kinds is None:
        kinds = KIND_ODDS
    odds = dict(kinds) if isinstance(kinds, Mapping) else dict.fromkeys(kinds, 1.0)
    unknown = sorted(set(odds) - set(KINDS))
    if unknown:
        raise ValueError(f"unknown kind '{unknown[0]}': choose from {', '.join(KINDS)}")
    if not odds or min(odds.values()) < 0 or sum(odds.values()) <= 0:
        raise ValueError(f"expected odds of 0 and above, at least one above, got {odds}")
    return {kind: share / sum(odds.values()) for kind, share in odds.items()}


def draw_bleedings(rng: np.random.RandomState, odds: Mapping[str, float]) -> tuple[Bleeding, ...]:
    """One to three bleedings; all of one kind only where there is but one."""
    possible = [kind for kind, share in odds.items() if share > 0]
    count = min(int(rng.choice(3, p=_SEVERAL)) + 1, len(possible))
    shares = [odds[kind] for kind in possible]
    drawn = rng.choice(possible, size=count, replace=False, p=np.divide(shares, sum(shares)))
    return tuple(KINDS[str(kind)](rng) for kind in drawn)


class SynthesizeHematoma(RandomizableTransform):
    """Haemorrhage painted into a head CT: `(1, *S)` in HU → image and share of blood, each `(1, *S)` float32.

    The skull, the ventricles and the noise are the scan's own; nothing but the scan is needed. Shapes are drawn in mm
    and hold across slices of any spacing. The share is the exact truth of what was mixed into each voxel, 0 in a scan
    without a brain. Clipped and windowed HU will do; 8-bit grey values will not. The bleedings drawn last are in
    `bleedings`, dataclasses that `sliceweave.transforms.bleed` paints again.
    After lesion synthesis for haemorrhage (reference 12 of the haematoma paper) and SynthSeg (Billot et al. 2023,
    doi:10.1016/j.media.2023.102789).

    Args:
        kinds: odds of each kind, or names of equally likely ones; all of them in `KIND_ODDS` if left out.
        prob: how often anything is painted.

    Raises:
        ValueError: an unknown kind; an image that has not one channel and three axes.
    """

    backend = [TransformBackends.NUMPY]

    def __init__(self, kinds: Mapping[str, float] | Sequence[str] | None = None, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.odds = odds_of(kinds)
        self.bleedings: tuple[Bleeding, ...] = ()

    def randomize(self, data: Any = None) -> None:
        super().randomize(data)
        self.bleedings = draw_bleedings(self.R, self.odds) if self._do_transform else ()

    def __call__(
        self, img: NdarrayOrTensor, label: NdarrayOrTensor | None = None, randomize: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and share. A label that the image has already stays in the share."""
        if randomize:
            self.randomize()
        scan, turn = open_scan(img, label)
        return close_scan(bleed(scan, self.bleedings), turn, img)


class SynthesizeHematomad(RandomizableTransform, MapTransform):
    """Dictionary twin of `SynthesizeHematoma`: paints `image`, and puts the share into `label`, there already or not."""

    backend = SynthesizeHematoma.backend

    def __init__(
        self,
        keys: tuple[str, str] = ("image", "label"),
        kinds: Mapping[str, float] | Sequence[str] | None = None,
        prob: float = 1.0,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys=True)
        RandomizableTransform.__init__(self, prob)
        self.painter = SynthesizeHematoma(kinds, prob)

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> "SynthesizeHematomad":
        super().set_random_state(seed, state)
        self.painter.set_random_state(seed, state)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image, label = self.keys
        case = dict(data)
        case[image], case[label] = self.painter(case[image], case.get(label))
        return case
