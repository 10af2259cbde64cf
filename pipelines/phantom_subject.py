"""What is scanned: a generated part of a body as fields on a lattice, what they look like, and how it lies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from sliceweave.transforms.lattice import Field, Fields, Lattice

Share = Callable[[Fields], Field]


@dataclass(frozen=True)
class Subject:
    """A body part in its pose: its own coordinates are turn @ (world - shift), world in RAS mm.

    Attributes:
        fields: on the lattice; mostly signed distances in mm.
        appearance: image values (HU for CT) at samples of the fields.
        labels: by label value, the share (0…1) of the labelled structure at samples of the fields.
        outline: the field that is above -1 wherever there is anything but background.
        background: image value where there is nothing.
        kinds: what was drawn into it, by name.
    """

    lattice: Lattice
    fields: Fields
    appearance: Callable[[Fields], Field]
    labels: Mapping[int, Share]
    turn: NDArray[np.float64]
    shift_ras_mm: NDArray[np.float64]
    kinds: tuple[str, ...] = ()
    outline: str = "skin"
    background: float = -1000.0

    def sampler(self, names: tuple[str, ...] = ()) -> "Sampler":
        """What samples the named fields, or all of them."""
        return Sampler(self if not names else replace(self, fields={name: self.fields[name] for name in names}))


class Sampler:
    """A subject's fields at any points of the world, interpolated; the lattice's border value outside it."""

    def __init__(self, subject: Subject) -> None:
        self.names = list(subject.fields)
        stack = np.stack(list(subject.fields.values()), axis=-1, dtype=np.float32, casting="same_kind")
        self._stack = torch.from_numpy(stack).permute(3, 0, 1, 2)[None]
        scale = 2 / (subject.lattice.step_mm * (np.array(subject.lattice.shape) - 1))
        self._turn = (subject.turn.T * scale)[:, ::-1].astype(np.float32)
        origin = -(subject.turn @ subject.shift_ras_mm + np.array(subject.lattice.low_mm)) * scale - 1
        self._origin = origin[::-1].astype(np.float32)

    def __call__(self, points_ras_mm: NDArray[np.floating]) -> Fields:
        """Samples at points (..., 3), `name -> (...)`."""
        places = points_ras_mm.astype(np.float32) @ self._turn + self._origin
        grid = torch.from_numpy(places).reshape(1, 1, 1, -1, 3)
        values = torch.nn.functional.grid_sample(self._stack, grid, padding_mode="border", align_corners=True)
        samples = values.numpy().reshape(len(self.names), *points_ras_mm.shape[:-1])
        return dict(zip(self.names, samples, strict=True))
