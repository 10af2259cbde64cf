"""A generated upper abdomen in the portal venous phase, and perhaps tumours in its liver."""

from functools import partial

import numpy as np

from sliceweave.pipelines.phantom_abdomen_tissue import abdomen_hu, draw_organ_traits
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.phantom_liver import Liver, grow_liver, liver_vessels
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
    scattered,
    spine,
    superellipse,
)
from sliceweave.pipelines.phantom_tumor import seed_tumors, tumor_share
from sliceweave.pipelines.phantom_vessels import Branches, axis_fields, grow_tree
from sliceweave.pipelines.phantom_viscera import (
    Viscera,
    bowel,
    great_vessels,
    kidneys,
    muscles_inside,
    pancreas,
    spleen,
    stomach,
)
from sliceweave.transforms.lattice import Field, Fields, ellipsoid, intersection, ramp, union

ABDOMEN_OPTIONS = PhantomOptions(size=512, slices=48, spacing_mm=(0.75, 0.75, 4.0))
TUMOR = 1


def grow_abdomen(rng: np.random.Generator, healthy: bool, turn: int = 0, even_kinds: bool = False) -> Subject:
    """An upper abdomen; `turn` decides which kind of tumour comes first, `even_kinds` makes the rare kind frequent."""
    turned, shift_mm = draw_pose(rng)
    traits = draw_torso_traits(rng) | draw_organ_traits(rng)
    traits["width"] *= rng.uniform(1.0, 1.08)
    fields = _body(rng, traits)
    kinds: tuple[str, ...] = ()
    if not healthy:
        tumors, kinds = seed_tumors(rng, fields["liver"], traits, turn, even_kinds)
        fields |= tumors
    labels = {TUMOR: tumor_share}
    return Subject(TORSO, on_lattice(fields), partial(abdomen_hu, traits=traits), labels, turned, shift_mm, kinds)


def _body(rng: np.random.Generator, traits: dict[str, float]) -> Fields:
    """All fields of a healthy abdomen."""
    x, y, z = TORSO.axes_mm()
    fields: Fields = {"texture": TORSO.noise(rng, 60), "mottle": TORSO.noise(rng, 13), "front": y}
    cage = _cavity(rng, traits)
    traits["top"] = rng.uniform(58, 84)
    dome = _dome(rng, traits)
    margin = -72 + 100 * ramp(y - 20, 80) * ramp(95 - np.abs(x), 80)
    fields |= body_wall(rng, traits, cage, 10 * ramp(-z - 40, 120)) | ribs(traits, cage, margin - z)
    fields |= spine(rng, traits, 30.0, 18.0)
    column, canal = fields.pop("column"), fields.pop("canal")
    heart = ellipsoid((x + 20, y - 26, z - traits["top"] - 26), (60, 44, 46)) + 1.5 * TORSO.noise(rng, 70)
    fields["lung"] = _lung_bases(rng, traits, intersection(cage - 2, dome, -heart - 3))
    room = intersection(cage - 3, -dome - 4)
    fixed = kidneys(rng, traits) + spleen(rng, traits, room)
    kept = union(*(field for field, _ in fixed.organs), column + 6)
    liver = grow_liver(rng, traits, cage, dome, kept)
    gut_room = intersection(room, -liver.liver - 1.5, -liver.gallbladder - 1.5, -kept - 1)
    hollow = stomach(rng, traits, gut_room) + pancreas(rng, traits) + bowel(rng, traits, gut_room - 2)
    rest = [(column, 85.0), (canal, 25.0), (liver.fluid, 12.0), (np.minimum(heart, dome - 4), traits["blood_hu"] - 20)]
    fields |= _layers(fixed + hollow, liver, [*rest, *muscles_inside(rng, traits, cage, dome)])
    fields["tumor"] = np.full(TORSO.shape, NOTHING_MM, np.float32)
    return fields | _vessels(rng, traits, (liver.liver, fields["lung"], gut_room, cage))


def _layers(viscera: Viscera, liver: Liver, rest: list[tuple[Field, float]]) -> Fields:
    """Organs, what they contain, and the liver over them."""
    organ, organ_hu = painted(*viscera.organs, *rest)
    content, content_hu = painted(*viscera.contents, (liver.gallbladder, 8.0))
    return {
        "organ": organ, "organ_hu": organ_hu, "content": content, "content_hu": content_hu,
        "liver": liver.liver, "shade": liver.shade,
    }  # fmt: skip


def _cavity(rng: np.random.Generator, traits: dict[str, float]) -> Field:
    """Inside of ribs and abdominal wall; the belly bulges below the ribs."""
    x, y, z = TORSO.axes_mm()
    belly = rng.uniform(-0.06, 0.14) * ramp(-z - 10, 120)
    width = traits["width"] * (1 - 0.0006 * np.abs(z - 10)) * (1 + 0.5 * belly)
    depth = traits["depth"] * (1 + belly - 0.0007 * np.clip(z - 30, 0, 90))
    shift = depth - traits["depth"]
    return superellipse(x, y - shift, (width, depth), traits["square"]) + 1.0 * TORSO.noise(rng, 120)


def _dome(rng: np.random.Generator, traits: dict[str, float]) -> Field:
    """Height (mm) above the diaphragm."""
    x, y, z = TORSO.axes_mm()
    top, drop, bend = traits["top"], rng.uniform(4, 20), rng.uniform(100, 150)
    width = traits["width"]
    right = top - ((x - 0.48 * width) ** 2 + 0.9 * (y - 14) ** 2) / bend
    left = top - drop - ((x + 0.5 * width) ** 2 + 0.9 * (y - 12) ** 2) / bend
    middle = top - 14 - 0.02 * x**2 - 0.012 * (y - 20) ** 2
    return 0.75 * (z - union(right, left, middle) + 1.2 * TORSO.noise(rng, 90))


def _lung_bases(rng: np.random.Generator, traits: dict[str, float], room: Field) -> Field:
    """Lungs in their room above the diaphragm, beside mediastinum and spine."""
    x, y, _ = TORSO.axes_mm()
    forward = y - traits["spine"]
    half = 25 - 17 * ramp(y - 15, 60) + 2 * TORSO.noise(rng, 50)
    middle = np.minimum(half - np.abs(x + 4), forward)
    vertebra = np.maximum(26 - np.hypot(0.95 * x, forward + 6), np.minimum(15 - np.abs(x), -forward))
    return intersection(room, -middle, -vertebra)


def _vessels(rng: np.random.Generator, traits: dict[str, float], rooms: tuple[Field, Field, Field, Field]) -> Fields:
    """Large vessels, the liver's trees, small vessels of lung bases and mesentery."""
    liver, lung, gut_room, cage = rooms
    x, y, z = TORSO.axes_mm()
    parts = [great_vessels(traits), liver_vessels(rng, liver)]
    for side in (1, -1):
        base = (lung > 5) & (side * x > 0)
        if base.sum() > 200:
            root = np.array([side * 34.0, -25.0, 120.0])
            parts.append(grow_tree(rng, root, scattered(rng, base, 140), 0.6))
    fat = (gut_room > 4) & (z < -20) & (y > -20)
    parts.append(grow_tree(rng, np.array([8.0, 18.0, -60.0]), scattered(rng, fat, 160), 0.8))
    return axis_fields(TORSO, Branches.joined(*parts), (cage > 0) & (np.abs(z) < 140), "vessel")
