"""Test-time augmentation: a network asked several times about one volume, mirrored and shifted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.utils import CommonKeys, convert_to_dst_type
from numpy.typing import NDArray
from tqdm import tqdm

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.inferers import Network
from sliceweave.pipelines.member_counts import MemberCounts, label_counts
from sliceweave.pipelines.options import whole_number, yes_or_no

_SPATIAL_AXES = (0, 1, 2)
_SMALLEST = 1e-7  # float32 tells 1 - 1e-7 from 1


class Member(NamedTuple):
    """One way to look at volumes `(B, C, I, J, K)`: mirrored along some spatial axes, then shifted in the plane.

    Pixels that a shift moves out at one edge come in at the other, so both are undone without loss; near an edge the
    network sees them amid others than their neighbours.
    """

    flips: tuple[int, ...] = ()
    shift: tuple[int, int] = (0, 0)

    def seen(self, volumes: torch.Tensor) -> torch.Tensor:
        """The volumes as this member's network gets them."""
        mirrored = volumes.flip([axis + 2 for axis in self.flips]) if self.flips else volumes
        return mirrored.roll(self.shift, (2, 3)) if any(self.shift) else mirrored

    def undone(self, volumes: torch.Tensor) -> torch.Tensor:
        """What the network says of them, back in place: `undone(seen(x))` is `x`."""
        back = volumes.roll([-pixels for pixels in self.shift], (2, 3)) if any(self.shift) else volumes
        return back.flip([axis + 2 for axis in self.flips]) if self.flips else back


def members(tta: bool, flips: Sequence[int], shift: int) -> tuple[Member, ...]:
    """The volume as it is; with `tta` also mirrored along each axis in turn, and shifted either way in the plane.

    Args:
        flips: spatial axes, 0 to 2, along which a mirrored study is as plausible as the study.
        shift: pixels of the network's plane.

    Raises:
        InputError: other axes, or no whole number of pixels.
    """
    if not isinstance(flips, Sequence) or not all(axis in _SPATIAL_AXES for axis in flips):
        raise InputError(f'--tta_flips is a list of axes from 0 to 2, like "[0]", got {flips!r}')
    step = whole_number(shift, "tta_shift")
    if not yes_or_no(tta, "tta"):
        return (Member(),)
    mirrored = [Member(flips=(int(axis),)) for axis in dict.fromkeys(flips)]
    return (Member(), *mirrored, *(Member(shift=at) for at in ((step, 0), (-step, 0), (0, step), (0, -step))))


class TtaInferer(Inferer):
    """Another inferer over all members: `(B, C, I, J, K)` → logits of the mean probability `(B, K, I, J, K)`, float32.

    A sigmoid (of one channel) or softmax (of several) of the result is the mean of the members' own. Beside it only one
    member's is held at a time. A single member is the other inferer and nothing else.

    Args:
        inferer: what runs the network over the volume.
        members: see `members`.
        threshold: from which a probability counts; None where the likeliest class wins.
        certainty: the transform of `pred`, which belongs to `image`, that takes away what cannot be or what nobody is
            sure of, before the threshold.

    Attributes:
        counts: what each member found in the first volume of the last batch; None with a single member, and for a
            volume that does not say where it lies.
    """

    def __init__(
        self,
        inferer: Inferer,
        members: Sequence[Member],
        threshold: float | None = None,
        certainty: Callable[[dict[str, torch.Tensor]], Mapping[Any, torch.Tensor]] | None = None,
    ) -> None:
        self.inferer = inferer
        self.members = tuple(members)
        self.threshold = threshold
        self.certainty = certainty
        self.counts: MemberCounts | None = None

    def __call__(self, inputs: torch.Tensor, network: Network, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.counts = None
        if len(self.members) == 1:
            return self.inferer(inputs, network, *args, **kwargs)
        volumes = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        total, found = torch.zeros(()), []
        for member in tqdm(self.members, "members", leave=False, disable=None):
            probabilities = _activated(member.undone(self.inferer(member.seen(volumes), network, *args, **kwargs)))
            found.append(label_counts(self._certain(probabilities[0], inputs), self.threshold))
            total = total.add_(probabilities) if total.ndim else probabilities
            del probabilities  # not beside the next member's
        if isinstance(inputs, MetaTensor):
            self.counts = MemberCounts(np.stack(found), _affine_ras(inputs))
        mean, *_ = convert_to_dst_type(_logits(total.div_(len(self.members))), inputs, dtype=torch.float32)
        return mean

    def _certain(self, probabilities: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        if self.certainty is None:
            return probabilities
        return self.certainty({CommonKeys.PRED: probabilities, CommonKeys.IMAGE: inputs[0]})[CommonKeys.PRED]


def _activated(logits: torch.Tensor) -> torch.Tensor:
    exact = logits.float()
    return exact.sigmoid() if logits.shape[1] == 1 else exact.softmax(1)


def _logits(probabilities: torch.Tensor) -> torch.Tensor:
    """Numbers whose activation is the probabilities, to the rounding of float32."""
    if probabilities.shape[1] == 1:
        return probabilities.logit(_SMALLEST)
    return probabilities.clamp_min(_SMALLEST).log()


def _affine_ras(inputs: MetaTensor) -> NDArray[np.float64]:
    """Of the first volume; a collated batch has one each."""
    return np.asarray(inputs.affine.cpu(), np.float64).reshape(-1, 4, 4)[0]
