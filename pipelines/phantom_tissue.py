"""CT numbers of a generated head, from samples of its fields."""

import numpy as np

from sliceweave.transforms.lattice import Field, Fields, intersection, ramp, union


def tissue_hu(samples: Fields, traits: dict[str, float]) -> Field:
    """CT numbers of a healthy head at samples of its fields."""
    hu = _outside_brain_hu(samples, traits)
    inside = ramp(samples["depth"], 0.8)
    hu += (_brain_hu(samples, traits) - hu) * inside
    return hu + samples["shade"] * ramp(samples["skin"])


def _outside_brain_hu(samples: Fields, traits: dict[str, float]) -> Field:
    """Air, scalp, skull, face and neck."""
    skin, depth, mottle = samples["skin"], samples["depth"], samples["mottle"]
    low = (
        ramp(-14 - samples["vault"], 10)
        + ramp(samples["vault"] - depth - 8, 6)
        + ramp(samples["texture"] - 0.8, 0.6) * ramp(samples["skin"] - 4)
    )
    muscle = (
        ramp(np.abs(mottle + 0.6 * samples["texture"]) - 0.05, 0.4)
        * ramp(skin - 4 + samples["texture"], 2)
        * np.clip(low, 0, 1)
    )
    soft = traits["fat_hu"] + (55 - traits["fat_hu"]) * np.maximum(muscle, ramp(1.8 - skin))
    table = np.minimum(samples["outer"], -depth)
    marrow = ramp(table - 1.9, 1.2) * (traits["table_hu"] - traits["diploe_hu"] - 120 * mottle)
    hu = soft + ramp(samples["bone"], 1.2) * (650 + 150 * mottle - soft)
    hu += (traits["table_hu"] - marrow - hu) * ramp(table, 0.9)
    for field, value in (("orbit", traits["fat_hu"]), ("eye", 12.0), ("air", -980.0)):
        hu += (value - hu) * ramp(samples[field])
    return -1000 + (hu + 1000) * ramp(skin)


def _brain_hu(samples: Fields, traits: dict[str, float]) -> Field:
    """Fluid, grey and white matter, dura, venous sinuses and calcifications."""
    depth, middle, tent = samples["depth"], np.abs(samples["mid"]), np.abs(samples["tent"])
    below = ramp(-samples["tent"], 4)
    surface = depth - samples.get("push", 0) - traits["rim"] * (1 + 0.5 * samples["texture"])
    sheet = np.abs(samples["fold"]) + np.maximum(0, 0.8 * (surface - 13 + 2 * samples["texture"])) + 9 * below
    fissure = (
        middle + 40 * ramp(-1 - samples["falx"], 6) + 40 * below + 0.6 * samples["texture"] + 0.5 * samples["mottle"]
    )
    width = traits["sulcus"] + 0.3 * samples["texture"]
    tissue = intersection(
        surface, sheet - width, fissure - traits["fissure"], -samples["ventricle"], -samples["cistern"]
    )
    cortex = intersection(surface, sheet, fissure)
    # The crowns of the gyri hold white matter: where the next sulcus is far, grey matter ends earlier.
    ribbon = 14 - np.minimum(surface, fissure) - 1.2 * np.abs(samples["fold"])
    grey = union(
        ramp(2 - cortex, 4), ramp(ribbon, 8), ramp(samples["grey"], 3), (0.7 + 0.2 * samples["mottle"]) * below
    )
    hu = (
        traits["white_hu"]
        + (traits["grey_hu"] - traits["white_hu"]) * grey
        + 0.8 * samples["texture"]
        + 0.9 * samples["mottle"]
    )
    hu = traits["csf_hu"] + (hu - traits["csf_hu"]) * ramp(tissue, 1.2)
    dura = np.maximum(ramp(0.55 - middle) * ramp(samples["falx"], 3), ramp(0.5 - tent) * ramp(26 - depth, 6))
    hu += (traits["dura_hu"] - hu) * dura
    venous = np.maximum(
        ramp(4.5 - 1.3 * middle - depth) * ramp(samples["tent"] + 6, 3), ramp(3.5 - np.hypot(tent, depth - 1))
    )
    hu += (traits["blood_hu"] - hu) * venous
    return hu + (160 - hu) * ramp(samples["calcium"], 2)
