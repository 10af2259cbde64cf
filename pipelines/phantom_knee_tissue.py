"""What a generated knee looks like in a DESS sequence with water excitation, and where its cartilage is.

Values are relative to joint fluid, before the coil's sensitivity.
"""

from dataclasses import dataclass

import numpy as np

from sliceweave.transforms.lattice import Field, Fields, bump, ramp

EDGE_MM = 0.7


def draw_values(rng: np.random.Generator) -> dict[str, float]:
    """Signals of one knee's tissues."""
    ranges = {
        "fluid": (0.92, 1.05),
        "cartilage": (0.50, 0.62),
        "muscle": (0.30, 0.40),
        "marrow": (0.17, 0.25),
        "fat": (0.13, 0.22),
        "skin": (0.32, 0.45),
        "vessel": (0.25, 0.85),
        "cruciate": (0.16, 0.24),
        "meniscus": (0.05, 0.10),
        "dark": (0.03, 0.07),
        "film_mm": (0.25, 0.6),
    }
    return {name: rng.uniform(*limits) for name, limits in ranges.items()}


def femoral_share(samples: Fields) -> Field:
    """Share (0…1) of each sample that is the femur's cartilage."""
    outside = -samples["femur"]
    layer = np.minimum(outside, samples["femoral_mm"] - outside)
    return ramp(np.minimum(layer, -_meeting(samples)), EDGE_MM)


def tibial_share(samples: Fields) -> Field:
    """Share (0…1) of each sample that is the tibia's cartilage."""
    outside = -samples["tibia"]
    layer = np.minimum(outside, samples["tibial_mm"] - outside)
    return ramp(np.minimum(layer, _meeting(samples)), EDGE_MM)


def _meeting(samples: Fields) -> Field:
    """Distance to the face at which both cartilages are pressed against each other, positive on the tibia's side."""
    femoral_gap = -samples["femur"] - samples["femoral_mm"]
    tibial_gap = -samples["tibia"] - samples["tibial_mm"]
    return np.float32(0.5) * (femoral_gap - tibial_gap)


@dataclass(frozen=True)
class KneeAppearance:
    """Signals at samples of a knee's fields; called by the scan."""

    values: dict[str, float]

    def __call__(self, samples: Fields) -> Field:
        signal = self._soft(samples)
        signal = self._joint(signal, samples)
        signal = self._bones(signal, samples)
        return np.maximum(signal * ramp(samples["skin"], 0.8) * samples["coil"], 0)

    def _soft(self, samples: Fields) -> Field:
        """Fat with its septa, muscle with its fibres, skin, vessels, tendons."""
        values, texture, mottle = self.values, samples["texture"], samples["mottle"]
        signal = values["fat"] * (1 + 0.12 * texture) + 0.03 * bump(mottle / 0.12) * (1 + 0.5 * texture)
        fibres = 0.02 * np.sin(7 * mottle + 5 * texture) + 0.02 * texture
        septa = ramp(np.abs(texture + 0.3 * mottle) - 0.05, 0.12)
        muscle = ramp(samples["muscle"]) * (0.35 + 0.65 * septa)
        signal += (values["muscle"] + fibres - signal) * muscle
        signal += (values["skin"] - signal) * ramp(1.6 - samples["skin"], 1.0)
        signal += (values["vessel"] - signal) * ramp(samples["vessel"])
        signal += (values["dark"] - signal) * ramp(0.9 - np.abs(samples["vessel"] + 0.3)) * 0.5
        signal += (values["cruciate"] + 0.04 * np.sin(9 * mottle) - signal) * ramp(samples["cruciate"])
        return signal + (values["dark"] - signal) * ramp(samples["tendon"])

    def _joint(self, signal: Field, samples: Fields) -> Field:
        """Fluid, menisci and the cartilages, which are brighter towards the joint than towards the bone."""
        values = self.values
        gaps = [-samples["femur"] - samples["femoral_mm"], -samples["tibia"] - samples["tibial_mm"]]
        film = values["film_mm"] * (0.4 + 0.9 * samples["texture"]) - np.minimum(*gaps)
        signal += (values["fluid"] - signal) * np.maximum(ramp(samples["fluid"]), ramp(film, EDGE_MM))
        torn = 0.25 * bump((samples["mottle"] - 1.6) / 0.3)
        signal += (values["meniscus"] + torn - signal) * ramp(samples["meniscus"], EDGE_MM)
        thick_mm = (samples["femoral_mm"], samples["tibial_mm"], np.float32(3))
        for gap, thick in zip((*gaps, -samples["patellar"]), thick_mm, strict=True):
            depth = np.clip(-gap / np.maximum(thick, 1), 0, 1)
            cartilage = values["cartilage"] * (1.12 - 0.3 * depth + 0.05 * samples["texture"])
            signal += (cartilage - signal) * ramp(-gap, EDGE_MM)
        return signal

    def _bones(self, signal: Field, samples: Fields) -> Field:
        """Marrow with its trabeculae, scars of the growth plates, oedema, and the dark cortex around it."""
        values, bone = self.values, np.maximum(np.maximum(samples["femur"], samples["tibia"]), samples["bone"])
        trabeculae = 0.018 * np.sin(11 * samples["grain"] + 4 * samples["mottle"]) + 0.012 * samples["grain"]
        marrow = values["marrow"] * (1 + 0.10 * samples["texture"]) + trabeculae
        marrow -= 0.35 * values["marrow"] * bump(samples["scar"] / 0.6)
        marrow += (0.45 + 0.04 * samples["mottle"] - marrow) * 0.8 * ramp(samples["lesion"], 5)
        inner = values["dark"] + (marrow - values["dark"]) * ramp(bone - samples["cortex"], 0.7)
        return signal + (inner - signal) * ramp(bone, EDGE_MM)
