"""Soft parts of a generated right knee: menisci, ligaments, tendons, muscles, vessels, fluid, skin.

Coordinates are those of `phantom_knee_bones`; shapes are roughly signed distances, positive inside.
"""

import numpy as np

from sliceweave.pipelines.phantom_knee_bones import Axes, blend
from sliceweave.transforms.lattice import Field, ellipsoid, intersection, tube, union

# Centre x and y, outer radii across and deep, and the side (sign of x) on which the C is open.
_MENISCI = ((-19.5, 0.0, 17.0, 21.5, 1), (18.5, -4.5, 16.0, 17.0, -1))


def menisci(axes: Axes, femoral_gap: Field, tibial_gap: Field, height_mm: Field) -> Field:
    """Two wedges that fill what is open between the cartilages, given the distances to these, around the plateaus."""
    x, y, z = axes
    rings = []
    for centre_x, centre_y, across, deep, opening in _MENISCI:
        radius = np.hypot((x - centre_x) / across, (y - centre_y) / deep)
        wall = intersection((1 - radius) * deep, (radius - 0.5) * deep, 5 - np.abs(z - height_mm - 2.5))
        rings.append(intersection(wall, (0.62 - opening * (x - centre_x) / across) * across))
    return intersection(union(*rings), femoral_gap - 0.1, tibial_gap - 0.1)


def cruciates(axes: Axes) -> Field:
    """The anterior and the posterior cruciate ligament."""
    front = tube(axes, ((-1, 9, 3, 3.2), (1.5, 0, 12, 3.0), (5, -10, 22, 3.4)))
    back = tube(axes, ((-5.5, 7, 15, 3.4), (-4, -4, 17, 3.6), (-2, -15, 10, 3.6), (-1, -23, -1, 3.2), (-1, -25, -9, 3)))
    return union(front, back)


def tendons(axes: Axes, patella_mm: tuple[float, float, float]) -> Field:
    """Quadriceps and patellar tendon, collateral ligaments, iliotibial band."""
    x, y, z = axes
    px, py, pz = patella_mm
    knots = ((0, 23, -42, 1.8), (0, 28, -30, 2.2), (0, py + 5, pz - 15, 2.4), (0, py + 9, pz, 1.2))
    strap = tube((np.maximum(np.abs(x - px + 0.5) - 10, 0), y, z), knots)
    quadriceps = ((0, py + 9, pz + 2, 1.2), (0, py + 4, pz + 18, 3.2), (0, py + 2, pz + 45, 2.5), (0, py, 120, 1))
    upper = tube((np.maximum(np.abs(x - px) - 11, 0), y, z), quadriceps)
    band = np.maximum(np.abs(y + 2) - 6, 0)
    medial = tube((x, band, z), ((-40.5, 0, 27, 0.9), (-39, 0, 2, 1.3), (-34, 0, -26, 0.9)))
    lateral = tube(axes, ((38, -3, 27, 1.8), (37, -12, 4, 1.8), (33, -20, -13, 2)))
    iliotibial = tube((x, np.maximum(np.abs(y - 12) - 5, 0), z), ((40, 0, 90, 0.9), (39, 0, 20, 1.1), (33, 0, -9, 1.2)))
    return union(strap, upper, medial, lateral, iliotibial)


