from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.screen import Screen

SIZES = {"R": 11, "A": 13, "S": 15}
SPACING_MM = {"R": 0.5, "A": 0.7, "S": 3.0}
OPPOSITE = {"R": "L", "A": "P", "S": "I"}
RAS = "RAS"
ORDERS = list(permutations(RAS))
FLIPS = list(product((False, True), repeat=3))


def marked_head(order: tuple[str, ...], flips: tuple[bool, ...]) -> tuple[NDArray[np.float32], Geometry]:
    """A volume with bright marks near the patient's right (1), front (2) and top (3), stored in any axis order."""
    head = np.zeros(tuple(SIZES.values()), np.float32)
    head[-2, 6, 7], head[5, -2, 7], head[5, 6, -2] = 1, 2, 3
    affine_ras = np.zeros((4, 4))
    affine_ras[3, 3] = 1
    for column, (letter, flip) in enumerate(zip(order, flips, strict=True)):
        axis, step_mm = RAS.index(letter), SPACING_MM[letter]
        affine_ras[axis, column] = -step_mm if flip else step_mm
        affine_ras[axis, 3] = step_mm * (SIZES[letter] - 1) if flip else 0
    stored = head.transpose([RAS.index(letter) for letter in order])
    stored = np.flip(stored, tuple(axis for axis, flip in enumerate(flips) if flip))
    return stored, Geometry(affine_ras, stored.shape)


def place(seen: NDArray[np.float32], mark: int) -> tuple[int, int]:
    """Row and column of a mark, whichever slice it is on."""
    row, column, _ = (int(axis[0]) for axis in np.nonzero(seen == mark))
    return row, column


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("order", ORDERS)
def test_every_storage_order_is_shown_in_radiological_convention(
    order: tuple[str, ...], flips: tuple[bool, ...]
) -> None:
    volume, geometry = marked_head(order, flips)
    screen = Screen(geometry)
    seen = screen.turn(volume)
    rows, columns = seen.shape[0] - 1, seen.shape[1] - 1
    if order[2] == "S":
        assert place(seen, 1) == (6, 1), "the patient's right is on the viewer's left"
        assert place(seen, 2) == (1, 5), "anterior is up"
        assert (screen.side_letters, screen.pixel_mm) == (("R", "L"), (0.5, 0.7))
    elif order[2] == "A":
        assert place(seen, 1) == (rows // 2, 1), "the patient's right is on the viewer's left"
        assert place(seen, 3) == (1, columns // 2), "superior is up"
        assert (screen.side_letters, screen.pixel_mm) == (("R", "L"), (0.5, 3.0))
    else:
        assert place(seen, 2) == (rows // 2, 1), "anterior is on the viewer's left"
        assert place(seen, 3) == (1, columns // 2), "superior is up"
        assert (screen.side_letters, screen.pixel_mm) == (("A", "P"), (0.7, 3.0))


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("order", ORDERS)
def test_slices_stay_in_array_order(order: tuple[str, ...], flips: tuple[bool, ...]) -> None:
    volume, geometry = marked_head(order, flips)
    seen = Screen(geometry).turn(volume)
    assert [sorted(piece.ravel()) for piece in np.moveaxis(seen, 2, 0)] == [
        sorted(piece.ravel()) for piece in np.moveaxis(volume, 2, 0)
    ]


@pytest.mark.parametrize("angle_deg", [-18.5, 18.5, 30])
def test_a_tilted_or_oblique_scan_is_shown_as_the_nearest_plane(angle_deg: float) -> None:
    volume, straight = marked_head(("R", "A", "S"), (True, True, False))
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    turned, tilted = straight.affine_ras.copy(), straight.affine_ras.copy()
    turned[:3, :3] = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ turned[:3, :3]
    tilted[:3, 1] = turned[:3, 1]
    for affine_ras in (turned, tilted):
        seen = Screen(Geometry(affine_ras, volume.shape)).turn(volume)
        np.testing.assert_array_equal(seen, Screen(straight).turn(volume))


def test_turning_copies_nothing() -> None:
    volume, geometry = marked_head(("A", "R", "S"), (True, False, True))
    assert np.shares_memory(Screen(geometry).turn(volume), volume)


@pytest.mark.parametrize(
    ("order", "flips", "positions"),
    [
        (("R", "A", "S"), (False, False, False), ["S 0.0 mm", "S 6.0 mm"]),
        (("R", "A", "S"), (True, True, True), ["S 42.0 mm", "S 36.0 mm"]),
        (("A", "S", "R"), (False, False, False), ["R 0.0 mm", "R 1.0 mm"]),
    ],
)
def test_a_position_says_where_the_slice_lies(
    order: tuple[str, ...], flips: tuple[bool, ...], positions: list[str]
) -> None:
    _, geometry = marked_head(order, flips)
    assert [Screen(geometry).position(index) for index in (0, 2)] == positions


def test_a_position_below_the_origin_is_named_by_the_other_side() -> None:
    affine_ras = np.diag([0.5, 0.7, 3.0, 1.0])
    affine_ras[2, 3] = -12.5
    assert Screen(Geometry(affine_ras, (11, 13, 15))).position(1) == "I 9.5 mm"


def test_positions_of_uneven_slices_are_the_true_ones() -> None:
    positions_mm = np.array([0.0, 2, 4, 9, 14])
    affine_ras = np.diag([0.5, 0.7, 1.0, 1.0])
    affine_ras[2, 2:] = np.polyfit(np.arange(5), positions_mm, 1)
    geometry = Geometry(affine_ras, (11, 13, 5), np.outer(positions_mm, [0, 0, 1]))
    assert Screen(geometry).position(3) == "S 9.0 mm"
