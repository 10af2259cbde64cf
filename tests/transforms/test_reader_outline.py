"""Outlines: how far they reach, what they close over, and what they leave alone."""

import numpy as np
import pytest

from sliceweave.transforms.reader_outline import GAP_MM, MARGIN_MM, reader_outline

PIXEL_MM = (0.25, 0.5)
NO_BONE = np.zeros((3, 160, 100), bool)


def planes() -> np.ndarray:
    """Two discs of 10 mm across with a gap of 3 mm between them, in the middle one of three slices."""
    x, y = np.indices((160, 100)) * np.reshape(PIXEL_MM, (2, 1, 1))
    found = np.zeros((3, 160, 100), bool)
    found[1] = (np.hypot(x - 12, y - 25) <= 5) | (np.hypot(x - 25, y - 25) <= 5)
    return found


def test_the_line_lies_a_margin_outside_and_gaps_are_closed() -> None:
    before, after = planes()[1, :, 50], reader_outline(planes(), NO_BONE, PIXEL_MM)[1, :, 50]
    edges = [(np.flatnonzero(line)[0], np.flatnonzero(line)[-1]) for line in (before, after)]
    assert np.subtract(*edges) * PIXEL_MM[0] == pytest.approx([MARGIN_MM, -MARGIN_MM], abs=PIXEL_MM[0])
    assert not before[74]
    assert after[edges[1][0] : edges[1][1]].all()


def test_no_line_is_drawn_in_bone_but_blood_that_is_there_stays() -> None:
    bone = NO_BONE.copy()
    bone[1, :, 52:] = True
    outlined = reader_outline(planes(), bone, PIXEL_MM)
    assert np.array_equal(outlined[..., 52:], planes()[..., 52:])
    assert np.array_equal(outlined[..., :52], reader_outline(planes(), NO_BONE, PIXEL_MM)[..., :52])


def test_wider_gaps_stay_open() -> None:
    apart = np.zeros((1, 160, 100), bool)
    apart[0, :20], apart[0, 20 + int(2 * (GAP_MM + MARGIN_MM) / PIXEL_MM[0]) + 2 :] = True, True
    assert not reader_outline(apart, NO_BONE[:1], PIXEL_MM).all()


def test_other_slices_and_empty_masks_stay_as_they_are() -> None:
    outlined = reader_outline(planes(), NO_BONE, PIXEL_MM)
    assert not outlined[[0, 2]].any()
    assert not reader_outline(*np.zeros((2, 2, 9, 9), bool), PIXEL_MM).any()


def test_masks_at_the_border_stay_in_the_picture() -> None:
    corner = np.zeros((1, 30, 30), bool)
    corner[0, :4, :3] = True
    outlined = reader_outline(corner, np.zeros_like(corner), PIXEL_MM)
    assert outlined.shape == corner.shape
    assert outlined[corner].all()
    assert corner.sum() < outlined.sum() < 60
