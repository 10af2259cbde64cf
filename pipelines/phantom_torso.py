"""What chest and abdomen have in common: skin, fat, muscles, ribs and spine, and their CT numbers.

The torso's frame has its origin between the lungs (chest) or behind the liver (abdomen), on the midline.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sliceweave.transforms.lattice import Field, Fields, Lattice, bump, intersection, ramp, tube, union

TORSO = Lattice(low_mm=(-180.0, -159.0, -156.0), step_mm=3.0, shape=(121, 105, 108))
NOTHING_MM = -60.0

_RIB_DEPTH_MM = 5.5
_RIB_HALF_MM = 3.4
_RIB_ASPECT = 1.75


def draw_torso_traits(rng: np.random.Generator) -> dict[str, float]:
    """Sizes (mm) and CT numbers (HU) of body wall and skeleton."""
    width = rng.uniform(114, 136)
    return {
        "width": width,
        "depth": width * rng.uniform(0.62, 0.74),
        "fat": float(min(rng.gamma(3, 4.5) + 3, 150 - width + 4)),
        "muscle": rng.uniform(10, 18),
        "square": rng.uniform(2.2, 2.7),
        "fat_hu": rng.uniform(-112, -92),
        "muscle_hu": rng.uniform(42, 66),
        "cortex_hu": rng.uniform(550, 950),
        "marrow_hu": rng.uniform(110, 280),
        "cartilage_hu": rng.uniform(80, 150),
        "pitch": rng.uniform(23, 27),
        "phase": rng.uniform(0, 27),
        "slope": rng.uniform(0.4, 0.6),
        "spine": rng.uniform(-58, -50),
    }


def superellipse(across: Field, along: Field, radii_mm: tuple[Field, Field], power: float) -> Field:
    """Signed distance, along the ray to the centre, to a rounded rectangle in every axial plane."""
    reach = ((np.abs(across) / radii_mm[0]) ** power + (np.abs(along) / radii_mm[1]) ** power) ** (1 / power)
    distance_mm: Field = 0.95 * (1 / np.maximum(reach, 0.05) - 1) * np.hypot(across, along)
    return distance_mm


def body_wall(rng: np.random.Generator, traits: dict[str, float], cage: Field, spread: Field) -> Fields:
    """Skin, muscle, ribs and subcutaneous fat around a cage; `spread` (mm) is extra fat, by place."""
    x, y, _ = TORSO.axes_mm()
    side, wobble, grain = np.abs(x), TORSO.noise(rng, 150), TORSO.noise(rng, 45)
    back = ramp(-y - 35, 50)
    muscle = traits["muscle"] + 1.5 * wobble + 22 * back * ramp(56 - side, 40) - 3 * (1 - back) * bump(x / 16)
    fat = traits["fat"] * (1 + 0.08 * wobble + 0.35 * back * bump((side - 85) / 40)) + spread
    table = y + traits["depth"] + 32 + 0.6 * traits["fat"] - 5 * bump(x / 9) - 0.0006 * x**2
    skin = np.minimum(cage + muscle + np.maximum(fat, 3), table)
    edge = intersection(171 - side - 0.003 * y**2, 147 - y, y + 152)
    layer = np.minimum(np.minimum(cage + muscle, skin - 4), 1 - cage)
    # Sheets of fat part the wall's muscles, parallel to the ribs in front and at the sides, around the back muscles.
    depth = -cage - 0.5 * traits["muscle"] - 1.6 * grain
    planes = np.minimum(np.abs(depth) - 0.7, np.abs(side - 52 + 4 * grain) + 4 - 8 * back)
    return {"skin": np.minimum(skin, edge), "muscle": np.minimum(layer, planes)}


def ribs(traits: dict[str, float], cage: Field, absent: Field) -> Fields:
    """The rib cage's sheet (mm from its middle) and where along it ribs lie (mm); `absent` > 0 where there are none."""
    x, y, z = TORSO.axes_mm()
    side = np.abs(x)
    front = ramp(y - 0.35 * traits["depth"], 40)
    line = z + traits["slope"] * y + traits["phase"] - 0.75 * front * np.maximum(0, 80 - side)
    line = line + 0.45 * side * ramp(-y - 10, 60)
    gone = np.maximum(absent, np.maximum(20 - side, 0))
    return {"sheet": np.abs(cage + _RIB_DEPTH_MM) + 2 * np.maximum(gone, 0), "line": line + 0 * cage}


