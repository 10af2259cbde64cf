"""Organs of a generated abdomen other than the liver, each as a signed distance with a CT number."""

from dataclasses import dataclass

import numpy as np

from sliceweave.pipelines.phantom_torso import TORSO
from sliceweave.pipelines.phantom_vessels import Branches, chain, tubes
from sliceweave.transforms.lattice import Field, ellipsoid, ramp, tube, union

Layers = list[tuple[Field, float]]
"""Signed distances (mm) of structures, and their CT numbers (HU)."""

GAS_HU = -960.0


@dataclass(frozen=True)
class Viscera:
    """Organs, and in them what fills or crosses them."""

    organs: Layers
    contents: Layers

    def __add__(self, other: "Viscera") -> "Viscera":
        return Viscera(self.organs + other.organs, self.contents + other.contents)


def kidneys(rng: np.random.Generator, traits: dict[str, float]) -> Viscera:
    """Both kidneys with their sinus fat, and the adrenal glands."""
    x, y, z = TORSO.axes_mm()
    right = _kidney(rng, traits, (x, y, z - rng.uniform(-52, -28)))
    left = _kidney(rng, traits, (-x, y, z - rng.uniform(-36, -8)))
    return right + left


def _kidney(rng: np.random.Generator, traits: dict[str, float], axes: tuple[Field, Field, Field]) -> Viscera:
    """A kidney and the adrenal gland above it, in coordinates from the midline and from the kidney's height."""
    size, back = rng.uniform(0.88, 1.1), traits["spine"]
    x, y, z = axes[0] - 57 + 0.22 * axes[2], axes[1] - back - 8 - 0.12 * axes[2], axes[2]
    body = ellipsoid((x, y, z), (27 * size, 25 * size, 52 * size)) + 1.2 * TORSO.noise(rng, 40)
    hilum = ellipsoid((x + 17, y - 6, z), (17, 9, 19)) + 2.5 * TORSO.noise(rng, 25)
    medulla = np.minimum(body - 7 - 2 * TORSO.noise(rng, 24), -hilum - 1)
    pelvis = ellipsoid((x + 18, y - 5, z), (9, 5, 9))
    front_limb = tube(axes, ((25, back + 26, 66, 2.6), (34, back + 12, 52, 2.6)))
    back_limb = tube(axes, ((26, back + 22, 60, 2.6), (27, back + 6, 50, 2.6)))
    organs = [(np.minimum(body, -hilum), traits["kidney_hu"]), (pelvis, 25.0), (union(front_limb, back_limb), 85.0)]
    return Viscera(organs, [(medulla, traits["kidney_hu"] - traits["medulla_hu"])])


def spleen(rng: np.random.Generator, traits: dict[str, float], room: Field) -> Viscera:
    """A spleen of varied size against the left wall."""
    x, y, z = TORSO.axes_mm()
    size = rng.uniform(0.8, 1.2)
    offsets = (x + traits["width"] - 26 - 0.004 * (y + 30) ** 2, y + 30, z - rng.uniform(12, 34))
    body = ellipsoid(offsets, (27 * size, 46 * size, 48 * size)) + 1.5 * TORSO.noise(rng, 60)
    return Viscera([(np.minimum(body, room), traits["spleen_hu"])], [])


def stomach(rng: np.random.Generator, traits: dict[str, float], room: Field) -> Viscera:
    """A stomach with folds, filled with water, food, contrast or gas."""
    axes = TORSO.axes_mm()
    wide, low = rng.uniform(0.6, 1.1), rng.uniform(-45, -20)
    knots = ((-58, -8, 58, 30), (-56, 18, 20, 27), (-40, 46, low + 12, 22), (2, 50, low, 18), (26, 34, low + 4, 11))
    body = tube(axes, tuple((a, b, c, wide * r) for a, b, c, r in knots)) + 2.5 * TORSO.noise(rng, 45)
    body = np.minimum(body, room)
    lumen = body - rng.uniform(3, 6) - 1.5 * np.maximum(TORSO.noise(rng, 18), 0)
    filling = float(rng.choice([8.0, 25.0, 45.0, rng.uniform(150, 350)]))
    gullet = tube(axes, ((-8, traits["spine"] + 38, 160, 8), (-12, traits["spine"] + 38, 70, 8), (-40, -8, 56, 8)))
    organs = [(union(body, gullet), 80.0)]
    return Viscera(organs, _filled(lumen, filling, axes[1] - rng.uniform(15, 70)))


def _filled(lumen: Field, filling_hu: float, above_level: Field) -> Layers:
    """A lumen with its filling, and gas above a level."""
    return [(np.minimum(lumen, 0.3 - above_level), filling_hu), (np.minimum(lumen, above_level), GAS_HU)]


def pancreas(rng: np.random.Generator, traits: dict[str, float]) -> Viscera:
    """A lobulated pancreas and the duodenum around its head."""
    axes = TORSO.axes_mm()
    wide = rng.uniform(0.75, 1.15)
    knots = ((26, 4, -46, 12), (20, 14, -28, 11), (-8, 20, -14, 8), (-42, 2, -2, 8.5), (-76, -18, 14, 7))
    gland = tube(axes, tuple((a, b, c, wide * r) for a, b, c, r in knots)) + 2.4 * TORSO.noise(rng, 16)
    sweep = ((30, 32, -30, 11), (46, 16, -38, 12), (44, 0, -66, 12), (20, -8, -84, 11), (-24, 4, -70, 11))
    gut = tube(axes, sweep) + 1.5 * TORSO.noise(rng, 25)
    filling = float(rng.choice([15.0, 30.0, rng.uniform(100, 260)]))
    return Viscera([(gland, traits["pancreas_hu"]), (gut, 82.0)], [(gut - 4, filling)])


