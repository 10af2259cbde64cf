"""A generated chest: lungs between ribs, mediastinum and diaphragm, with the organs below, and perhaps infections."""

from functools import partial

import numpy as np

from sliceweave.pipelines.phantom_airways import grow_lung_vessels
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.phantom_infection import infect, infection_share
from sliceweave.pipelines.phantom_lung import chest_hu, draw_lung_traits
from sliceweave.pipelines.phantom_subject import Subject
from sliceweave.pipelines.phantom_torso import (
    NOTHING_MM,
    TORSO,
    body_wall,
    draw_pose,
    draw_torso_traits,
    on_lattice,
    painted,
    ribs,
    spine,
    superellipse,
)
from sliceweave.transforms.lattice import Field, Fields, bump, ellipsoid, intersection, ramp, tube, union

CHEST_OPTIONS = PhantomOptions(size=512, slices=40, spacing_mm=(0.7, 0.7, 7.0))
INFECTION = 1


def grow_chest(rng: np.random.Generator, healthy: bool, turn: int = 0) -> Subject:
    """A chest with its arms up; `turn` decides which kind of infection comes first."""
    turned, shift_mm = draw_pose(rng)
    traits = draw_torso_traits(rng) | draw_lung_traits(rng)
    fields = _body(rng, traits)
    kinds: tuple[str, ...] = ()
    if not healthy:
        infected, kinds = infect(rng, fields, traits, turn)
        fields |= infected
    labels = {INFECTION: infection_share}
    return Subject(TORSO, on_lattice(fields), partial(chest_hu, traits=traits), labels, turned, shift_mm, kinds)


def _body(rng: np.random.Generator, traits: dict[str, float]) -> Fields:
    """All fields of a healthy chest."""
    _, y, z = TORSO.axes_mm()
    fields: Fields = {"texture": TORSO.noise(rng, 60), "mottle": TORSO.noise(rng, 13), "front": y}
    cage = _cage(rng, traits)
    fields["cage"] = cage
    fields |= body_wall(rng, traits, cage, _padding(rng)) | ribs(traits, cage, z - 92)
    fields |= spine(rng, traits, 24.0, 16.0)
    fields |= _shoulders(rng, fields, traits)
    soft = _mediastinum(rng, traits)
    dome = _dome(rng, traits)
    organs = [*soft, *_upper_abdomen(rng, traits, cage, dome), (fields.pop("column"), 80.0), (fields["canal"], 25.0)]
    fields |= _lungs(rng, traits, cage, [field for field, _ in soft], dome)
    fluid, organs_with_fluid = _effusion(rng, fields["lung"], cage, organs)
    fields["lung"] = np.minimum(fields["lung"], -fluid)
    fields["organ"], fields["organ_hu"] = painted(*organs_with_fluid)
    del fields["canal"], fields["cage"]
    fields["infection"] = np.full(TORSO.shape, NOTHING_MM, np.float32)
    return fields | grow_lung_vessels(rng, traits, fields["lung"])


def _cage(rng: np.random.Generator, traits: dict[str, float]) -> Field:
    """Inside of the ribs, narrowing to the neck."""
    x, y, z = TORSO.axes_mm()
    rise = np.clip((z + 45) / 172, 0, 1.25)
    width = traits["width"] * (1 - 0.58 * rise**2.6)
    depth = traits["depth"] * (1 - 0.46 * rise**2.2) * (1 + 0.0009 * np.clip(-z, 0, 60))
    # The middle of the back stays where the spine is; the front recedes upwards.
    centre = depth - traits["depth"]
    return superellipse(x, y - 0.55 * centre, (width, depth), traits["square"]) + 1.0 * TORSO.noise(rng, 120)


def _padding(rng: np.random.Generator) -> Field:
    """Thickness (mm) of what lies on the ribs' muscles: shoulder blades, and in half of the patients breasts."""
    x, y, z = TORSO.axes_mm()
    thick = rng.uniform(12, 38) * (rng.uniform() < 0.5)
    place = bump((np.abs(x) - rng.uniform(68, 88)) / 36, (z - rng.uniform(-40, -5)) / 42)
    blades = 22 * ramp(15 - y, 70) * ramp(np.abs(x) - 45, 50) * ramp(z - 15, 50)
    return thick * place * ramp(y - 20, 50) + blades


