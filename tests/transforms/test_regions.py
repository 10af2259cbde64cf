"""What the network looks at: the lungs, whatever lies around them; and the way back."""

import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from sliceweave.transforms import CropToRegiond, WindowHU
from sliceweave.transforms.regions import REGIONS, Region, body, lungs, whole

SHAPE = (1, 200, 160, 6)


def chest(arms: bool = False) -> MetaTensor:
    """A body with two lungs on a table, in HU."""
    x, y = np.mgrid[:200, :160]
    plane = np.full((200, 160), -1000.0, np.float32)
    plane[((x - 100) / 80) ** 2 + ((y - 80) / 55) ** 2 < 1] = 40
    for centre in (65, 135):
        plane[((x - centre) / 25) ** 2 + ((y - 80) / 35) ** 2 < 1] = -850
    plane[95:99, 60:64] = -950  # an airway
    plane[10:190, 5:8] = 100  # the table
    if arms:
        plane[5:15, 60:100] = 40
    return MetaTensor(torch.from_numpy(plane[None, ..., None].repeat(6, -1)))


def box(mask: torch.Tensor) -> tuple[int, int, int, int]:
    across, along = mask[0].any(-1).nonzero(as_tuple=True)
    return int(across.min()), int(across.max()), int(along.min()), int(along.max())


def windowed(hu: MetaTensor) -> torch.Tensor:
    return WindowHU("lung")(hu)


def test_the_region_holds_the_lungs_and_a_rim_around_them() -> None:
    first, last, front, back = box(lungs(windowed(chest())))
    for found, edge in ((first, 40), (last, 160), (front, 45), (back, 115)):
        assert 3 <= abs(found - edge) <= 14
    assert first < 40 < 160 < last
    assert front < 45 < 115 < back


def test_table_and_arms_change_nothing() -> None:
    assert box(lungs(windowed(chest(arms=True)))) == box(lungs(windowed(chest())))


def test_a_lung_that_only_one_slice_shows_counts() -> None:
    hu = chest()
    hu[..., :5] = torch.where(hu[..., :5] == -850, torch.tensor(40.0), hu[..., :5])
    assert box(lungs(windowed(hu))) == box(lungs(windowed(chest())))


@pytest.mark.parametrize("value", [-1000.0, 40.0])
def test_where_there_are_no_lungs_the_region_is_everything(value: float) -> None:
    assert bool(lungs(windowed(MetaTensor(torch.full(SHAPE, value)))).all())


def test_a_cropped_case_is_put_back_in_its_place() -> None:
    hu = chest()
    crop = CropToRegiond(["image", "label"], "lungs")
    label = MetaTensor((hu < -800).float())
    case = crop({"image": windowed(hu), "label": label})
    assert case["image"].shape == case["label"].shape != SHAPE
    assert case["image"].shape[-1] == 6
    back = crop.inverse(case)["label"]
    lung = torch.as_tensor(hu == -850)
    assert torch.equal(torch.as_tensor(back)[lung], torch.ones(int(lung.sum())))
    assert back.shape == SHAPE


def test_the_whole_is_not_cropped() -> None:
    hu = chest()
    assert torch.equal(CropToRegiond("image")({"image": hu})["image"], hu)
    assert bool(whole(hu).all())


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(ValueError, match="region is one of whole, body, lungs, got 'heart'"):
        CropToRegiond("image", "heart")


def test_the_body_is_found_beside_the_table() -> None:
    first, last, front, back = box(body(WindowHU("head")(chest())))
    assert (abs(first - 20), abs(last - 180), abs(front - 25), abs(back - 135)) <= (2, 2, 2, 2)


def test_where_there_is_no_body_the_region_is_everything() -> None:
    assert bool(body(torch.zeros(SHAPE)).all())


@pytest.mark.parametrize("region", REGIONS.values())
def test_regions_can_be_sent_to_another_process_and_told_apart(region: Region) -> None:
    assert pickle.loads(pickle.dumps(region)) == region
    assert sum(region == other for other in REGIONS.values()) == 1
