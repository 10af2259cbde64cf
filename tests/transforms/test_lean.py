"""Long studies some slices at a time: the same voxels, the same record of what was done, the same way back."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, Lambdad, Orientationd, Resized
from monai.utils import TraceKeys

from sliceweave.transforms import CropToRegiond, HeadHUd, LeanCompose, WindowHUd, lean
from sliceweave.transforms.scan_mask import WayBack

AXES = {
    "left, back, up": np.diag([-0.9, -0.8, 3, 1]),
    "right, front, up": np.diag([0.9, 0.8, 3, 1]),
    "slices first, downwards": np.array([[0, 0.9, 0, 0], [0, 0, -0.8, 0], [-3, 0, 0, 50], [0, 0, 0, 1.0]]),
    "slices in the middle, oblique": np.array([[0.9, 0, 0.05, 0], [-0.05, 0.2, 0.8, 0], [0, 3, -0.2, 9], [0, 0, 0, 1]]),
}


def head_study(affine: np.ndarray) -> MetaTensor:
    """A head in HU with air around it, some of its slices empty, stacked along the axis that runs up."""
    rng = np.random.default_rng(3)
    x, y, z = np.mgrid[:60, :50, :14]
    hu = np.where(((x - 33) / 22) ** 2 + ((y - 22) / 18) ** 2 < 1, 35.0, -1000.0)
    hu = np.where((z > 2) & (hu > 0), hu + rng.normal(0, 20, hu.shape), np.minimum(hu, -900)).astype(np.float32)
    up = int(np.abs(affine[2, :3]).argmax())
    return MetaTensor(torch.from_numpy(np.moveaxis(hu, 2, up).copy())[None], affine=torch.as_tensor(affine))


def chest_study(affine: np.ndarray) -> MetaTensor:
    """A body with air in it."""
    study = head_study(affine)
    inner = torch.zeros_like(study, dtype=torch.bool)
    inner[0, 25:40, 15:28] = True
    return torch.where(inner, torch.tensor(-850.0), study)


def head_chain(kind: type[Compose], region: str = "body") -> Compose:
    intensity = Compose([HeadHUd(keys="image"), WindowHUd(keys="image", level="head")])
    return chain(kind, intensity, region)


def lung_chain(kind: type[Compose]) -> Compose:
    return chain(kind, WindowHUd(keys="image", level="lung"), "lungs")


def chain(kind: type[Compose], intensity: Any, region: str) -> Compose:
    turn = Orientationd(keys="image", axcodes="RAS", labels=None)
    size = Resized(keys="image", spatial_size=[32, 40, -1], mode="trilinear")
    return kind([turn, intensity, CropToRegiond(["image"], region), size])


@pytest.fixture(autouse=True)
def _everything_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "LONG_BYTES", 0)
    monkeypatch.setattr(lean, "_BLOCK_BYTES", 40_000)  # a few slices


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[slice]:
    """Filled with the slices that go through a chain together."""
    seen: list[slice] = []
    plain = lean.SliceChain._blocks

    def noted(self: lean.SliceChain, image: MetaTensor) -> Any:
        for where, block in plain(self, image):
            seen.append(where)
            yield where, block

    monkeypatch.setattr(lean.SliceChain, "_blocks", noted)
    return seen


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize(
    ("made", "study"),
    [
        (head_chain, head_study),
        (lambda kind: head_chain(kind, "whole"), head_study),
        (lung_chain, chest_study),
    ],
)
def test_what_comes_out_is_what_compose_makes(
    axes: str, made: Callable[..., Compose], study: Callable[[np.ndarray], MetaTensor], blocks: list[slice]
) -> None:
    image = study(AXES[axes])
    whole, lean_one = (made(kind)({"image": image, "study_id": "a"}) for kind in (Compose, LeanCompose))
    assert len({(where.start, where.stop) for where in blocks}) > 2
    assert torch.equal(lean_one["image"].as_tensor(), whole["image"].as_tensor())
    assert torch.equal(lean_one["image"].affine, whole["image"].affine)
    assert lean_one["study_id"] == "a"
    records = [case["image"].applied_operations for case in (whole, lean_one)]
    for name in (TraceKeys.CLASS_NAME, TraceKeys.ORIG_SIZE):
        assert [step[name] for step in records[0]] == [step[name] for step in records[1]]
    ways = [WayBack.of(case["image"]) for case in (whole, lean_one)]
    assert str(ways[0]) == str(ways[1])


@pytest.mark.parametrize("axes", AXES)
def test_the_way_back_is_the_same(axes: str) -> None:
    results = []
    for kind in (Compose, LeanCompose):
        preprocessing = head_chain(kind)
        case = preprocessing({"image": head_study(AXES[axes])})
        case["pred"] = MetaTensor(case["image"].as_tensor() > 0.3).float()
        results.append(Invertd("pred", preprocessing, "image", nearest_interp=False)(case)["pred"])
    assert torch.equal(results[0].as_tensor(), results[1].as_tensor())
    assert results[0].shape == head_study(AXES[axes]).shape


def test_grey_levels_an_override_and_what_sees_all_slices_are_taken_whole(blocks: list[slice]) -> None:
    grey = head_study(AXES["right, front, up"]).clamp(-20, 100).add(20).mul(255 / 120)
    steps = [
        (head_chain(LeanCompose), grey),
        (chain(LeanCompose, HeadHUd(keys="image", override=(0, 80)), "body"), grey),
        (chain(LeanCompose, Lambdad("image", lambda x: x - x.mean()), "whole"), head_study(AXES["right, front, up"])),
    ]
    for preprocessing, image in steps:
        expected = Compose(preprocessing.transforms)({"image": image})["image"]
        assert torch.equal(preprocessing({"image": image})["image"].as_tensor(), expected.as_tensor())
    assert blocks == []


def test_a_chain_that_only_turns_is_compose() -> None:
    turned = LeanCompose([Orientationd(keys="image", axcodes="RAS", labels=None)])
    image = head_study(AXES["left, back, up"])
    expected = Compose(turned.transforms)({"image": image})["image"]
    assert torch.equal(turned({"image": image})["image"].as_tensor(), expected.as_tensor())


def test_short_studies_are_taken_whole(monkeypatch: pytest.MonkeyPatch, blocks: list[slice]) -> None:
    monkeypatch.setattr(lean, "LONG_BYTES", 1 << 30)
    head_chain(LeanCompose)({"image": head_study(AXES["right, front, up"])})
    assert blocks == []
