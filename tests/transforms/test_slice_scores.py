"""Scores of slices: what they are the mean of, and that they stand in the order of the file."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd, Resized, Rotate90d
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from sliceweave.transforms import CropToRegiond, SliceScoresd
from sliceweave.transforms.slice_scores import SLICE_SCORES, slice_scores

SHAPE, SLICES = (20, 24, 7), 7
AFFINE = np.diag([0.7, 0.6, 5.0, 1])


def scan(axcodes: str) -> MetaTensor:
    """A bright box in air, its axes in some order and direction."""
    turn = ornt_transform(io_orientation(AFFINE), axcodes2ornt(tuple(axcodes)))
    shape = np.empty(3, int)
    shape[turn[:, 0].astype(int)] = SHAPE
    voxels = torch.full((1, *map(int, shape)), -1000.0)
    voxels[:, 3:, 3:, 3:] = 40
    return MetaTensor(voxels, affine=torch.as_tensor(AFFINE @ inv_ornt_aff(turn, SHAPE)))


def scored(axcodes: str, channels: int = 1, *more: Rotate90d) -> dict:
    """The scores where each slice, from feet to head, is surer than the one before."""
    size = Resized("image", (10, 12, -1), mode="trilinear")
    steps = [Orientationd("image", "RAS", labels=None), CropToRegiond("image", "whole"), size, *more]
    data = Compose(steps)({"image": scan(axcodes)})
    rising = torch.linspace(0.1, 0.7, SLICES).expand(channels, *data["image"].shape[1:3], SLICES)
    return SliceScoresd("pred")({**data, "pred": MetaTensor(rising)})


@pytest.mark.parametrize("axcodes", ["RAS", "LPI", "PIR", "SLA", "AIL"])
def test_they_stand_in_the_order_of_the_files_slices(axcodes: str) -> None:
    expected = np.linspace(0.1, 0.7, SLICES)
    (found,) = scored(axcodes)[SLICE_SCORES]
    np.testing.assert_allclose(found, expected[::-1] if "I" in axcodes else expected, atol=1e-6)


def test_a_score_is_the_mean_of_the_50_mm2_that_are_surest() -> None:
    plane = torch.zeros(1, 30, 30, 2)
    plane[0, 4, :20, 0] = torch.arange(20) / 20
    plane[0, :, :, 1] = 0.3
    found = slice_scores(plane, pixel_mm2=5.0)
    np.testing.assert_allclose(found, [[np.mean(np.arange(10, 20) / 20), 0.3]], atol=1e-6)
    np.testing.assert_allclose(slice_scores(plane, pixel_mm2=5000.0), [[0.95, 0.3]], atol=1e-6)
    np.testing.assert_allclose(slice_scores(plane, pixel_mm2=0.01), plane.mean((1, 2)), atol=1e-6)


def test_of_several_channels_the_first_is_the_background() -> None:
    assert scored("RAS", channels=3)[SLICE_SCORES].shape == (2, SLICES)


def test_slices_that_cannot_be_told_have_none() -> None:
    assert SLICE_SCORES not in scored("RAS", 1, Rotate90d("image", spatial_axes=(0, 1)))