def spine(rng: np.random.Generator, traits: dict[str, float], pitch_mm: float, radius_mm: float) -> Fields:
    """Vertebrae with canal, arches and processes, and the discs' column."""
    x, y, z = TORSO.axes_mm()
    side, grain = np.abs(x), TORSO.noise(rng, 30)
    y = y - traits["spine"] - 0.0005 * z**2 * rng.uniform(-1, 1)
    level = (z + rng.uniform(0, pitch_mm)) % pitch_mm - pitch_mm / 2
    column = superellipse(x, y, (np.float32(1.2 * radius_mm), np.float32(radius_mm)), 2.3) + 0.4 * grain
    waist = 1.5 * bump(level / (0.25 * pitch_mm))
    body = intersection(column - waist, pitch_mm / 2 - 2.5 - np.abs(level))
    canal = 8.5 - np.hypot(0.9 * x, y + radius_mm + 8)
    arch = intersection(canal + 5.5, 0.42 * pitch_mm - np.abs(level + 3), -y - 0.6 * radius_mm)
    wings = tube((side, y, level), ((10, -radius_mm - 8, 3, 5.0), (32, -radius_mm - 18, 4, 3.8)))
    spike = tube((x, y, level), ((0, -radius_mm - 16, 0, 3.6), (0, -radius_mm - 36, -6, 3.2)))
    bone = np.minimum(union(body, arch, wings, spike), -canal)
    return {"bone": bone + 0.3 * grain, "column": np.minimum(column, -canal), "canal": canal}


def wall_hu(samples: Fields, traits: dict[str, float]) -> Field:
    """CT numbers of skin, fat and muscle, without bones."""
    mottle = samples["mottle"]
    fat = traits["fat_hu"] + 5 * mottle
    lean = ramp(samples["muscle"] + 0.7 * mottle, 1.6)
    hu = fat + (traits["muscle_hu"] + 4 * mottle - fat) * lean
    return hu + (35 - hu) * ramp(1.6 - samples["skin"])


def with_bones(hu: Field, samples: Fields, traits: dict[str, float]) -> Field:
    """CT numbers with ribs, their cartilages and the rest of the skeleton drawn over them."""
    pitch = traits["pitch"]
    across = (np.mod(samples["line"], np.float32(pitch)) - pitch / 2) * np.float32(0.88 / _RIB_ASPECT)
    rib = _RIB_HALF_MM - np.hypot(samples["sheet"], across)
    gristle = ramp(samples["front"] - 0.55 * traits["depth"], 6)
    bone = np.maximum(samples["bone"], np.where(gristle > 0.5, -9, rib))
    hu = hu + (traits["cartilage_hu"] + 12 * samples["mottle"] - hu) * ramp(rib + 1) * gristle
    core = ramp(bone - 2.2, 1.6)
    hard = traits["cortex_hu"] + (traits["marrow_hu"] + 45 * samples["mottle"] - traits["cortex_hu"]) * core
    return hu + (hard - hu) * ramp(bone, 1.2)


def draw_pose(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How a patient lies: a small turn, and a small shift (mm)."""
    turn = Rotation.from_euler("xyz", rng.normal(0, [1.5, 1.5, 3]), degrees=True).as_matrix()
    return turn, rng.normal(0, [3, 4, 4])


def on_lattice(fields: Fields) -> Fields:
    """The fields at their full size."""
    shape = TORSO.shape
    return {name: np.ascontiguousarray(np.broadcast_to(field, shape), np.float32) for name, field in fields.items()}


def painted(*layers: tuple[Field, float]) -> tuple[Field, Field]:
    """One signed distance to several organs apart from each other, and the CT number of the nearest one."""
    distance = np.full(TORSO.shape, NOTHING_MM, np.float32)
    value = np.zeros(TORSO.shape, np.float32)
    for field, hu in layers:
        nearer = field > distance
        np.copyto(value, np.float32(hu), where=nearer)
        np.maximum(distance, field, out=distance)
    return distance, value


def scattered(rng: np.random.Generator, room: Field, count: int) -> NDArray[np.float64]:
    """Random points (N, 3), mm, where there is room; at most `count`."""
    places = np.argwhere(room)
    chosen = places[rng.choice(len(places), min(count, len(places)), replace=False)]
    jitter = rng.uniform(-0.5, 0.5, chosen.shape)
    points: NDArray[np.float64] = np.array(TORSO.low_mm) + TORSO.step_mm * (chosen + jitter)
    return points
