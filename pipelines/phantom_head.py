"""A generated head: seeded anatomy as smooth fields on a coarse lattice, and the numbers that describe its tissues.

The head's frame has its origin in the third ventricle.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from sliceweave.transforms.lattice import (
    Field,
    Fields,
    Lattice,
    bump,
    ellipsoid,
    intersection,
    ramp,
    tube,
    union,
)

HEAD = Lattice(low_mm=(-94.0, -118.0, -112.0), step_mm=2.0, shape=(95, 121, 105))


@dataclass(frozen=True)
class Head:
    """One head: its fields on the lattice, and CT numbers (HU) and widths (mm) that hold everywhere in it."""

    fields: Fields
    traits: dict[str, float]


def draw_traits(rng: np.random.Generator) -> dict[str, float]:
    """What is one number in a head: age-related widths (mm), and the CT numbers of its tissues (HU)."""
    age = rng.uniform(0, 1)
    return {
        "age": age,
        "half_width": rng.uniform(61, 69),
        "half_length": rng.uniform(76, 87),
        "height": rng.uniform(68, 78),
        "rim": 0.4 + 1.6 * age + rng.uniform(0, 0.6),
        "sulcus": -0.25 + 1.2 * age + rng.uniform(-0.2, 0.4),
        "fissure": -0.6 + 1.6 * age + rng.uniform(0, 0.4),
        "ventricle": 0.6 + 0.8 * age + rng.uniform(-0.1, 0.3),
        "grey_hu": rng.uniform(35, 40),
        "white_hu": rng.uniform(26, 31),
        "csf_hu": rng.uniform(4, 11),
        "dura_hu": rng.uniform(42, 58),
        "blood_hu": rng.uniform(46, 62),
        "fat_hu": rng.uniform(-105, -80),
        "table_hu": rng.uniform(1100, 1700),
        "diploe_hu": rng.uniform(300, 700),
        "cup_hu": rng.uniform(1, 6),
        "petrous_band_hu": rng.uniform(2, 12),
    }


def grow_head(rng: np.random.Generator) -> Head:
    """A healthy head."""
    traits = draw_traits(rng)
    fields: Fields = {"texture": HEAD.noise(rng, 60), "mottle": HEAD.noise(rng, 14)}
    fields |= _cranium(rng, traits)
    fields |= _partitions(rng)
    fields |= _fluid_spaces(rng, traits, fields["mid"])
    fields |= _brain(rng, fields)
    fields |= _face(rng, fields)
    fields["calcium"] = _calcifications(rng, fields)
    fields["shade"] = _beam_hardening(traits, fields["depth"])
    return Head(
        {name: np.ascontiguousarray(np.broadcast_to(field, HEAD.shape), np.float32) for name, field in fields.items()},
        traits,
    )


def _skull_base_mm(x: Field, y: Field) -> tuple[Field, Field]:
    """Height of the skull base's three steps, and the bone's extra thickness under it, both over (x, y)."""
    side = np.abs(x)
    petrous = y - (14 - 0.6 * side)
    sphenoid = y - (24 + 0.15 * side)
    front, back = 1 / (1 + np.exp(-sphenoid / 2.5)), 1 / (1 + np.exp(petrous / 2.5))
    roof = -21 + 9 * bump((side - 30) / 12, (y - 50) / 16)
    clivus = -26 - 1.5 * np.maximum(0, 2 - y)
    middle = -41 + 16 * ramp(15 - side, 8) + 4 * bump((side - 55) / 8)
    basin = np.maximum(-64 + 0.02 * (y + 45) ** 2 + 0.004 * side**2, np.where(side < 30, clivus, -99))
    floor = front * roof + back * basin + (1 - front) * (1 - back) * middle
    floor = floor + 13 * bump(petrous / 5) * ramp(side - 16, 10) + 7 * bump(sphenoid / 2.5) * ramp(side - 8, 6)
    thick = 14 * bump(petrous / 8) * ramp(side - 10, 10) + 8 * ramp(14 - side, 6) * bump((y + 2) / 12) - 2
    return floor, thick


def _cranium(rng: np.random.Generator, traits: dict[str, float]) -> Fields:
    """Depth below the inner table, the skull's outer surface and the skin."""
    x, y, z = HEAD.axes_mm()
    wobble, thickness = HEAD.noise(rng, 130), HEAD.noise(rng, 60)
    width = traits["half_width"] * (1 - 0.07 * np.tanh(y / 45))
    width = width * (1 - 0.25 * np.clip((z - 20) / 80, 0, 1) ** 2)
    height = np.where(z > 0, traits["height"], 0.98 * traits["height"])
    length = traits["half_length"] * (1 + rng.uniform(-0.02, 0.02) * np.sign(x))
    squareness = rng.uniform(2.1, 2.45)
    radius = (
        (np.abs(x) / width) ** squareness + (np.abs(y + 4) / length) ** squareness + (np.abs(z) / height) ** 2.2
    ) ** (1 / squareness)
    vault = (1 / np.maximum(radius, 0.05) - 1) * np.sqrt(x**2 + (y + 4) ** 2 + z**2) + 1.3 * wobble
    bend = 3 * HEAD.noise(rng, 50)[:, :, 30:31]
    floor, thick = _skull_base_mm(x + bend, y + 2 * bend[::-1])
    above_floor = (z - floor - 1.2 * thickness) * 0.8
    canal = np.minimum(rng.uniform(11, 14) - np.hypot(x, y + 31), -48 - z)
    depth = np.maximum(np.minimum(vault, above_floor), canal)
    bone = (
        rng.uniform(4.5, 7.5)
        + 0.7 * thickness
        + 2.5 * bump(x / 14, (y - 80) / 20)
        + 3 * bump(x / 18, (y + 88) / 15, (z + 20) / 15)
    )
    base = ramp(-12 - z, 20)
    outer = depth + np.maximum(2.0, bone + base * thick)
    scalp = rng.uniform(3, 7) + 0.7 * wobble + base * 6
    return {"depth": depth, "outer": outer, "skin": vault + bone + scalp, "vault": vault}


