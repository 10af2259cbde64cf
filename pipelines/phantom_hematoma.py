"""Generated bleeding: the paper's kinds of hematoma, grown inside a generated head until they hold a volume."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.phantom_head import HEAD, Head, grow_head
from sliceweave.pipelines.phantom_subject import Subject
from sliceweave.pipelines.phantom_tissue import tissue_hu
from sliceweave.transforms.lattice import Field, Fields, intersection, ramp

EDGE_MM = 1.0
KINDS = ("round", "irregular", "ventricular", "subdural", "epidural")

_VOLUMES_ML = {"round": (2, 90), "irregular": (4, 90), "ventricular": (2, 45), "subdural": (8, 90), "epidural": (6, 90)}
# Common places: basal ganglia, thalamus, frontal, temporal, parietal and occipital lobe, cerebellum.
_SITES_MM = ((27, 4, 6), (14, -10, 8), (28, 42, 12), (42, -2, -14), (32, -32, 34), (28, -58, 14), (22, -52, -38))


def grow_bleeding_head(rng: np.random.Generator, healthy: bool, number: int) -> Subject:
    """A head with the kind of hematoma whose turn it is, unless healthy, in the pose in which it was put to bed."""
    turn = Rotation.from_euler("xyz", rng.normal(0, [5, 3, 4]), degrees=True).as_matrix()
    shift_mm = rng.normal(0, [4, 5, 3])
    head = grow_head(rng)
    kinds = () if healthy else draw_kinds(rng, number)
    if kinds:
        head = bleed(head, rng, kinds)
    appearance = partial(_appearance_hu, traits=head.traits)
    return Subject(HEAD, head.fields, appearance, {1: lesion_share}, turn, shift_mm, kinds)


def _appearance_hu(samples: Fields, traits: dict[str, float]) -> Field:
    hu = tissue_hu(samples, traits)
    return blend_blood(hu, samples, traits) if "lesion" in samples else hu


@dataclass(frozen=True)
class _Growth:
    """A hematoma: its field, the depth (mm) of the dent it makes, and its side (-1 left, 1 right, 0 neither)."""

    lesion: Field
    push: Field | None = None
    side: float = 0.0


def draw_kinds(rng: np.random.Generator, turn: int) -> tuple[str, ...]:
    """The kind whose turn it is, which makes all equally frequent, and now and then a second one."""
    first, other = turn % len(KINDS), int(rng.integers(1, len(KINDS)))
    kinds = (KINDS[first], KINDS[(first + other) % len(KINDS)])
    return kinds if rng.uniform() < 0.15 else kinds[:1]


def bleed(head: Head, rng: np.random.Generator, kinds: tuple[str, ...]) -> Head:
    """The head with these hematomas: fields `lesion`, `oedema` and `push` are added, others may be displaced."""
    grow: dict[str, Callable[[Head, np.random.Generator, float], _Growth]] = {
        "round": _round,
        "irregular": _irregular,
        "ventricular": _ventricular,
        "subdural": _subdural,
        "epidural": _epidural,
    }
    fields = dict(head.fields)
    outside = np.full_like(fields["depth"], -99)
    fields |= {"lesion": outside, "oedema": outside, "push": np.zeros_like(outside)}
    for kind in kinds:
        volume_ml = float(np.exp(rng.uniform(*np.log(_VOLUMES_ML[kind])))) / len(kinds)
        growth = grow[kind](Head(fields, head.traits), rng, volume_ml)
        fields = _displaced(fields, growth.side * rng.uniform(0, 1.2) * volume_ml / 10)
        fields["lesion"] = np.maximum(fields["lesion"], growth.lesion)
        if growth.push is None:
            fields["oedema"] = np.maximum(fields["oedema"], growth.lesion + rng.uniform(0, 9) * (kind != "ventricular"))
        else:
            fields["push"] = np.maximum(fields["push"], growth.push)
    return replace(head, fields=fields, traits=head.traits | _draw_blood(rng))


def lesion_share(samples: Fields) -> Field:
    """Share (0…1) of each sample that is blood; none in a healthy head."""
    return ramp(samples["lesion"], EDGE_MM) if "lesion" in samples else np.zeros_like(samples["skin"])


def blend_blood(hu: Field, samples: Fields, traits: dict[str, float]) -> Field:
    """CT numbers with the oedema and the blood of `bleed` added."""
    swelling = ramp(samples["oedema"] + 1.5 * samples["mottle"], 4) * ramp(samples["depth"] - 2)
    hu = hu - traits["oedema_depth"] * swelling * np.clip(hu - 17, 0, 25)
    clot = traits["clot_hu"] + traits["clot_swirl_hu"] * samples["mottle"] + 2 * samples["texture"]
    return hu + (np.clip(clot, 45, 80) - hu) * lesion_share(samples)


def _draw_blood(rng: np.random.Generator) -> dict[str, float]:
    return {"clot_hu": rng.uniform(50, 74), "clot_swirl_hu": rng.uniform(0.5, 5), "oedema_depth": rng.uniform(0.3, 0.8)}


def _voxels(volume_ml: float) -> int:
    count: int = round(1000 * volume_ml / HEAD.step_mm**3)
    return max(8, count)


def _grown(score: Field, inside: Field, volume_ml: float) -> Field:
    """Field whose positive part holds the volume: the best-scored points of the positive part of `inside`."""
    scores = score[inside > 0]
    count = min(_voxels(volume_ml), scores.size - 1)
    level = np.partition(scores, scores.size - count)[scores.size - count]
    return np.minimum(score - level, inside)


def _ball(rng: np.random.Generator, centre_mm: NDArray[np.float64]) -> Field:
    """Minus the distance to a centre, stretched along random axes by up to a factor of two."""
    turn = Rotation.random(random_state=rng).as_matrix()
    stretch = np.exp(rng.uniform(-0.35, 0.35, 3))
    axes = HEAD.axes_mm()
    offsets = [axis - np.float32(c) for axis, c in zip(axes, centre_mm, strict=True)]
    rows = (turn / (stretch / np.cbrt(stretch.prod()))[:, None]).astype(np.float32)
    return -np.sqrt(sum(sum(w * offset for w, offset in zip(row, offsets, strict=True)) ** 2 for row in rows))


def _site(rng: np.random.Generator) -> NDArray[np.float64]:
    centre: NDArray[np.float64] = np.array(_SITES_MM[rng.integers(len(_SITES_MM))], float) + rng.normal(0, 5, 3)
    centre[0] *= rng.choice([-1, 1])
    return centre


def _brain_room(fields: Fields, centre_mm: NDArray[np.float64]) -> Field:
    """Depth inside the compartment around the centre: one hemisphere, or the posterior fossa."""
    above = centre_mm[2] > -20
    tent = fields["tent"] if above else -fields["tent"]
    room = np.minimum(
        fields["depth"] - 2.5, np.where(fields["falx"] > 0, np.sign(centre_mm[0]) * fields["mid"] - 1.5, 20)
    )
    _, y, _ = HEAD.axes_mm()
    return np.minimum(room, np.where(y < -20, tent, 20))


def _round(head: Head, rng: np.random.Generator, volume_ml: float) -> _Growth:
    centre = _site(rng)
    score = _ball(rng, centre) + 0.8 * HEAD.noise(rng, 45)
    return _Growth(_grown(score, _brain_room(head.fields, centre), volume_ml), side=float(np.sign(centre[0])))


def _irregular(head: Head, rng: np.random.Generator, volume_ml: float) -> _Growth:
    """A ball with lobes and fingers, and up to two smaller foci beside it."""
    centre = _site(rng)
    score = _ball(rng, centre)
    reach = 1.3 * np.cbrt(1000 * volume_ml * 0.24)
    for _ in range(rng.integers(0, 3)):
        score = np.maximum(score, _ball(rng, centre + rng.normal(0, reach, 3)) - rng.uniform(0, 0.5) * reach)
    score = score + 0.22 * reach * HEAD.noise(rng, 40) + 0.10 * reach * HEAD.noise(rng, 18)
    return _Growth(_grown(score, _brain_room(head.fields, centre), volume_ml), side=float(np.sign(centre[0])))


def _ventricular(head: Head, rng: np.random.Generator, volume_ml: float) -> _Growth:
    """A cast of the ventricles, or a layer sunk to their back with a level surface, more on one side or not."""
    fields = head.fields
    fields["ventricle"] = fields["ventricle"] + np.float32(rng.uniform(0.5, 3.0))
    _, y, _ = HEAD.axes_mm()
    level = rng.uniform(0.2, 1.0) * -y + rng.choice([0, 0.4]) * rng.choice([-1, 1]) * fields["mid"]
    score = level + rng.uniform(0, 3) * fields["ventricle"] + 2 * HEAD.noise(rng, 30)
    inside = np.minimum(fields["ventricle"], fields["depth"] - 3)
    room_ml = np.count_nonzero(inside > 0) * HEAD.step_mm**3 / 1000
    return _Growth(_grown(score, inside, min(volume_ml, 0.9 * room_ml)))


def _shell(head: Head, centre: NDArray[np.float64], profile: Field, volume_ml: float) -> _Growth:
    """Blood under the inner table, as thick as the profile (0…1) times the height that gives the volume."""
    depth = head.fields["depth"]
    near = (profile > 0.02) & (depth > 0)
    heights = (depth[near] / profile[near]).ravel()
    count = min(_voxels(volume_ml), heights.size - 1)
    push = np.partition(heights, count)[count] * profile
    return _Growth(intersection(push - depth, depth, 2 * push - 3), push, float(np.sign(centre[0])))


def _patch(rng: np.random.Generator, radius_mm: float, flatness: float) -> tuple[NDArray[np.float64], Field]:
    """A point on one side of the vault, and the squared distance from it along the skull in units of the radius."""
    azimuth, rise = np.radians(rng.uniform(-50, 55)), np.radians(rng.uniform(0, 45))
    side = rng.choice([-1, 1])
    centre = np.array([side * np.cos(azimuth) * np.cos(rise), np.sin(azimuth) * np.cos(rise), np.sin(rise)])
    x, y, z = HEAD.axes_mm()
    length = np.maximum(np.sqrt(x**2 + y**2 + z**2), 10) / 72
    offsets = [axis / length - np.float32(72 * c) for axis, c in zip((x, y, z), centre, strict=True)]
    return centre, (offsets[0] ** 2 + offsets[1] ** 2 + (flatness * offsets[2]) ** 2) / np.float32(radius_mm**2)


def _hemisphere(head: Head, side: float) -> Field:
    """Share (0…1) that keeps extra-axial blood on its side of the falx and above skull base and tentorium."""
    _, y, z = HEAD.axes_mm()
    tent = np.where(y < -15, head.fields["tent"], z + np.clip(32 - 1.2 * (y - 5), 0, 32))
    return ramp(side * head.fields["mid"] - 5, 8) * ramp(tent - 4, 8)


def _subdural(head: Head, rng: np.random.Generator, volume_ml: float) -> _Growth:
    """A crescent: thin, wide, longer from front to back."""
    height = float(np.clip(4 + 0.09 * volume_ml, 4, 13)) * rng.uniform(0.8, 1.3)
    centre, apart = _patch(rng, np.sqrt(1000 * volume_ml / height / np.pi) * 1.25, 1.4)
    profile = np.clip(1 - apart**1.5 + 0.12 * HEAD.noise(rng, 50), 0, None) * _hemisphere(head, np.sign(centre[0]))
    return _shell(head, centre, profile, volume_ml)


def _epidural(head: Head, rng: np.random.Generator, volume_ml: float) -> _Growth:
    """A lens: thick, with a small base."""
    height = 1.0 * float(np.cbrt(1000 * volume_ml)) * rng.uniform(0.45, 0.65)
    centre, apart = _patch(rng, np.sqrt(2000 * volume_ml / height / np.pi), 1.0)
    profile = np.clip(1 - apart + 0.04 * HEAD.noise(rng, 50), 0, None) * _hemisphere(head, np.sign(centre[0]))
    return _shell(head, centre, profile, volume_ml)


def _displaced(fields: Fields, shift_mm: float) -> Fields:
    """Fields with the brain's middle moved to the left (positive) or right by at most 9 mm."""
    shift_mm = float(np.clip(shift_mm, -9, 9))
    x, y, z = HEAD.axes_mm()
    bell = np.exp(-0.5 * ((x / 30) ** 2 + ((y + 2) / 32) ** 2 + ((z - 8) / 28) ** 2))
    steps = np.arange(bell.shape[0], dtype=np.float32)[:, None, None] + bell * np.float32(shift_mm / HEAD.step_mm)
    low = np.clip(np.floor(steps).astype(np.intp), 0, bell.shape[0] - 2)
    share = (steps - low).astype(np.float32)
    moved = {
        name: np.take_along_axis(fields[name], low, 0) * (1 - share)
        + np.take_along_axis(fields[name], low + 1, 0) * share
        for name in ("mid", "ventricle", "cistern", "grey")
    }
    return fields | moved
