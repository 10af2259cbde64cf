"""No blood is found in the neck, and nothing is taken away where the skull does not tell where the neck is."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from sliceweave.transforms import NoBloodInNeckd
from sliceweave.transforms.neck import neck_slices
from sliceweave.transforms.skull import inside_skull, slices_with_brain

STEP_MM = (2.0, 2.0, 5.0)
SLICES, BASE = 42, 20  # the skull's base is at the 20th slice
AFFINE = np.diag([*STEP_MM, 1.0])


def head(slices: int = SLICES, base: int = BASE, without_vault: bool = False) -> np.ndarray:
    """(100, 120, slices) HU: a neck with a spine, and on it an ellipsoid skull full of brain, its top under air."""
    i, j, k = np.meshgrid(np.arange(100.0), np.arange(120.0), np.arange(float(slices)), indexing="ij")
    across, along, up = (i - 50) * 2, (j - 60) * 2, (k - base - 10) * 5
    hu = np.full((100, 120, slices), -1000, np.float32)
    hu[(np.hypot(across, along + 20) < 60) & (k < base + 4)] = 50
    hu[(np.hypot(across, along + 60) < 15) & (k < base + 4)] = 700
    distance = np.sqrt((across / 75) ** 2 + (along / 95) ** 2 + (up / 70) ** 2)
    hu[distance < 1] = 900
    hu[distance < 0.9] = 35
    if without_vault:
        hu[(across > 20) & (along > -40) & (k < base + 12) & (distance < 1) & (distance >= 0.9)] = 40
    return hu


def case(hu: np.ndarray, affine: np.ndarray = AFFINE) -> dict[str, MetaTensor]:
    image = MetaTensor(torch.from_numpy(hu)[None], affine=torch.from_numpy(affine))
    return {"image": image, "pred": MetaTensor(torch.full(image.shape, 0.9), affine=image.affine)}


def kept(hu: np.ndarray) -> int:
    """How many of the first slices have lost their probabilities."""
    found = NoBloodInNeckd("pred")(case(hu))["pred"]
    zero = (found == 0).all(dim=0).all(dim=0).all(dim=0)
    assert torch.equal(zero, torch.arange(hu.shape[2]) < zero.sum())
    assert (found[..., int(zero.sum()) :] == np.float32(0.9)).all()
    return int(zero.sum())


@pytest.mark.parametrize(
    "seen", [lambda hu: hu, lambda hu: np.clip(hu, 0, 100) / 100, lambda hu: np.clip(hu, -20, 100)]
)
def test_slices_far_below_the_skull_hold_no_blood(seen) -> None:
    count = kept(seen(head()))
    assert BASE - 10 <= count <= BASE - 2
    assert count == neck_slices(seen(head()), AFFINE)


def test_a_head_without_a_neck_stays_as_it_is() -> None:
    assert kept(head(slices=30, base=6)) == 0
    assert kept(head()[..., BASE:]) == 0


def test_the_slices_with_brain_are_those_in_which_something_is_inside_the_skull() -> None:
    found = slices_with_brain(head(), AFFINE)
    assert len(found) > 5
    np.testing.assert_array_equal(found, np.unique(inside_skull(head(), AFFINE)[:, 2]))


def test_a_single_slice_and_a_trunk_stay_as_they_are() -> None:
    assert kept(head()[..., 30:31]) == 0
    assert kept(head()[..., :BASE]) == 0


def test_where_much_of_the_vault_is_missing_nothing_is_taken_away() -> None:
    assert kept(head(without_vault=True)) == 0


def test_slices_that_run_downwards_or_elsewhere_stay_as_they_are() -> None:
    assert neck_slices(head(), np.diag([2.0, 2.0, -5.0, 1.0])) == 0
    assert neck_slices(head(), np.diag([2.0, 2.0, 5.0, 1.0])[[0, 2, 1, 3]]) == 0


def test_probabilities_of_another_grid_or_without_an_image_stay_as_they_are() -> None:
    whole = case(head())
    assert (NoBloodInNeckd("pred")({"pred": whole["pred"]})["pred"] > 0).all()
    other = {**whole, "pred": whole["pred"][..., :10]}
    assert (NoBloodInNeckd("pred")(other)["pred"] > 0).all()


def test_the_case_given_is_not_changed() -> None:
    given = case(head())
    NoBloodInNeckd("pred")(given)
    assert (given["pred"] > 0).all()