def _partitions(rng: np.random.Generator) -> Fields:
    """Signed distances to the midline (falx) and to the tentorium, and where the falx reaches."""
    x, y, z = HEAD.axes_mm()
    mid = x - 1.2 * HEAD.noise(rng, 90)[47:48]
    tent = z - (14 - 0.42 * np.abs(x) - 0.010 * (y + 38) ** 2 + rng.uniform(-3, 3))
    arch = ellipsoid((x * 0, y + 6, z + 4), (30.0, 46.0, 30.0))
    falx = np.minimum(-arch, z + 14 - 0.2 * np.minimum(y, 0))
    return {"mid": mid, "tent": tent, "falx": falx}


def _fluid_spaces(rng: np.random.Generator, traits: dict[str, float], mid: Field) -> Fields:
    """Ventricles and cisterns."""
    _, y, z = HEAD.axes_mm()
    side = np.abs(mid)
    scale = traits["ventricle"] * (1 + rng.uniform(-0.2, 0.2) * np.sign(mid))
    lift = rng.uniform(-3, 3)
    knots = ((15, 34, 4, 2.5), (8, 24, 9, 4.0), (7, 8, 17, 4.0), (11, -14, 20, 4.5), (23, -34, 11, 6.0))
    horns = ((23, -34, 11, 6.0), (27, -58, 3, 2.5)), ((23, -34, 11, 5.0), (33, -22, -12, 2.2), (31, -2, -22, 1.6))
    chains = [tube((side * 0.94, y, z - lift), chain) for chain in (knots, *horns)]
    lateral = union(*chains) + 4.0 * (scale - 1) + 0.8 * HEAD.noise(rng, 40)
    third = ellipsoid((mid, y - 2, z - 1), (1.6 + 1.6 * traits["age"], 13, 9))
    fourth = ellipsoid((mid, y + 36, z + 32), (6, 4.5, 9))
    wide = 0.3 + 1.5 * traits["age"]
    insula = ellipsoid(
        (side - 40 + 0.012 * (y - 5) ** 2 + 1.5 * HEAD.noise(rng, 40), y - 5, z - 4), (1.0 + wide, 20, 13)
    )
    stem = tube((side, y, z), ((38, 21, -4, 1.5 + wide), (58, 22, -4, 2.0 + wide)))
    quadrigeminal = (1.0 + 0.7 * wide) - np.hypot(
        np.abs(np.hypot(mid, y + 8) - 18), 0.4 * np.maximum(0, np.abs(z + 6) - 8)
    )
    quadrigeminal = np.minimum(quadrigeminal, -8 - y)
    suprasellar = ellipsoid((mid, y - 8, z + 17), (11 + wide, 9, 7))
    magna = ellipsoid((mid, y + 68, z + 46), (7, 7, 12)) * rng.choice([1.0, 0.4])
    cistern = union(insula, stem, quadrigeminal, suprasellar, magna)
    return {"ventricle": union(lateral, third, fourth), "cistern": cistern + 1.0 * HEAD.noise(rng, 25)}


def _brain(rng: np.random.Generator, fields: Fields) -> Fields:
    """Distance to the nearest sulcal sheet, and the deep grey nuclei."""
    x, y, z = HEAD.axes_mm()
    side = np.abs(fields["mid"])
    thalamus = ellipsoid((side - 11, y + 8, z - 7), (8, 13, 9))
    lentiform = ellipsoid((side - 25 + 0.25 * y, y - 6, z - 4), (6, 16, 10))
    caudate = ellipsoid((side - 14, y - 22, z - 11), (5, 8, 9))
    grey = union(thalamus, lentiform, caudate) + 0.5 * HEAD.noise(rng, 30)
    shrink = (62 / np.maximum(np.sqrt(x**2 + y**2 + z**2), 20)) ** 0.75
    wander = [1.5 * HEAD.noise(rng, 35) for _ in range(3)]
    indices = [
        (axis * shrink + shift - low) / HEAD.step_mm
        for axis, low, shift in zip((x, y, z), HEAD.low_mm, wander, strict=True)
    ]
    waves = map_coordinates(HEAD.noise(rng, 23), np.stack(indices).astype(np.float32), order=1, mode="reflect")
    slope = np.sqrt(sum(np.gradient(waves, HEAD.step_mm, axis=axis) ** 2 for axis in range(3)))
    return {"grey": grey, "fold": waves / (0.5 * slope + 0.5 * slope.mean())}


