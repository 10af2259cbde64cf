"""Bones of a generated right knee: shapes in the knee's frame, positive inside.

The knee's frame: x to the side of the fibula, y to the front, z up, origin on the tibial plateau between its spines.
Lengths are those of an average knee. Shapes are roughly signed distances; `distance_to_surface` makes them exact.
"""

import numpy as np

from sliceweave.transforms.lattice import Field, bump, ellipsoid, intersection, tube, union

Axes = tuple[Field, Field, Field]

PIVOT_MM = (-2.0, 21.0)  # y, z of the femur's transverse axis
TROCHLEA_MM = (15.0, 30.0)  # y, z of the centre of the trochlea's arc


def blend(first: Field, second: Field, width_mm: float) -> Field:
    """Union whose seam is a fillet of about the width."""
    share = np.clip(0.5 + 0.5 * (first - second) / np.float32(width_mm), 0, 1)
    return second + (first - second) * share + np.float32(width_mm) * share * (1 - share)


def rounded(first: Field, second: Field, radius_mm: float) -> Field:
    """Intersection whose edge has a radius."""
    missing = [np.maximum(radius_mm - field, 0) for field in (first, second)]
    return np.maximum(np.minimum(first, second), radius_mm) - np.hypot(*missing)


def flexed(axes: Axes, flexion_deg: float) -> Axes:
    """Coordinates in the frame of a femur that is flexed against the tibia."""
    x, y, z = axes
    cosine, sine = (np.float32(f(np.radians(flexion_deg))) for f in (np.cos, np.sin))
    back, up = y - PIVOT_MM[0], z - PIVOT_MM[1]
    return x, PIVOT_MM[0] + cosine * back + sine * up, PIVOT_MM[1] - sine * back + cosine * up


def notch(axes: Axes, width_mm: float) -> Field:
    """The space between the condyles; `axes` are the femur's."""
    x, y, z = axes
    knots = ((0, 1.5, -6, 10.5), (0, -5.5, 14, 10), (0, -14.5, 38, 9))
    return tube(((x + 1.5) * np.float32(20 / width_mm), y, z), knots)


def femur(axes: Axes, traits: dict[str, float]) -> Field:
    """Shaft, condyles and trochlea; `axes` are the femur's."""
    x, y, z = axes
    medial = _condyle((x + 21.5 - 0.12 * y, y, z), ((-3, 21.5, 19.5), (10, 30, 24.5)), 15.5)
    lateral = _condyle((x - 19.5 - 0.05 * y, y, z), ((-2, 22.5, 18.5), (14, 31, 25.5)), 15)
    groove = traits["groove_mm"] * bump((x - 1.5) / 6.5)
    arc = 25.2 - groove - np.hypot(y - TROCHLEA_MM[0], z - TROCHLEA_MM[1])
    trochlea = rounded(arc, 23 - np.abs(x - 6), 8)
    bone = blend(blend(medial, lateral, 4), blend(trochlea, _shaft(axes), 6), 5)
    return -blend(-bone, notch(axes, traits["notch_mm"]), 3)


def _condyle(axes: Axes, circles: tuple[tuple[float, float, float], ...], half_width_mm: float) -> Field:
    """A roller with a profile of blended circles (y, z, radius)."""
    x, y, z = axes
    back, front = (radius - np.hypot(y - centre_y, z - centre_z) for centre_y, centre_z, radius in circles)
    return rounded(blend(back, front, 8), half_width_mm - np.abs(x), 10)


def _shaft(axes: Axes) -> Field:
    """The femur above its condyles: an oval that narrows upwards."""
    x, y, z = axes
    heights = (15, 30, 45, 60, 77, 110)
    across, deep, centre = (
        np.interp(z, heights, values).astype(np.float32)
        for values in ((30, 33, 30, 23, 17.5, 14), (20, 21, 18, 15.5, 14, 13), (13, 13, 16, 20, 22.5, 25))
    )
    radius = np.sqrt(((x - 1) / across) ** 2 + ((y - centre) / deep) ** 2)
    return rounded((1 - radius) * np.minimum(across, deep), z - 20, 9)


def tibia_top_mm(x: Field, y: Field, traits: dict[str, float]) -> Field:
    """Height of the tibia's joint surface, before it is brought to the femur."""
    spines = traits["spine_mm"] * (bump((x + 5.5) / 2.8, (y + 1) / 7) + 0.9 * bump((x - 6) / 2.8, (y + 4) / 7))
    cup = -1.6 * bump((x + 21) / 9, y / 13) + 0.7 * bump((x - 19) / 9, (y + 6) / 9)
    return -2.5 + spines + cup + 0.05 * y


def tibia(axes: Axes, top_mm: Field) -> Field:
    """Shaft, plateau and tubercle."""
    x, y, z = axes
    heights = (-110, -62, -40, -25, -12, -4)
    across, deep, centre = (
        np.interp(z, heights, values).astype(np.float32)
        for values in ((12, 16, 22, 30, 36, 36), (13, 15.5, 19, 22, 24.5, 24.5), (-4, -3, -1, -1.5, -1.5, -1.5))
    )
    waist = centre + 3.0 * bump(x / 9) * np.clip((z + 40) / 30, 0, 1)  # the plateau is notched at its back
    radius = (np.abs(x / across) ** 2.4 + np.abs((y - waist) / deep) ** 2.4) ** np.float32(1 / 2.4)
    column = (1 - radius) * np.minimum(across, deep)
    tubercle = ellipsoid((x - 5, y - 17 - 0.1 * z - 4, z + 36), (10, 7, 15))
    return blend(rounded(column, top_mm - z, 3), tubercle, 5)


def fibula(axes: Axes) -> Field:
    """Head and shaft."""
    return tube(axes, ((30, -20, -19, 8.5), (31, -23, -34, 6.5), (30, -26, -62, 5.5), (28, -27, -110, 5.5)))


def patella(axes: Axes, centre_mm: tuple[float, float, float], clearance: Field) -> Field:
    """A disc whose back follows the femur; `clearance` is positive where there is room for it."""
    x, y, z = (axis - c for axis, c in zip(axes, centre_mm, strict=True))
    return rounded(ellipsoid((x, y, z), (22, 15, 20.5)), clearance, 2)


def osteophytes(axes: Axes, sites_mm: tuple[tuple[float, float, float, float], ...]) -> Field:
    """Bony lips at the joint's margins: sites are x, y, z and the size."""
    x, y, z = axes
    lips = [ellipsoid((x - cx, y - cy, z - cz), (0.8 * size, 1.8 * size, 0.9 * size)) for cx, cy, cz, size in sites_mm]
    return union(*lips)


def between_growth_plates(femur_axes: Axes, axes: Axes, wander: Field) -> Field:
    """Distance to the scars of the growth plates, positive between femur's and tibia's."""
    x, _, z = axes
    upper = 33 + 0.004 * x**2 + 1.5 * wander - femur_axes[2]
    return intersection(upper, z + 17 + 0.004 * x**2 + 1.5 * wander)
