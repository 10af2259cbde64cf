"""Bleeding around the brain: blood in place of the CSF of cisterns, fissures and sulci."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sliceweave.transforms.head_anatomy import Head
from sliceweave.transforms.hematoma_growth import Blood, Growth, draw_blood, draw_seed, nearest_point
from sliceweave.transforms.lattice import Field

PLACES = ("cisterns", "fissure", "convexity", "perimesencephalic")


@dataclass(frozen=True)
class Subarachnoid:
    """Blood in the subarachnoid space, as drawn.

    Attributes:
        place: one of `PLACES`.
        radius_mm: how far from its middle it reaches.
        gain: how much wider than the CSF seen it is: sulci swell with blood.
        both_sides: whether the other side has some too.
        seed: of its middle and its outline.
    """

    blood: Blood
    place: str
    radius_mm: float
    gain: float
    both_sides: bool
    seed: int
    kind: str = "subarachnoid"

    def grow(self, head: Head) -> Growth | None:
        """The blood in this head, or None where no CSF is seen in the place."""
        rng = np.random.default_rng(self.seed)
        start = nearest_point(place_mask(head, self.place), float(rng.uniform()))
        if start is None:
            return None
        middle = head.side_mm[tuple(start)], head.front_mm[tuple(start)], head.up_mm[tuple(start)]
        side = np.abs(head.side_mm) if self.both_sides else head.side_mm
        side_mm = abs(middle[0]) if self.both_sides else middle[0]
        squares = (side - side_mm) ** 2 + (head.front_mm - middle[1]) ** 2 + 1.5 * (head.up_mm - middle[2]) ** 2
        extent = self.radius_mm - np.sqrt(squares) + 0.35 * self.radius_mm * head.lattice.noise(rng, 40)
        room = np.minimum(head.depth_mm + 0.5, 6 * (0.45 - head.ventricle))
        return Growth(np.minimum(extent, room).astype(np.float32), csf_gain=self.gain)


def draw_subarachnoid(rng: np.random.RandomState) -> Subarachnoid:
    """Blood of one place, from dense to barely brighter than brain."""
    place = str(rng.choice(PLACES, p=[0.33, 0.22, 0.33, 0.12]))
    radii_mm = {"cisterns": (22, 50), "fissure": (15, 40), "convexity": (8, 35), "perimesencephalic": (14, 26)}
    blood = draw_blood(rng, 0.15, 0.1)
    return Subarachnoid(
        blood=replace(blood, edge_mm=float(rng.uniform(2, 8)), dilution=float(rng.uniform(0.7, 1))),
        place=place,
        radius_mm=float(rng.uniform(*radii_mm[place])),
        gain=float(rng.uniform(1.5, 3)),
        both_sides=bool(rng.uniform() < (0.6 if place == "cisterns" else 0.15)),
        seed=draw_seed(rng),
    )


def place_mask(head: Head, place: str) -> NDArray[np.bool_]:
    """CSF outside the ventricles, in that place."""
    fluid = (head.csf > 0.3) & (head.ventricle < 0.3) & (head.depth_mm > 0)
    side, up = np.abs(head.side_mm) / head.half_width_mm, head.up_mm
    front = head.front_mm / head.half_length_mm
    low: Field = (up < 4) & (up > -35)
    places = {
        "cisterns": fluid & low & (side < 0.35) & (np.abs(front - 0.1) < 0.35),
        "perimesencephalic": fluid & low & (side < 0.35) & (np.abs(front + 0.1) < 0.2),
        "fissure": fluid & (side > 0.35) & (side < 0.85) & (np.abs(front - 0.15) < 0.3) & (np.abs(up) < 18),
        "convexity": fluid & (head.depth_mm < 16) & (up > -5),
    }
    return np.asarray(places[place], np.bool_)
