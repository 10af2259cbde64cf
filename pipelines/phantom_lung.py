"""CT numbers of a generated chest, from samples of its fields."""

import numpy as np

from sliceweave.pipelines.phantom_infection import with_infection
from sliceweave.pipelines.phantom_torso import TORSO, wall_hu, with_bones
from sliceweave.pipelines.phantom_vessels import axis_distance
from sliceweave.transforms.lattice import Field, Fields, ramp


def draw_lung_traits(rng: np.random.Generator) -> dict[str, float]:
    """Sizes (mm) and CT numbers (HU) of lungs and mediastinum."""
    enhanced = rng.uniform() < 0.4
    smoker = rng.uniform() < 0.2
    return {
        "air_hu": rng.uniform(-890, -815),
        "dependent_hu": rng.uniform(25, 110),
        "atelectasis_hu": rng.uniform(150, 420) * (rng.uniform() < 0.3),
        "emphysema": rng.uniform(0.6, 1.2) if smoker else 9.0,
        "fissure": rng.uniform(0.3, 0.9) + 0.9 * (rng.uniform() < 0.15),
        "tip": rng.uniform(0.5, 0.72),
        "windpipe": rng.uniform(7.5, 10),
        "blood_hu": rng.uniform(130, 260) if enhanced else rng.uniform(32, 50),
        "liver_hu": rng.uniform(85, 115) if enhanced else rng.uniform(45, 65),
        "pulse": rng.uniform(0.8, 3.5),
        "gas_hu": rng.uniform(-1000, -970),
    }


def chest_hu(samples: Fields, traits: dict[str, float]) -> Field:
    """CT numbers at samples of a chest's fields."""
    hu = wall_hu(samples, traits)
    hu += (samples["organ_hu"] + 3 * samples["mottle"] - hu) * ramp(samples["organ"])
    hu = with_bones(hu, samples, traits)
    near = np.flatnonzero((samples["airway"] > -2) | (samples["lung"] > -2))
    inner = {name: sample.reshape(-1)[near] for name, sample in samples.items()}
    flat = hu.reshape(-1)
    flat[near] = _lung_hu(flat[near], inner, traits)
    hu = flat.reshape(hu.shape)
    return -1000 + (hu + 1000) * ramp(samples["skin"])


def _lung_hu(hu: Field, samples: Fields, traits: dict[str, float]) -> Field:
    """CT numbers with lungs, their vessels and airways in them."""
    lung = samples["lung"]
    inside = ramp(lung, traits["pulse"])
    wall = samples["vessel_radius"] - axis_distance(samples, "vessel", TORSO.step_mm)
    blood = ramp(np.maximum(wall, samples["trunk"] + 0.3), 1.5)
    tissue = with_infection(_parenchyma_hu(samples, traits), samples, traits)
    tissue = tissue + (np.maximum(traits["blood_hu"], tissue) - tissue) * blood
    hu = hu + (tissue - hu) * inside
    airway = samples["airway"]
    hu = hu + (np.maximum(hu, -150) - hu) * ramp(airway + 0.6, 1.2)
    return hu + (traits["gas_hu"] - hu) * ramp(airway - 0.5, 1.2)


def _parenchyma_hu(samples: Fields, traits: dict[str, float]) -> Field:
    """Aerated lung: denser towards the back, thin in emphysema, with a fissure through it."""
    back = np.clip(0.5 - samples["front"] / (2 * traits["depth"]), 0, 1)
    mottle, texture = samples["mottle"], samples["texture"]
    hu = traits["air_hu"] + traits["dependent_hu"] * back**1.5 + 13 * mottle + 10 * texture
    sunk = ramp(9 + 5 * texture - samples["lung"], 10) * ramp(back - 0.86, 0.12)
    hu = hu + traits["atelectasis_hu"] * sunk
    holes = ramp(0.7 * texture + 0.7 * mottle - traits["emphysema"], 0.5)
    hu = hu + (-965 - hu) * 0.85 * holes
    line = ramp(traits["fissure"] + 0.2 * mottle - np.abs(samples["fissure"]), 0.8)
    return hu + (-520 - hu) * 0.7 * line
