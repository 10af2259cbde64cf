"""A generated knee: seeded anatomy, left or right, healthy or with osteoarthritis, for a DESS-like MR sequence."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sliceweave.pipelines import phantom_knee_bones as bones
from sliceweave.pipelines import phantom_knee_cartilage as cartilage
from sliceweave.pipelines import phantom_knee_soft as soft
from sliceweave.pipelines.phantom_distance import distance_to_surface
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.phantom_knee_tissue import KneeAppearance, draw_values, femoral_share, tibial_share
from sliceweave.pipelines.phantom_subject import Subject
from sliceweave.transforms.lattice import Field, Fields, Lattice, bump, intersection, union

KNEE_OPTIONS = PhantomOptions(size=384, slices=160, spacing_mm=(0.3646, 0.3646, 0.7), plane="sagittal")
KNEE_LABELS = {1: "femoral_cartilage", 2: "tibial_cartilage"}
KINDS = ("thinning", "defects", "osteophytes", "marrow_lesions", "effusion")

# Even about x = 0, so that the other side's knee is its mirror image point by point.
KNEE = Lattice(low_mm=(-65.625, -80.0, -88.0), step_mm=1.25, shape=(106, 124, 141))
_REACH_MM = 9.0
# Outside these fields are signed distances and lengths, which grow with the knee.
_UNSCALED = ("texture", "mottle", "grain", "coil")
_MEDIAL_SITES_MM = ((-24, 8, 0), (-20, -4, 0), (-24, -20, 14))
_OTHER_SITES_MM = ((18, 0, 2), (20, -18, 14), (4, 38, 22), (16, 40, 28))
_FEMORAL_MARGINS_MM = ((-37, 4, 8), (-34, 16, 12), (34, 2, 9), (24, 37, 34), (-14, 38, 34))
_TIBIAL_MARGINS_MM = ((-36, 2, -5), (-30, 16, -5), (-30, -18, -5), (36, -2, -4), (30, -18, -4))


@dataclass(frozen=True)
class _Frames:
    """Coordinates of the knee and of its femur, and where the patella's centre is."""

    knee: bones.Axes
    femur: bones.Axes
    patella_mm: tuple[float, float, float]


def grow_knee(rng: np.random.Generator, healthy: bool, turn: int) -> Subject:
    """A knee in its pose; an even turn gives a right one, an odd one the left one that mirrors it."""
    side = 1 if turn % 2 == 0 else -1
    kinds = () if healthy else draw_kinds(rng)
    traits = draw_traits(rng, kinds)
    fields = _grow_right_knee(rng, traits, kinds)
    scale, (low_x, low_y, low_z) = traits["scale"], KNEE.low_mm
    scaled = {name: field if name in _UNSCALED else field * np.float32(scale) for name, field in fields.items()}
    mirror = np.diag([side, 1.0, 1.0])
    turned = Rotation.from_euler("xyz", rng.normal(0, [3, 4, 5]), degrees=True).as_matrix()
    return Subject(
        Lattice((scale * low_x, scale * low_y, scale * low_z), scale * KNEE.step_mm, KNEE.shape),
        scaled if side > 0 else {name: np.ascontiguousarray(field[::-1]) for name, field in scaled.items()},
        KneeAppearance(draw_values(rng)),
        {1: femoral_share, 2: tibial_share},
        mirror @ turned @ mirror,
        mirror @ _draw_shift_mm(rng),
        kinds,
        background=0.0,
    )


def draw_kinds(rng: np.random.Generator) -> tuple[str, ...]:
    """What is wrong with a knee; in about a third of them nothing."""
    likely = rng.choice([0.0, 0.45, 0.8])
    return tuple(kind for kind in KINDS if rng.uniform() < likely)


def _draw_shift_mm(rng: np.random.Generator) -> NDArray[np.float64]:
    shift: NDArray[np.float64] = np.array([3.0, -8.0, -7.0]) + rng.normal(0, [2.5, 3, 4])
    return shift


def draw_traits(rng: np.random.Generator, kinds: tuple[str, ...]) -> dict[str, float]:
    """What is one number in a knee: sizes (mm), proportions, the flexion."""
    return {
        "scale": rng.uniform(0.87, 1.13),
        "width": rng.uniform(0.97, 1.03),
        "depth": rng.uniform(0.97, 1.03),
        "flexion_deg": rng.uniform(-3, 14),
        "groove_mm": rng.uniform(3.0, 5.0),
        "notch_mm": rng.uniform(18, 22),
        "spine_mm": rng.uniform(5, 8),
        "femoral_scale": rng.uniform(0.84, 1.06),
        "tibial_scale": rng.uniform(0.85, 1.1),
        "medial_slack_mm": rng.uniform(-0.8, 0.3),
        "lateral_slack_mm": rng.uniform(-0.8, 0.4),
        "effusion": rng.uniform(0.35, 1.0) if "effusion" in kinds else rng.uniform(0, 0.2),
        "fat_mm": rng.uniform(3, 12),
        "coil_reach_mm": rng.uniform(75, 110),
        "coil_edge": rng.uniform(0.1, 0.35),
    }