def bowel(rng: np.random.Generator, traits: dict[str, float], room: Field) -> Viscera:
    """Colon with gas and stool, and coils of small bowel with fluid, gas or contrast."""
    _, y, _ = TORSO.axes_mm()
    near = room > -30
    wide, side = rng.uniform(13, 23), traits["width"] - 28
    frame = (
        (side - 4, -20.0, -160.0), (side - 8, 0.0, -84.0), (side - 36, 44.0, -72.0), (20.0, 62.0, -66.0),
        (-30.0, 64.0, -58.0), (-side + 20, 36.0, -20.0), (-side + 4, 2.0, -6.0), (-side, -22.0, -60.0),
        (-side, -26.0, -160.0),
    )  # fmt: skip
    colon = tubes(TORSO, _wandering(rng, frame, wide), near) + 2.2 * TORSO.noise(rng, 30)
    coils = [tubes(TORSO, _coils(rng, traits), near) + 1.8 * TORSO.noise(rng, 22)]
    gut = np.minimum(union(*coils), -colon - 1)
    colon, gut = np.minimum(colon, room), np.minimum(gut, room)
    stool = TORSO.noise(rng, 16) + 0.02 * (y - 20)
    gas = np.minimum(colon - 2.5, 6 * (stool - rng.uniform(-0.8, 1.0)))
    filling = float(rng.choice([18.0, 30.0, rng.uniform(120, 300)], p=[0.4, 0.4, 0.2]))
    bubbles = 5 * (TORSO.noise(rng, 45) + 0.02 * (y - 30) - rng.uniform(1.0, 2.2))
    contents = [(np.minimum(colon - 2.5, 0.3 - gas), float(rng.uniform(10, 70))), (gas, GAS_HU)]
    contents += _filled(gut - 2.6, filling, bubbles)
    return Viscera([(colon, 75.0), (gut, 88.0)], contents)


def _wandering(rng: np.random.Generator, frame: tuple[tuple[float, float, float], ...], wide: float) -> Branches:
    knots = np.array(frame) + rng.normal(0, 7, (len(frame), 3))
    return chain(*((*map(float, knot), float(wide * rng.uniform(0.75, 1.15))) for knot in knots))


def _coils(rng: np.random.Generator, traits: dict[str, float]) -> Branches:
    """A long loop that fills the middle of the lower abdomen."""
    place, knots = np.array([-40.0, 20.0, -50.0]), []
    low, high = np.array([-0.7 * traits["width"], -8, -158]), np.array([0.62 * traits["width"], 58, -38])
    heading = rng.normal(0, 1, 3)
    for _ in range(rng.integers(110, 190)):
        heading = 0.72 * heading / np.linalg.norm(heading) + rng.normal(0, 0.5, 3)
        heading = np.where((place < low) & (heading < 0) | (place > high) & (heading > 0), -heading, heading)
        place = np.clip(place + 17 * heading / np.linalg.norm(heading), low - 4, high + 4)
        knots.append((*map(float, place), float(rng.uniform(9, 14))))
    return chain(*knots)


def great_vessels(traits: dict[str, float]) -> Branches:
    """Aorta, inferior vena cava, and their branches to gut, spleen and kidneys."""
    back = traits["spine"]
    courses = (
        ((-8, back + 34, 175, 11), (-8, back + 33, 60, 11), (-4, back + 32, -175, 9)),
        ((20, -14, 96, 12), (18, -22, 50, 12), (22, -18, -20, 10), (18, back + 30, -175, 10)),
        ((4, 6, -24, 5), (-24, 12, -10, 4.5), (-52, -8, 2, 4), (-88, -22, 18, 3.5)),
        ((4, 6, -24, 5.5), (8, 18, -60, 5.5), (14, 26, -150, 4)),
        ((-6, back + 42, -24, 4), (-3, 8, -48, 4), (0, 22, -150, 3)),
        ((-7, back + 42, 0, 3.5), (-8, 2, 4, 3), (18, 8, 4, 2.5)),
        ((20, back + 32, -32, 4.5), (46, back + 12, -38, 4)),
        ((18, back + 38, -22, 4.5), (-10, back + 46, -22, 4), (-46, back + 12, -24, 4)),
    )
    return Branches.joined(*(chain(*knots) for knots in courses))


def muscles_inside(rng: np.random.Generator, traits: dict[str, float], cage: Field, dome: Field) -> Layers:
    """Psoas and the diaphragm's crura."""
    x, y, z = TORSO.axes_mm()
    side, back = np.abs(x), traits["spine"]
    swell = 6 + 14 * ramp(-z - 20, 110)
    psoas = swell - np.hypot(side - 31 - 0.06 * np.maximum(-z, 0), 0.9 * (y - back + 4))
    psoas = np.minimum(psoas, -z - 5) + TORSO.noise(rng, 40)
    crura = tube((side, y, z), ((9, back + 40, 60, 4), (15, back + 30, 10, 5.5), (12, back + 22, -60, 3.5)))
    sheet = np.minimum(1.8 - np.abs(dome + 1.5), cage)
    return [(union(psoas, crura), traits["muscle_hu"]), (sheet, traits["muscle_hu"])]
