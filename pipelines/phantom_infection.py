"""Generated pneumonia as in COVID-19: ground glass, crazy paving and consolidation, mostly at the back and the rim."""

import numpy as np

from sliceweave.pipelines.phantom_focus import Focus, around, stretched_distance
from sliceweave.pipelines.phantom_torso import NOTHING_MM, TORSO
from sliceweave.transforms.lattice import Field, Fields, ramp

KINDS = ("ground_glass", "consolidation", "crazy_paving", "rounded")

_MOST_FOCI = 12
_RADII_MM = (3.0, 40.0)
_FIRST_MM = 9.0  # radius of the first focus at least
_SEVERE = 0.75


def infection_share(samples: Fields) -> Field:
    """Share (0…1) of each sample that is infected lung."""
    return ramp(samples["infection"])


def infect(
    rng: np.random.Generator, fields: Fields, traits: dict[str, float], turn: int
) -> tuple[Fields, tuple[str, ...]]:
    """Fields of the infection of a healthy chest, and its kinds, the one whose turn it is first; adds to the traits.

    `infection` and `firm` (consolidation) are signed distances, `haze` is what ground glass adds (HU), `paved` is 1
    where it shows thickened septa.
    """
    lead = KINDS[turn % len(KINDS)]
    traits |= {"hem": rng.uniform(1.5, 6.5), "firm_hu": rng.uniform(-60, 45), "septa_hu": rng.uniform(110, 240)}
    lobes, lumps = TORSO.noise(rng, 70), TORSO.noise(rng, 28)
    empty = np.full(TORSO.shape, NOTHING_MM, np.float32)
    grown: Fields = {"infection": empty, "firm": empty.copy(), "haze": np.zeros_like(empty), "paved": empty * 0}
    foci = _draw_foci(rng, fields["lung"], lead)
    for focus in foci:
        _grow(rng, grown, (fields["lung"], lobes * _sign(rng), lumps * _sign(rng)), focus)
    return grown, tuple(dict.fromkeys(focus.kind for focus in foci))


def with_infection(hu: Field, samples: Fields, traits: dict[str, float]) -> Field:
    """CT numbers of lung tissue with the infection, if any; vessels and airways come later and shine through."""
    if "firm" not in samples:
        return hu
    mottle, texture = samples["mottle"], samples["texture"]
    share = ramp(samples["infection"], traits["hem"])
    septa = traits["septa_hu"] * ramp(0.3 - np.abs(mottle), 0.35) * samples["paved"]
    glass = np.minimum(hu + samples["haze"] * (1 + 0.12 * mottle + 0.15 * texture) + septa, -120)
    hu = hu + (np.maximum(glass, hu) - hu) * share
    firm = ramp(samples["firm"] + 1.2 * mottle, 3.0) * share
    return hu + (traits["firm_hu"] + 14 * mottle - hu) * firm


def _draw_foci(rng: np.random.Generator, lung: Field, lead: str) -> list[Focus]:
    """Between one and twelve foci, rather at the back, at the rim and low down; the first is never tiny."""
    severe = rng.uniform()
    fewest = 5 if severe > _SEVERE else 1
    count = int(np.clip(np.round(np.exp(rng.uniform(np.log(fewest), np.log(_MOST_FOCI + 0.49)))), 1, _MOST_FOCI))
    places = np.argwhere(lung > 1)
    points = np.array(TORSO.low_mm) + TORSO.step_mm * places
    weights = np.exp(-lung[tuple(places.T)] / rng.uniform(7, 30) - points[:, 1] / rng.uniform(35, 120))
    weights = weights * np.exp(-points[:, 2] / rng.uniform(60, 300)) * (1 + rng.uniform(-1, 0.8) * (points[:, 0] > 0))
    chosen = rng.choice(len(points), count, p=weights / weights.sum())
    # In severe disease small foci are rare, and large ones run together; a single focus is large enough to be found.
    smallest = _RADII_MM[0] + 16 * severe**2
    radii = np.exp(rng.uniform(np.log(smallest), np.log(_RADII_MM[1]), count))
    radii[0] = max(radii[0], _FIRST_MM)
    kinds = [lead, *map(str, rng.choice([lead, lead, *KINDS], count - 1))]
    return [
        Focus(kind, points[place], float(min(radius, 17.0) if kind == "rounded" else radius))
        for kind, place, radius in zip(kinds, chosen, radii, strict=True)
    ]


def _grow(rng: np.random.Generator, grown: Fields, room: tuple[Field, Field, Field], focus: Focus) -> None:
    """Adds one focus to the grown fields, in the part of the lattice that it can reach."""
    near = around(focus.centre_mm, 2.2 * focus.radius_mm + 8)
    lung, lobes, lumps = (field[near] for field in room)
    radius, (smooth, spread) = focus.radius_mm, (0.4, 0.1) if focus.kind == "rounded" else (1.0, 0.38)
    rough = smooth * radius * (0.26 * lobes + 0.16 * lumps)
    distance = np.minimum(radius + rough - stretched_distance(rng, near, focus.centre_mm, spread), lung)
    infection, firm, haze, paved = (grown[name][near] for name in ("infection", "firm", "haze", "paved"))
    nearer = distance > infection
    np.copyto(haze, np.float32(_haze_hu(rng, focus.kind)), where=nearer)
    np.copyto(paved, np.float32(focus.kind == "crazy_paving"), where=nearer)
    np.maximum(infection, distance, out=infection)
    np.maximum(firm, _core(rng, distance, lumps, focus), out=firm)


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _haze_hu(rng: np.random.Generator, kind: str) -> float:
    return float(rng.uniform(230, 480) if kind in ("consolidation", "rounded") else rng.uniform(130, 420))


def _core(rng: np.random.Generator, distance: Field, lumps: Field, focus: Focus) -> Field:
    """Signed distance to the consolidated part of a focus: most of it, some of it, or none."""
    if focus.kind == "consolidation":
        return distance - rng.uniform(0.3, 2.5) + 1.5 * lumps
    rim = rng.uniform(0.15, 1.1) if focus.kind == "rounded" or rng.uniform() < 0.3 else 9.0
    return distance - rim * focus.radius_mm + 0.12 * focus.radius_mm * lumps