def muscles(axes: Axes) -> Field:
    """Bellies of thigh and calf, as one field."""
    bellies = (
        ((-28, 22, 36, 5), (-28, 23, 58, 14), (-24, 18, 120, 24)),  # vastus medialis
        ((28, 22, 48, 4), (28, 22, 72, 14), (26, 14, 120, 24)),  # vastus lateralis
        ((3, 42, 70, 2), (3, 42, 85, 7), (2, 42, 120, 13)),  # vastus intermedius
        ((-20, -33, -4, 3), (-21, -35, 28, 9), (-17, -38, 120, 17)),  # semimembranosus
        ((-24, -44, 10, 2), (-20, -48, 45, 5), (-14, -52, 120, 10)),  # semitendinosus
        ((-42, -16, -8, 3), (-42, -20, 30, 6), (-36, -30, 120, 9)),  # sartorius and gracilis
        ((34, -24, -6, 3), (31, -32, 30, 9), (20, -42, 120, 17)),  # biceps
        ((-19, -24, 28, 3), (-19, -38, 0, 10), (-17, -41, -38, 18), (-15, -40, -120, 21)),  # gastrocnemius
        ((19, -24, 30, 3), (19, -38, 0, 9), (18, -41, -38, 16), (18, -38, -120, 19)),
        ((8, -22, -14, 4), (4, -24, -40, 9), (4, -26, -120, 17)),  # popliteus and soleus
        ((22, 12, -22, 3), (26, 6, -52, 9), (26, 4, -120, 13)),  # tibialis anterior
        ((38, -14, -30, 3), (40, -14, -60, 7), (38, -14, -120, 10)),  # peronei
    )
    return union(*(tube(axes, belly) for belly in bellies))


def vessels(axes: Axes, sway: tuple[float, float]) -> Field:
    """Popliteal artery and vein, and a vein under the skin."""
    side, back = sway
    artery = ((side, -24, 120, 3), (side + 2, -25, 40, 3), (side, -29, 0, 2.8), (side + 1, -34, -120, 2.4))
    vein = ((side + 4, -31, 120, 3.4), (side + 5, -33 - back, 20, 3.8), (side + 3, -36, -120, 3))
    saphenous = ((-30, -48, 120, 1.4), (-40, -34, 0, 1.4), (-38, -26, -120, 1.4))
    return union(tube(axes, artery), tube(axes, vein), tube(axes, saphenous))


def fluid(axes: Axes, patella_mm: tuple[float, float, float], effusion: float) -> Field:
    """Pockets of joint fluid around the patella and behind the condyles, and a popliteal cyst where there is much."""
    x, y, z = axes
    px, py, pz = patella_mm
    above = (x - px, y - py + 5 - 0.05 * (z - pz), z - pz - 27)
    pouch = ellipsoid(above, (17 + 6 * effusion, 0.8 + 8 * effusion, 17 + 9 * effusion))
    gutters = ellipsoid((np.abs(x) - 39, y - 16, z - 26), (0.3 + 4 * effusion, 13, 16))
    recess = ellipsoid((np.abs(x) - 19, y + 24, z - 18), (9, 0.8 + 2.2 * effusion, 11))
    cleft = ellipsoid((x, y - 17, z - 6), (9, 5 * effusion, 4))
    cyst = ellipsoid((x + 24, y + 39, z - 4), (7 * effusion, 4 + 4 * effusion, 15)) - 12 * (effusion < 0.55)
    return union(pouch, gutters, recess, cleft, cyst)


def skin(axes: Axes, patella_mm: tuple[float, float, float], fat_mm: float) -> Field:
    """Outline of the leg."""
    x, y, z = axes
    px, py, pz = patella_mm
    heights = (-120, -80, -40, 0, 40, 80, 120)
    across, front, back = (
        np.interp(z, heights, values).astype(np.float32)
        for values in (
            (46, 49, 48, 47, 48, 53, 60),
            (14, 19, 28, 38, 46, 52, 57),
            (-66, -66, -60, -50, -49, -54, -62),
        )
    )
    centre, deep = (front + back) / 2, (front - back) / 2
    radius = (np.abs(x / across) ** 2.4 + np.abs((y - centre) / deep) ** 2.4) ** np.float32(1 / 2.4)
    leg = (1 - radius) * np.minimum(across, deep) + fat_mm - 4
    knots = ((0, 26, -42, 7), (0, 31, -28, 8), (0, py + 1, pz - 12, 12), (0, py - 2, pz + 8, 14), (0, py - 10, 100, 16))
    cap = tube((0.6 * np.maximum(np.abs(x - px) - 8, 0), y, z), knots) + 0.5 * (fat_mm - 4)
    return blend(leg, cap, 20) - 1.5