def _grow_right_knee(rng: np.random.Generator, traits: dict[str, float], kinds: tuple[str, ...]) -> Fields:
    """All fields of an average-sized right knee."""
    frames = _frames(rng, traits)
    fields: Fields = {"texture": KNEE.noise(rng, 40), "mottle": KNEE.noise(rng, 15), "grain": KNEE.noise(rng, 9)}
    fields |= _femur(rng, frames, traits, kinds)
    fields |= _tibia(rng, frames, traits, kinds, fields)
    fields |= _patella(rng, frames, fields)
    fields |= _soft_parts(rng, frames, traits, fields)
    del fields["plateau"]  # a height that only the menisci need
    fields["lesion"] = _marrow_lesions(rng, frames, kinds)
    fields["coil"] = _sensitivity(rng, traits)
    return {
        name: np.ascontiguousarray(np.broadcast_to(field, KNEE.shape), np.float32) for name, field in fields.items()
    }


def _frames(rng: np.random.Generator, traits: dict[str, float]) -> _Frames:
    x, y, z = KNEE.axes_mm()
    knee = (x / np.float32(traits["width"]), y / np.float32(traits["depth"]), z)
    angle = np.radians(rng.uniform(5, 16) - 0.7 * traits["flexion_deg"])
    centre_y, centre_z = bones.TROCHLEA_MM
    patella_mm = (rng.uniform(2, 6), centre_y + 34 * float(np.cos(angle)), centre_z + 34 * float(np.sin(angle)))
    return _Frames(knee, bones.flexed(knee, traits["flexion_deg"]), patella_mm)


def _femur(rng: np.random.Generator, frames: _Frames, traits: dict[str, float], kinds: tuple[str, ...]) -> Fields:
    bone = bones.femur(frames.femur, traits) + 0.35 * KNEE.noise(rng, 45)
    if "osteophytes" in kinds:
        bone = np.maximum(bone, bones.osteophytes(frames.femur, _draw_lips(rng, _FEMORAL_MARGINS_MM)))
    thick_mm = cartilage.femoral_mm(frames.femur, traits) * (1 + 0.07 * KNEE.noise(rng, 60))
    thick_mm = cartilage.worn(thick_mm, frames.femur, _draw_wear(rng, kinds))
    return {"femur": distance_to_surface(bone, KNEE, _REACH_MM), "femoral_mm": thick_mm}


def _tibia(
    rng: np.random.Generator, frames: _Frames, traits: dict[str, float], kinds: tuple[str, ...], fields: Fields
) -> Fields:
    """The tibia, raised until its cartilage meets the femur's."""
    x, y, z = frames.knee
    top_mm = bones.tibia_top_mm(x, y, traits)
    thick_mm = cartilage.tibial_mm(x, y, traits) * (1 + 0.07 * KNEE.noise(rng, 60)[:, :, 70:71])
    thick_mm = cartilage.worn(thick_mm, (x, y, 0 * x), _draw_wear(rng, kinds, flat=True))
    low_mm = cartilage.lowest_mm(fields["femur"] + np.maximum(fields["femoral_mm"], 0), z)
    slack_mm = (traits["medial_slack_mm"], traits["lateral_slack_mm"])
    top_mm = top_mm + cartilage.tibia_lift_mm(low_mm, top_mm + np.maximum(thick_mm, 0), x, y, slack_mm)
    bone = bones.tibia(frames.knee, top_mm) + 0.3 * KNEE.noise(rng, 45)
    if "osteophytes" in kinds:
        bone = np.maximum(bone, bones.osteophytes(frames.knee, _draw_lips(rng, _TIBIAL_MARGINS_MM)))
    bone = intersection(bone, -fields["femur"] - 0.5)
    sides = 3 * np.clip(top_mm - 3 - z, 0, 3)  # the plateaus only, not the walls below them
    return {"tibia": distance_to_surface(bone, KNEE, _REACH_MM), "tibial_mm": thick_mm - sides, "plateau": top_mm}


def _patella(rng: np.random.Generator, frames: _Frames, fields: Fields) -> Fields:
    """Patella and fibula, and the patella's own cartilage, which no label names."""
    outside = -fields["femur"]
    bone = bones.patella(frames.knee, frames.patella_mm, outside - rng.uniform(5.0, 6.8)) + 0.3 * KNEE.noise(rng, 40)
    x, _, z = frames.knee
    px, _, pz = frames.patella_mm
    cover = (1 - np.hypot((x - px) / 19, (z - pz - 3) / 14)) * 14
    gap = outside - np.maximum(fields["femoral_mm"], 0) - rng.uniform(0.1, 0.8)
    layer = intersection(gap, 7.5 - outside, -bone + 0.5, bone + 4.2 * np.sqrt(np.clip(cover / 7, 0, 1)), cover)
    return {"bone": union(bone, bones.fibula(frames.knee)), "patellar": layer}


