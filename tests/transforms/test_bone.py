"""No blood is found in bone, and a scan in which bone cannot be told keeps its mask."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from sliceweave.transforms import MarkBoned, NoBloodInBoned
from sliceweave.transforms.bone import BONE, lowest_of_bone

SHAPE = (101, 120, 4)  # rows are no multiple of eight
AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])


def head() -> np.ndarray:
    """HU: brain of 35 with a bleed of 70 at the skull, marrow of 300, compact bone of 900, air."""
    i, j, _ = np.meshgrid(*(np.arange(float(n)) for n in SHAPE), indexing="ij")
    distance = np.hypot((i - 50) / 40, (j - 60) / 50)
    hu = np.full(SHAPE, -1000, np.float32)
    hu[distance < 1] = 900
    hu[(distance < 0.95) & (j < 60)] = 300
    hu[distance < 0.9] = 35
    hu[(distance < 0.9) & (i > 75)] = 70
    return hu


SEEN = {
    "HU": lambda hu: hu,
    "clipped": lambda hu: np.clip(hu, -20, 100),
    "clipped to 8 bits": lambda hu: np.clip(hu, 0, 255),
    "grey": lambda hu: np.rint((np.clip(hu, -20, 100) + 20) / 120 * 255),
    "fractions": lambda hu: (np.clip(hu, -20, 100) + 20) / 120,
}


def cleaned(hu: np.ndarray, mask: np.ndarray, order: str = "C", override: tuple | None = None) -> np.ndarray:
    image = MetaTensor(torch.from_numpy(np.asarray(hu, np.float32, order=order))[None], affine=torch.from_numpy(AFFINE))
    case = MarkBoned("image", override)({"image": image})
    case["pred"] = MetaTensor(torch.from_numpy(mask.astype(np.uint8)[None]), affine=image.affine)
    return NoBloodInBoned("pred")(case)["pred"][0].numpy()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("seen", SEEN)
def test_a_mask_that_reaches_into_bone_ends_at_it(seen: str, order: str) -> None:
    hu = head()
    mask = np.where(hu == 70, 1, np.where(hu > 100, 2, 0))
    override = (-20.0, 100.0) if seen == "fractions" else None
    found = cleaned(SEEN[seen](hu), mask, order, override)
    assert (found[hu == 70] == 1).all()
    assert (found[hu == 900] == 0).all()
    in_marrow = 2 if seen == "HU" else 0  # a voxel of 300 HU may be half blood; a window does not show it
    assert (found[hu == 300] == in_marrow).all()


def test_dense_blood_without_a_skull_is_no_bone() -> None:
    hu = head()
    brain = np.where((hu > 0) & (hu < 100), hu, 0)
    brain[60:63, 55:60] = 85
    assert lowest_of_bone(brain.astype(np.float32), AFFINE) == np.inf
    mask = brain > 60
    assert np.array_equal(cleaned(brain, mask), mask)


def test_a_window_in_which_blood_is_white_too_tells_of_no_bone() -> None:
    narrow = np.clip(head(), 20, 60)
    mask = head() == 70
    assert np.array_equal(cleaned(narrow, mask), mask)
    grey = np.rint((narrow - 20) / 40 * 255)
    assert np.array_equal(cleaned(grey, mask, override=(20.0, 60.0)), mask)


@pytest.mark.parametrize("window_hu", [(0, 80), (-20, 80), (-100, 80), (-1024, 80), (-1024, 100)])
def test_no_blood_is_bone_in_a_window_that_ends_close_above_it(window_hu: tuple[float, float]) -> None:
    hu = head()
    hu[hu == 70] = 84
    mask = hu == 84
    assert np.array_equal(cleaned(np.clip(hu, *window_hu), mask), mask)
    low, high = window_hu
    grey = np.rint((np.clip(hu, low, high) - low) / (high - low) * 255)
    assert np.array_equal(cleaned(grey, mask, override=(low, high)), mask)


@pytest.mark.parametrize("value", [-1024.0, 0.0, 40.0])
def test_a_scan_of_one_value_loses_nothing(value: float) -> None:
    mask = np.ones(SHAPE, bool)
    assert np.array_equal(cleaned(np.full(SHAPE, value), mask), mask)


def test_an_empty_mask_and_one_of_another_grid_or_without_bone_stay_as_they_are() -> None:
    assert not cleaned(head(), np.zeros(SHAPE, bool)).any()
    marked = MarkBoned("image")({"image": torch.from_numpy(head())[None]})
    other = torch.ones((1, 50, 60, 4), dtype=torch.uint8)
    assert NoBloodInBoned("pred")({**marked, "pred": other.clone()})["pred"].all()
    del marked[BONE]
    assert NoBloodInBoned("pred")({**marked, "pred": other.clone()})["pred"].all()


def test_what_is_kept_of_the_scan_is_a_bit_a_voxel() -> None:
    kept = MarkBoned("image")({"image": torch.from_numpy(head())[None]})[BONE]
    assert kept.nbytes == 4 * 120 * 13
    assert kept.dtype == np.uint8
