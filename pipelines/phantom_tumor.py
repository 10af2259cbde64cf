"""Generated liver tumours as they look in the portal venous phase.

Simple cysts are never drawn: data sets do not agree whether they are lesions.
"""

import numpy as np

from sliceweave.pipelines.phantom_focus import Focus, around, stretched_distance
from sliceweave.pipelines.phantom_torso import NOTHING_MM, TORSO
from sliceweave.transforms.lattice import Field, Fields, ramp

KINDS = ("plain", "lobulated", "rim", "necrotic", "ill_defined")
BRIGHT = "hyperdense"

_MOST_TUMORS = 8
_RADII_MM = (4.0, 45.0)
_BRIGHT_SHARE = 0.05
_LEADING_MM = 16.0  # of the first tumour at least: 17 ml, the mean of LiTS's tumours (Bilic et al. 2023)
_SEEN_HU = 12.0  # between a rim and the liver at least: the truth ends where a reader would see it end
_LEADING_DEPTH_MM = 10.0  # its centre below the capsule, so that little of it is cut off


def tumor_share(samples: Fields) -> Field:
    """Share (0…1) of each sample that is tumour."""
    return ramp(samples["tumor"])


def seed_tumors(
    rng: np.random.Generator, liver: Field, traits: dict[str, float], turn: int, even_kinds: bool = False
) -> tuple[Fields, tuple[str, ...]]:
    """Fields of the tumours of a healthy liver, and their kinds, the one whose turn it is first.

    `tumor` and `necrosis` are signed distances; `drop`, `rim` and `hem` belong to the nearest tumour: HU below the
    liver, HU of its rim above its inside, and the width (mm) of its border.
    """
    empty = np.full(TORSO.shape, NOTHING_MM, np.float32)
    grown: Fields = {"tumor": empty, "necrosis": empty.copy()}
    grown |= {"drop": empty * 0, "rim": empty * 0, "hem": empty * 0 + 1}
    lumps = TORSO.noise(rng, 70), TORSO.noise(rng, 32), TORSO.noise(rng, 16)
    leads = (*KINDS, BRIGHT) if even_kinds else KINDS
    tumors = draw_tumors(rng, liver, leads[turn % len(leads)], even_kinds)
    contrast_hu = rng.uniform(24, 65) if traits["liver_hu"] > 85 else rng.uniform(20, 38)
    for tumor in tumors:
        _grow(rng, grown, (liver, *lumps), tumor)
        _stain(rng, grown, tumor, contrast_hu * rng.uniform(0.75, 1.15))
    return grown, tuple(dict.fromkeys(tumor.kind for tumor in tumors))


def with_tumors(liver_hu: Field, samples: Fields, traits: dict[str, float]) -> Field:
    """CT numbers of liver, vessels included, with the tumours, if any."""
    if "drop" not in samples:
        return liver_hu
    tumor, mottle = samples["tumor"], samples["mottle"]
    inside = traits["liver_hu"] - samples["drop"] + 4 * mottle + 4 * samples["texture"]
    inside = inside + samples["rim"] * ramp(4.5 + mottle - tumor, 4)
    dead = ramp(samples["necrosis"] + 0.8 * mottle, 4)
    inside = inside + (np.minimum(traits["dead_hu"] + 2 * mottle, inside) - inside) * dead
    share = np.clip(tumor / samples["hem"] + 0.5, 0, 1)
    return liver_hu + (inside - liver_hu) * share


def draw_tumors(rng: np.random.Generator, liver: Field, lead: str, even_kinds: bool = False) -> list[Focus]:
    """Between one and eight tumours anywhere in the liver, some under its capsule; the first is never a small one.

    Of the others few are bright, or with `even_kinds` as many as of any kind.
    """
    bright_share = 1 / (len(KINDS) + 1) if even_kinds else _BRIGHT_SHARE
    count = int(np.clip(np.round(np.exp(rng.uniform(0, np.log(_MOST_TUMORS + 0.49)))), 1, _MOST_TUMORS))
    places = np.argwhere(liver > 2.5)
    chosen = places[rng.choice(len(places), count)]
    chosen[0] = rng.choice(np.argwhere(liver > min(_LEADING_DEPTH_MM, 0.9 * liver.max())))
    points = np.array(TORSO.low_mm) + TORSO.step_mm * chosen
    kinds = [lead, *map(str, rng.choice([lead, lead, *KINDS], count - 1))]
    is_bright = rng.uniform(size=count) < bright_share
    is_bright[0] = False
    kinds = [BRIGHT if bright else kind for bright, kind in zip(is_bright, kinds, strict=True)]
    largest = _RADII_MM[1] / count**0.25
    radii = _RADII_MM[0] * (largest / _RADII_MM[0]) ** rng.beta(1.3, 1.5, count)
    radii[0] = max(radii[0], _LEADING_MM)
    floor = {"rim": 7.0, "necrotic": 11.0}
    return [
        Focus(kind, point, float(max(radius, floor.get(kind, 0))))
        for kind, point, radius in zip(kinds, points, radii, strict=True)
    ]


def _grow(rng: np.random.Generator, grown: Fields, room: tuple[Field, Field, Field, Field], tumor: Focus) -> None:
    """Adds one tumour's shape to the grown fields, inside the liver."""
    near, radius = around(tumor.centre_mm, 1.8 * tumor.radius_mm + 8), tumor.radius_mm
    liver, *waves = (field[near] for field in room)
    rough = {"lobulated": (0.14, 0.15, 0.05), "ill_defined": (0.18, 0.10, 0.07)}.get(tumor.kind, (0.06, 0.05, 0.02))
    bulge = sum(w * float(rng.choice([-1.0, 1.0])) * wave for w, wave in zip(rough, waves, strict=True))
    apart = stretched_distance(rng, near, tumor.centre_mm, 0.25)
    distance = np.minimum(radius * (1 + bulge) - apart, liver - 0.4)
    grown["_own"] = np.full_like(grown["tumor"], NOTHING_MM)
    grown["_own"][near] = distance
    if tumor.kind == "necrotic":
        share = rng.uniform(0.25, 0.55)
        dead = distance - share * radius + 0.12 * radius * waves[1]
        grown["necrosis"][near] = np.maximum(grown["necrosis"][near], dead)


def _stain(rng: np.random.Generator, grown: Fields, tumor: Focus, contrast_hu: float) -> None:
    """Gives the last tumour grown its CT numbers, wherever it is nearer than the others."""
    own = grown.pop("_own")
    nearer = own > grown["tumor"]
    drop = -rng.uniform(18, 40) if tumor.kind == BRIGHT else contrast_hu
    rim = _visible(rng.uniform(12, 40), drop) if tumor.kind in ("rim", "necrotic") and tumor.radius_mm > 6 else 0.0
    hem = rng.uniform(4, 9) if tumor.kind == "ill_defined" else rng.uniform(0.9, 3.0)
    for name, value in (("drop", drop), ("rim", rim), ("hem", min(hem, 0.8 * tumor.radius_mm))):
        np.copyto(grown[name], np.float32(value), where=nearer)
    np.maximum(grown["tumor"], own, out=grown["tumor"])


def _visible(rim: float, drop: float) -> float:
    """HU of a rim above the tumour's inside, itself `drop` below the liver, moved off the liver's own HU."""
    return drop + float(np.copysign(max(abs(rim - drop), _SEEN_HU), rim - drop))
