"""What makes drawing and painting a transform of head CT, and that a dictionary transform."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from monai.config import NdarrayOrTensor
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import TransformBackends

from sliceweave.transforms.head_scan import HeadScan, close_scan, open_scan


class Change(Protocol):
    """One thing that is done to a scan, as drawn: a frozen dataclass, the same every time."""

    def apply(self, scan: HeadScan) -> HeadScan: ...


Odds = Mapping[str, float] | Sequence[str] | None


def chances_of(odds: Odds, known: Mapping[str, Any], usual: Mapping[str, float]) -> dict[str, float]:
    """Odds of each name: those given; 1 for each of a list of names; the usual ones for nothing.

    Raises:
        ValueError: an unknown name, odds below 0, or none above 0.
    """
    if odds is None:
        return dict(usual)
    chances = dict(odds) if isinstance(odds, Mapping) else dict.fromkeys(odds, 1.0)
    unknown = sorted(set(chances) - set(known))
    if unknown:
        raise ValueError(f"unknown kind '{unknown[0]}': choose from {', '.join(known)}")
    if not chances or min(chances.values()) < 0 or sum(chances.values()) <= 0:
        raise ValueError(f"expected odds of 0 and above, at least one above, got {chances}")
    return chances


class HeadTransform(RandomizableTransform):
    """Something drawn, then done to a head CT and its share of blood; what was drawn last is in `drawn`."""

    backend = [TransformBackends.NUMPY]

    def __init__(self, prob: float) -> None:
        super().__init__(prob)
        self.drawn: tuple[Any, ...] = ()

    @abstractmethod
    def draw(self) -> tuple[Any, ...]:
        """What to do, from `self.R`."""

    @abstractmethod
    def apply(self, scan: HeadScan, drawn: tuple[Any, ...]) -> HeadScan:
        """The scan with it done."""

    def randomize(self, data: Any = None) -> None:
        super().randomize(data)
        self.drawn = self.draw() if self._do_transform else ()

    def __call__(
        self, img: NdarrayOrTensor, label: NdarrayOrTensor | None = None, randomize: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and share of blood, `(1, *S)` float32 each; a label there before is where the share begins.

        Args:
            randomize: False does again what was drawn last.

        Raises:
            ValueError: the image has not one channel and three axes.
        """
        if randomize:
            self.randomize()
        scan, turn = open_scan(img, label)
        return close_scan(self.apply(scan, self.drawn), turn, img)


class SomeChanges(HeadTransform):
    """Each of some changes with its own chance, one after the other.

    Args:
        kinds: chance of each of `known`, or names of certain ones; `usual` if left out.
        prob: how often anything is done.

    Raises:
        ValueError: an unknown kind.
    """

    known: Mapping[str, Callable[[np.random.RandomState], Change]]
    usual: Mapping[str, float]

    def __init__(self, kinds: Odds = None, prob: float = 1.0) -> None:
        super().__init__(prob)
        self.chances = chances_of(kinds, self.known, self.usual)

    def draw(self) -> tuple[Change, ...]:
        chosen = [draw for name, draw in self.known.items() if self.R.uniform() < self.chances.get(name, 0)]
        return tuple(draw(self.R) for draw in chosen)

    def apply(self, scan: HeadScan, drawn: tuple[Any, ...]) -> HeadScan:
        for change in drawn:
            scan = change.apply(scan)
        return scan


class HeadTransformd(RandomizableTransform, MapTransform):
    """Does the array transform to the first key, and puts the share into the second, there already or not."""

    backend = HeadTransform.backend

    def __init__(self, keys: Sequence[str], transform: HeadTransform) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys=True)
        RandomizableTransform.__init__(self, transform.prob)
        if len(self.keys) != 2:
            raise ValueError(f"expected the keys of image and label, got {self.keys}")
        self.transform = transform

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> "HeadTransformd":
        super().set_random_state(seed, state)
        self.transform.set_random_state(state=self.R)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image, label = self.keys
        case = dict(data)
        case[image], case[label] = self.transform(case[image], case.get(label))
        return case