def _shoulders(rng: np.random.Generator, fields: Fields, traits: dict[str, float]) -> Fields:
    """Skin, muscle and bone with the shoulders of raised arms and the breast bone added."""
    x, y, z = TORSO.axes_mm()
    side, grain = np.abs(x), TORSO.noise(rng, 40)
    girdle = ellipsoid((side - 92, y + 22, z - 140), (77, 56 + 0.4 * traits["fat"], 88))
    neck = superellipse(x, y + 12, (np.float32(66), np.float32(58)), 2.2) - np.maximum(0, 95 - z)
    mass = union(girdle, neck) + 0.7 * grain
    skin = np.minimum(np.maximum(fields["skin"], mass), 171 - side)
    parted = np.abs(np.abs(side - 96 + 9 * grain) - 18) - 1.2
    muscle = intersection(mass - 0.6 * traits["fat"] - 3, union(parted, np.abs(y + 26 + 8 * grain) - 1.0))
    muscle = np.where((z > 60) & ((fields["cage"] < 1) | (z > 120)), muscle, NOTHING_MM)
    blade, flesh = _shoulder_blade(fields["cage"], skin)
    spur = tube((side, y + 0.78 * traits["depth"], z), ((68, -22, 92, 4), (132, 16, 112, 6)))
    head = ellipsoid((side - 148, y + 22, z - 128), (19, 19, 22))
    collar = tube((side, y, z), ((14, 0.35 * traits["depth"], 100, 6), (70, 12, 122, 5), (122, -8, 134, 5)))
    bone = union(fields["bone"], blade, spur, head, collar, _breastbone(traits))
    return {"skin": skin, "muscle": union(fields["muscle"], muscle, flesh), "bone": bone}


def _shoulder_blade(cage: Field, skin: Field) -> tuple[Field, Field]:
    """Signed distances to the blades, which lie on the ribs, and to the muscles around them."""
    x, y, z = TORSO.axes_mm()
    side = np.abs(x)
    # Above, where the cage narrows, they go straight up.
    level = round((55 - TORSO.low_mm[2]) / TORSO.step_mm)
    above_ribs = np.concatenate([cage[..., :level], 0 * z[..., level:] + cage[..., level, None]], 2)
    sheet = np.abs(above_ribs + 21 + 0.1 * (side - 60))
    outline = intersection(ellipsoid((side - 96, 0 * y, z - 58), (38, 900, 68)), -y - 22)
    blade = intersection(2.6 + 1.5 * bump((side - 128) / 8) - 0.85 * sheet, outline, skin - 9)
    return blade, intersection(11 - sheet, outline + 8, -cage - 8, skin - 5)


def _breastbone(traits: dict[str, float]) -> Field:
    x, y, z = TORSO.axes_mm()
    front = traits["depth"] * (1 - 0.46 * np.clip((z + 45) / 172, 0, 1.25) ** 2.2)
    centre = y - front - 0.55 * (front - traits["depth"]) - 4
    plate = superellipse(x, centre, (15 + 6 * bump((z - 78) / 15), np.float32(5.2)), 3.0)
    return intersection(plate, z + 62, 88 - z)


def _mediastinum(rng: np.random.Generator, traits: dict[str, float]) -> list[tuple[Field, float]]:
    """Heart, great vessels, oesophagus and thyroid, each with its CT number."""
    axes = x, y, z = TORSO.axes_mm()
    size, blood = rng.uniform(0.9, 1.12), traits["blood_hu"]
    along, across = 0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y
    left = ellipsoid((along + 42, across - 4, z + 58), (56 * size, 40 * size, 40 * size))
    right = ellipsoid((x - 8, y - 22, z + 50), (46 * size, 38 * size, 44))
    heart = union(left, right) + 1.5 * TORSO.noise(rng, 70)
    chamber = union(
        ellipsoid((along + 40, across - 6, z + 58), (43 * size, 26 * size, 28 * size)),
        ellipsoid((x - 14, y - 28, z + 48), (34 * size, 24 * size, 34)),
    )
    wide, back = rng.uniform(0.9, 1.2), traits["spine"]
    arch = ((12, 22, -25, 15), (14, 24, 25, 16), (4, 12, 49, 14), (-14, -12, 54, 13), (-24, back + 24, 40, 12.5))
    descending = ((-25, back + 21, 12, 12), (-22, back + 18, -70, 11), (-10, back + 26, -160, 10))
    aorta = tube(axes, tuple((a, b, c, wide * r) for a, b, c, r in (*arch, *descending)))
    trunk = tube(axes, ((-18, 34, -12, 13), (-10, 16, 22, 13), (-36, -16, 20, 11), (-42, -24, 8, 9)))
    trunk = union(trunk, tube(axes, ((-10, 12, 20, 12), (22, -12, 14, 10), (40, -18, 6, 8.5))))
    caval = tube(axes, ((26, 6, 78, 8), (30, 10, 20, 10), (26, 8, -20, 12)))
    necks = (((8, 8, 54, 6), (20, 2, 92, 6), (26, -4, 160, 5)), ((-16, -6, 58, 5), (-28, -10, 160, 4.5)))
    branches = [tube(axes, knots) for knots in (*necks, ((26, 12, 78, 7), (-22, 16, 96, 6), (-52, 6, 118, 6)))]
    gullet = tube(axes, ((-4, back + 28, 160, 7), (-6, back + 26, 20, 7), (-10, back + 34, -100, 8)))
    thyroid = ellipsoid((np.abs(x) - 17, y + 4, z - 138), (9, 10, 20))
    vessels = union(aorta, trunk, caval, *branches)
    return [
        (heart, 0.6 * blood + 20), (np.minimum(chamber, heart - 4), blood), (vessels, blood + 2), (gullet, 38.0),
        (thyroid, 100.0),
    ]  # fmt: skip


