"""Hysteresis: what is sure somewhere keeps its extent, the rest goes."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.filters import apply_hysteresis_threshold

from sliceweave.transforms import KeepSureLesions, KeepSureLesionsd


def probabilities() -> torch.Tensor:
    """A sure lesion, an unsure one apart from it, and a haze below the threshold."""
    found = torch.full((1, 8, 8, 4), 0.05)
    found[0, 1:3, 1:4, 1] = 0.3
    found[0, 1, 2, 1] = 0.95
    found[0, 5:7, 5:7, 1:3] = 0.6
    return found


def test_a_sure_lesion_keeps_its_extent_and_an_unsure_one_goes() -> None:
    before = probabilities()
    after = KeepSureLesions(0.2, 0.9)(before)
    expected = probabilities()
    expected[0, 5:7, 5:7, 1:3] = 0
    assert torch.equal(after, expected)
    assert torch.equal(before, probabilities())


def test_without_certainty_to_ask_for_nothing_changes() -> None:
    assert torch.equal(KeepSureLesions(0.2, 0.0)(probabilities()), probabilities())


@pytest.mark.parametrize("shape", [(1, 20, 24, 9), (2, 16, 15)])
def test_it_is_hysteresis_as_scikit_image_has_it(shape: tuple[int, ...]) -> None:
    before = np.random.default_rng(4).random(shape, np.float32)
    after = KeepSureLesions(0.6, 0.97)(torch.from_numpy(before)).numpy()
    kept = np.stack([apply_hysteresis_threshold(channel, 0.6, 0.97) for channel in before])
    assert 0 < kept.sum() < (before > 0.6).sum()
    np.testing.assert_array_equal(after, np.where((before > 0.6) & ~kept, 0, before))


def test_where_nothing_is_sure_nothing_is_left() -> None:
    after = KeepSureLesions(0.2, 0.99)(probabilities())
    assert after.max() == pytest.approx(0.05)


def test_each_channel_and_the_place_in_the_world_stay_apart() -> None:
    both = torch.cat([probabilities(), 1 - probabilities()])
    affine = torch.diag(torch.tensor([2.0, 3, 4, 1], dtype=torch.float64))
    case = KeepSureLesionsd("pred", 0.2, 0.9)({"pred": MetaTensor(both, affine=affine), "study_id": "a"})
    assert torch.equal(case["pred"].affine, affine)
    assert case["pred"].shape == both.shape
    assert case["study_id"] == "a"
    assert (case["pred"][0] > 0.2).sum() == 6
    assert torch.equal(case["pred"][1].as_tensor(), both[1])
