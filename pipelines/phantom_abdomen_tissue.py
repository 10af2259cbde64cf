"""CT numbers of a generated abdomen, from samples of its fields."""

import numpy as np

from sliceweave.pipelines.phantom_torso import TORSO, wall_hu, with_bones
from sliceweave.pipelines.phantom_tumor import with_tumors
from sliceweave.pipelines.phantom_vessels import axis_distance
from sliceweave.transforms.lattice import Field, Fields, ramp


def draw_organ_traits(rng: np.random.Generator) -> dict[str, float]:
    """CT numbers (HU) of the organs: portal venous as a rule, sometimes too early, sometimes a fatty liver."""
    liver = rng.uniform(50, 80) if rng.uniform() < 0.2 else rng.uniform(90, 130)
    early = rng.uniform() < 0.15
    blood = rng.uniform(130, 190)
    return {
        "liver_hu": liver,
        "spleen_hu": rng.uniform(105, 135),
        "kidney_hu": rng.uniform(165, 210),
        "medulla_hu": rng.uniform(45, 90) if early else rng.uniform(0, 35),
        "pancreas_hu": rng.uniform(80, 115),
        "blood_hu": blood,
        "vein_hu": liver - rng.uniform(12, 28) if early else max(blood, liver + 25),
        "dead_hu": rng.uniform(15, 38),
        "air_hu": rng.uniform(-870, -790),
    }


def abdomen_hu(samples: Fields, traits: dict[str, float]) -> Field:
    """CT numbers at samples of an abdomen's fields."""
    mottle = samples["mottle"]
    hu = wall_hu(samples, traits)
    hu += (samples["organ_hu"] + 3 * mottle - hu) * ramp(samples["organ"])
    content = samples["content_hu"]
    hu += (content + 2 * mottle - hu) * ramp(samples["content"])
    air = traits["air_hu"] + 14 * mottle + 10 * samples["texture"] - 0.4 * samples["front"]
    hu += (air - hu) * ramp(samples["lung"], 1.5)
    hu = _with_vessels(hu, samples, traits)
    hu = with_bones(hu, samples, traits)
    return -1000 + (hu + 1000) * ramp(samples["skin"])


def _with_vessels(hu: Field, samples: Fields, traits: dict[str, float]) -> Field:
    """Adds liver with its tumours and veins, and the vessels outside it."""
    flow = ramp(samples["vessel_radius"] - axis_distance(samples, "vessel", TORSO.step_mm), 0.9)
    outside = flow * ramp(-samples["content"] - 1)
    hu = hu + (np.maximum(traits["blood_hu"], hu) - hu) * outside
    liver = traits["liver_hu"] + samples["shade"] + 1.5 * samples["mottle"]
    liver = liver + (traits["vein_hu"] - liver) * flow
    liver = with_tumors(liver, samples, traits)
    return hu + (liver - hu) * ramp(samples["liver"])