def _dome(rng: np.random.Generator, traits: dict[str, float]) -> Field:
    """Height (mm) above the diaphragm."""
    x, y, z = TORSO.axes_mm()
    top, drop, bend = rng.uniform(-84, -58), rng.uniform(4, 20), rng.uniform(95, 140)
    width = traits["width"]
    right = top - ((x - 0.5 * width) ** 2 + 0.9 * (y - 14) ** 2) / bend
    left = top - drop - ((x + 0.5 * width) ** 2 + 0.9 * (y - 12) ** 2) / bend
    waves = 1.5 * TORSO.noise(rng, 60)
    return 0.75 * (z - np.maximum(right, left) + waves)


def _upper_abdomen(
    rng: np.random.Generator, traits: dict[str, float], cage: Field, dome: Field
) -> list[tuple[Field, float]]:
    """Liver, spleen, stomach and its gas below the diaphragm."""
    x, y, z = TORSO.axes_mm()
    below = np.minimum(-dome - 2.5, cage - 3)
    liver = intersection(below, 0.8 * (x + 52 - 0.25 * y), y - 1.3 * (-x - 5) + 60, np.hypot(x, y + 62) - 34)
    spleen = ellipsoid((x + 0.68 * traits["width"], y + 40, z + 118), (28, 42, 42))
    stomach = ellipsoid((x + 0.5 * traits["width"], y - 26, z + 120), (38, 40, 40))
    gas = np.minimum(stomach - 4, y - rng.uniform(10, 60))
    return [
        (liver, traits["liver_hu"]), (np.minimum(spleen, below), traits["liver_hu"] - 5),
        (np.minimum(stomach, below), 35.0), (np.minimum(gas, below - 4), -960.0),
    ]  # fmt: skip


def _lungs(rng: np.random.Generator, traits: dict[str, float], cage: Field, soft: list[Field], dome: Field) -> Fields:
    """Signed distance to both lungs, and to their oblique fissures."""
    x, y, z = TORSO.axes_mm()
    heart, _, vessels, gullet, _ = soft
    middle = union(heart + rng.uniform(2, 5), vessels + 2, gullet + 3)
    upper = ramp(z - 62, 40)
    half = rng.uniform(18, 26) * (1 - 0.75 * ramp(y - 18, 40) * (1 - upper)) + 6 * upper
    half = half - 8 * ramp(-z - 25, 30) * (1 - ramp(y + 10, 40))
    column = half + 1.5 * TORSO.noise(rng, 50) - np.abs(x + 3 - 0.04 * (z < 0) * z)
    vertebra = 24 - np.hypot(0.95 * x, y - traits["spine"] + 6)
    apex = rng.uniform(112, 128) - 0.011 * ((np.abs(x) - 42) ** 2 + (y + 24) ** 2) - z
    lung = intersection(cage - 2, -middle, -column, -vertebra, dome, 0.8 * apex)
    fissure = 0.72 * (y - rng.uniform(-8, 8)) + 0.7 * (z - np.where(x > 0, -14, -4)) + 4 * TORSO.noise(rng, 90)
    return {"lung": lung, "fissure": fissure}


def _effusion(
    rng: np.random.Generator, lung: Field, cage: Field, organs: list[tuple[Field, float]]
) -> tuple[Field, list[tuple[Field, float]]]:
    """Fluid sunk to the back of the pleura in some patients, and the organs with it."""
    x, y, z = TORSO.axes_mm()
    depth = rng.uniform(6, 45) if rng.uniform() < 0.18 else 4 * NOTHING_MM
    level = depth - (y + 0.95 * 85) - 0.35 * np.maximum(z + 40, -60) + 3 * TORSO.noise(rng, 60)
    lopsided = -40 * (x * float(rng.choice([-1.0, 1.0, 0.0])) > 0)
    fluid = intersection(level + lopsided, lung + 3, cage)
    return fluid, [*organs, (fluid, float(rng.uniform(2, 18)))]