def _soft_parts(rng: np.random.Generator, frames: _Frames, traits: dict[str, float], fields: Fields) -> Fields:
    femoral_gap = -fields["femur"] - np.maximum(fields["femoral_mm"], 0)
    tibial_gap = -fields["tibia"] - np.maximum(fields["tibial_mm"], 0)
    all_bones = union(fields["femur"], fields["tibia"], fields["bone"])
    outline = soft.skin(frames.knee, frames.patella_mm, traits["fat_mm"]) + KNEE.noise(rng, 110)
    outline = bones.blend(outline, all_bones + 4 + 0.5 * traits["fat_mm"], 8)
    wander = 1.2 * KNEE.noise(rng, 50)
    x, y, z = frames.knee
    bent = (x + wander, y - wander[::-1], z)
    fascia = outline - traits["fat_mm"] - 0.8 * KNEE.noise(rng, 60)
    muscle = intersection(soft.muscles(bent), fascia, -all_bones - 1.5)
    pockets = soft.fluid(bent, frames.patella_mm, traits["effusion"])
    return {
        "skin": outline,
        "muscle": muscle,
        "meniscus": soft.menisci(frames.knee, femoral_gap, tibial_gap, fields["plateau"]),
        "cruciate": intersection(soft.cruciates(bent), -all_bones),
        "tendon": intersection(soft.tendons(bent, frames.patella_mm) + 0.2 * fields["mottle"], outline - 1.5),
        "vessel": intersection(soft.vessels(bent, tuple(rng.uniform(-3, 3, 2))), outline - 2),
        "fluid": intersection(pockets + (0.1 + 0.5 * traits["effusion"]) * wander, fascia, -all_bones),
        "cortex": 0.6 + 2.4 * np.clip((np.abs(z - 8) - 38) / 50, 0, 1) + 0.15 * wander,
        "scar": bones.between_growth_plates(frames.femur, frames.knee, wander),
    }


def _draw_lips(
    rng: np.random.Generator, margins_mm: tuple[tuple[float, float, float], ...]
) -> tuple[tuple[float, float, float, float], ...]:
    """Osteophytes at some of a bone's margins: places and sizes (mm)."""
    sites = rng.permutation(len(margins_mm))[: rng.integers(1, len(margins_mm))]
    places = [margins_mm[i] + rng.normal(0, 1.5, 3) for i in sites]
    return tuple((float(x), float(y), float(z), rng.uniform(2, 4.5)) for x, y, z in places)


def _draw_wear(rng: np.random.Generator, kinds: tuple[str, ...], flat: bool = False) -> tuple[tuple[float, ...], ...]:
    """Where cartilage is lost: broadly on the medial side, and in small deep holes anywhere."""
    level = 0.0 if flat else 1.0
    wear: list[tuple[float, ...]] = []
    if "thinning" in kinds:
        wear.append((-24, 2, 0, rng.uniform(9, 15), rng.uniform(0.3, 0.75)))
    for _ in range(rng.integers(1, 4) if "defects" in kinds else 0):
        sites = _MEDIAL_SITES_MM if rng.uniform() < 0.6 else _OTHER_SITES_MM
        centre = np.array(sites[rng.integers(len(sites))]) + rng.normal(0, 3, 3)
        wear.append((*(centre * [1, 1, level]), rng.uniform(2.0, 5), rng.uniform(0.6, 1.6)))
    return tuple(wear)


def _marrow_lesions(rng: np.random.Generator, frames: _Frames, kinds: tuple[str, ...]) -> Field:
    """Oedema under the joint surface."""
    x, y, z = frames.knee
    lesion = np.full(KNEE.shape, -99, np.float32)
    for _ in range(rng.integers(1, 4) if "marrow_lesions" in kinds else 0):
        centre = (rng.choice([-23, -20, 18]), rng.normal(0, 8), rng.choice([-9, 8]) + rng.normal(0, 3))
        apart = np.sqrt(sum((axis - np.float32(c)) ** 2 for axis, c in zip((x, y, z), centre, strict=True)))
        lesion = np.maximum(lesion, rng.uniform(5, 10) - apart)
    return lesion + 1.5 * KNEE.noise(rng, 20)


def _sensitivity(rng: np.random.Generator, traits: dict[str, float]) -> Field:
    """How strongly the coil around the knee receives: most at the joint's height and near the coil."""
    x, y, z = KNEE.axes_mm()
    along = bump((z - rng.normal(0, 10)) / traits["coil_reach_mm"])
    toward = (x * rng.normal(0, 1) + y * rng.normal(0, 1)) / 60
    rim = (x**2 + y**2) / 50**2
    sensitivity: Field = along * (0.9 + traits["coil_edge"] * (rim + 0.5 * toward)) + 0.03 * KNEE.noise(rng, 180)
    return np.maximum(sensitivity, 0.1)