def _face(rng: np.random.Generator, fields: Fields) -> Fields:
    """Everything outside the brain case: air spaces, orbits, facial bones, neck and the outline around them."""
    x, y, z = HEAD.axes_mm()
    side = np.abs(fields["mid"])
    cells, mottle = HEAD.noise(rng, 16), fields["mottle"]
    orbit = ellipsoid((side - 31 + 0.25 * (62 - y), y - 54, z + 32), (17, 26, 16))
    eye = 12 - np.sqrt((side - 32) ** 2 + (y - 66) ** 2 + (z + 33) ** 2)
    sphenoid = ellipsoid((side - 6, y - 16, z + 38), (8, 9, 8))
    ethmoid = np.minimum(ellipsoid((side - 6, y - 48, z + 36), (7, 20, 14)), 3 * cells + 1.5)
    maxillary = ellipsoid((side - 28, y - 50, z + 68), (12, 15, 16))
    nose = np.minimum(ellipsoid((side - 7, y - 56, z + 70), (5, 26, 20)), 4 * cells + 3)
    throat = ellipsoid((x, y - 14, z + 82), (13, 9, 22))
    frontal = ellipsoid((side - 11, y - 0.99 * 78, z + 8), (10, 5, 9)) + 1.5 * cells
    mastoid = np.minimum(ellipsoid((side - 57, y + 22, z + 44), (11, 15, 16)), 3 * mottle)
    ear = 3.5 - np.hypot(y + 6, z + 46) + 0 * x - 30 * ramp(40 - side, 6)
    sinuses = union(sphenoid, ethmoid, maxillary, frontal)
    ring = 6 - np.abs(np.hypot(x * 0.75, y + 33) - 19) - 2 * ramp(z + 72, 4)
    jaw = intersection(3.5 - np.abs(np.hypot(side, 0.8 * (y - 2)) - 50), 14 - np.abs(y - 12), -58 - z - 0.6 * (y - 10))
    zygoma = tube((side, y, z), ((42, 70, -48, 5), (64, 30, -46, 3), (66, 2, -46, 4)))
    bone = union(sinuses + 2, orbit + 2, nose + 1, np.minimum(ring, -66 - z), jaw, zygoma) + 0.5 * mottle
    outline = np.maximum(ellipsoid((x, y - 24, z + 66), (66, 74, 62)), ellipsoid((x, y - 84, z + 62), (13, 22, 22)))
    neck = 62 - np.hypot(x, 0.95 * (y + 28)) - 30 * ramp(z + 48, 30)
    skin = union(fields["skin"], outline, neck)
    air = np.minimum(union(sinuses, nose, throat, mastoid, ear), np.where(frontal > 0, skin - 3, skin + 6))
    return {"skin": skin, "air": air, "orbit": np.maximum(orbit, eye), "eye": eye, "bone": np.minimum(bone, skin - 4)}


def _calcifications(rng: np.random.Generator, fields: Fields) -> Field:
    """Pineal gland, choroid plexus and plaques of the falx; each is present in some heads only."""
    _, y, z = HEAD.axes_mm()
    mid = fields["mid"]
    spots = [rng.uniform(-1, 3) - np.sqrt(mid**2 + (y + 22) ** 2 + (z - 6) ** 2)]
    for sign in (-1, 1):
        spots.append(rng.uniform(-2, 4.5) - np.sqrt((sign * mid - 22) ** 2 + 0.5 * (y + 36) ** 2 + (z - 10) ** 2))
    plaque = rng.uniform(-3, 7) - np.sqrt(
        (3 * mid) ** 2 + (y - rng.uniform(10, 60)) ** 2 + (z - rng.uniform(35, 55)) ** 2
    )
    return union(*spots, np.minimum(plaque, fields["falx"]))


def _beam_hardening(traits: dict[str, float], depth: Field) -> Field:
    """Additive HU: brightening under the inner table, a dark band between the petrous bones."""
    x, y, z = HEAD.axes_mm()
    cup = traits["cup_hu"] * np.exp(-np.maximum(depth, 0) / 7)
    band = bump(np.maximum(np.abs(x) - 32, 0) / 8, (y + 12 + 0.1 * z) / 6, (z + 38) / 9)
    return cup - traits["petrous_band_hu"] * band
