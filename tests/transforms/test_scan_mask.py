"""The mask brought back slice by slice, against MONAI's inversion of the whole volume."""

import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, Invertd, Orientationd, Resized, Rotate90d
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from scipy.ndimage import gaussian_filter

from sliceweave.pipelines.options import in_plane_size
from sliceweave.transforms import CropToRegiond, MaskOnScand, WindowHUd
from sliceweave.transforms.scan_mask import UNSURE_VOXELS, WayBack, unsure_voxels

SHAPE = (37, 44, 9)


def head(axcodes: str, shear: float = 0.0) -> MetaTensor:
    """An off-centre ball of 40 HU in air, its axes in some order and direction."""
    i, j, k = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    hu = np.where(((i - 15) / 12) ** 2 + ((j - 25) / 14) ** 2 + ((k - 4) / 6) ** 2 < 1, 40, -1000)[None]
    affine = np.diag([0.7, 0.6, 5.0, 1])
    affine[1, 2] = shear
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(axcodes)))
    turned = affine @ inv_ornt_aff(turn, SHAPE)
    axes = [0, *(1 + np.argsort(turn[:, 0]).astype(int))]
    voxels = np.flip(hu, [int(axis) + 1 for axis in np.flatnonzero(turn[:, 1] < 0)]).transpose(axes)
    return MetaTensor(torch.from_numpy(voxels.astype(np.float32)), affine=torch.as_tensor(turned))


def chain(region: str, plane: tuple[int, int] = (24, 20), *more: Any) -> Compose:
    crop = CropToRegiond("image", region)
    size = Resized("image", in_plane_size(list(plane)), mode="trilinear")
    return Compose([Orientationd("image", "RAS", labels=None), WindowHUd("image", "head"), crop, size, *more])


def probabilities(channels: int, shape: tuple[int, ...], slices: int) -> torch.Tensor:
    """Smooth ones, nearly 0 in the lower half of the slices."""
    noise = np.random.default_rng(3).normal(size=(channels, *shape, slices))
    logits = torch.from_numpy(60 * gaussian_filter(noise, (0, 2, 2, 0.5))).float()
    if channels == 1:
        logits[..., : slices // 2] -= 60
        return logits.sigmoid()
    logits[0, ..., : slices // 2] += 60
    return logits.softmax(0)


def both(
    image: MetaTensor, preprocessing: Compose, channels: int, threshold: float = 0.5
) -> tuple[dict, dict, MetaTensor]:
    """What ours gives, what MONAI's gives, and the probabilities on the scan's grid."""
    data = preprocessing({"image": image})
    seen = data["image"]
    data["pred"] = MetaTensor(probabilities(channels, seen.shape[1:3], seen.shape[3]))
    decision = AsDiscreted("pred", argmax=True) if channels > 1 else AsDiscreted("pred", threshold=threshold)
    inverted = Invertd("pred", preprocessing, "image", nearest_interp=False)(data)
    return MaskOnScand("pred", preprocessing, decision)(data), decision(inverted), inverted["pred"]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("region", ["whole", "body"])
@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "PIR", "SLA"])
def test_slice_by_slice_is_what_inverting_the_whole_volume_gives(axcodes: str, region: str, channels: int) -> None:
    image = head(axcodes, shear=1.2)
    preprocessing = chain(region)
    ours, theirs, inverted = both(image, preprocessing, channels)
    mask = ours["pred"]
    assert WayBack.of(preprocessing({"image": image})["image"]) is not None
    assert (mask.dtype, mask.shape) == (torch.uint8, image.shape)
    np.testing.assert_allclose(mask.affine, image.affine, rtol=0, atol=1e-6)
    np.testing.assert_allclose(mask.affine, theirs["pred"].affine, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(mask.numpy(), theirs["pred"].numpy())
    assert 0.02 < mask.float().mean() < 0.7
    assert ours[UNSURE_VOXELS] == unsure_voxels(inverted) > 0


@pytest.mark.parametrize("threshold", [0.03, 0.5, 0.9])
def test_slices_that_are_not_looked_at_hold_nothing_at_any_threshold(threshold: float) -> None:
    ours, theirs, _ = both(head("LAS"), chain("whole"), 1, threshold)
    np.testing.assert_array_equal(ours["pred"].numpy(), theirs["pred"].numpy())


def test_a_plane_that_needs_no_resizing_stays_as_it_is() -> None:
    ours, theirs, _ = both(head("RAS"), chain("whole", SHAPE[:2]), 1)
    np.testing.assert_array_equal(ours["pred"].numpy(), theirs["pred"].numpy())


def test_other_preprocessing_is_inverted_at_once() -> None:
    preprocessing = chain("whole", (24, 20), Rotate90d("image"))
    image = head("LPS")
    ours, theirs, inverted = both(image, preprocessing, 1)
    assert WayBack.of(preprocessing({"image": image})["image"]) is None
    assert ours["pred"].dtype == torch.uint8
    np.testing.assert_array_equal(ours["pred"].numpy(), theirs["pred"].numpy())
    assert ours[UNSURE_VOXELS] == unsure_voxels(inverted)


@pytest.mark.parametrize("more", [(), (Rotate90d("image"),)])
def test_a_probability_that_is_no_number_is_refused_not_taken_for_nothing_found(more: tuple[Any, ...]) -> None:
    preprocessing = chain("whole", (24, 20), *more)
    data = preprocessing({"image": head("RAS")})
    data["pred"] = torch.zeros(data["image"].shape)
    data["pred"][0, 3, 4, 2] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        MaskOnScand("pred", preprocessing, AsDiscreted("pred", threshold=0.5))(data)


def test_of_several_channels_the_first_is_the_background() -> None:
    one = torch.tensor([[0.1, 0.25, 0.3, 0.74, 0.9]])
    assert unsure_voxels(one) == 2
    assert unsure_voxels(torch.cat([1 - one, one / 2, one / 2])) == 2


MEMORY = """
    import re, torch
    from pathlib import Path
    from monai.data import MetaTensor
    from monai.transforms import AsDiscreted, Compose, Orientationd, Resized
    from sliceweave.transforms import MaskOnScand

    peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
    shape = (448, 480, 160)
    chain = Compose([Orientationd("image", "RAS", labels=None), Resized("image", [64, 48, -1], mode="trilinear")])
    scan = MetaTensor(torch.zeros(1, *shape), affine=torch.diag(torch.tensor([-1.0, -1, 5, 1])))
    data = chain({"image": scan})
    data["pred"] = torch.rand(data["image"].shape)
    before = peak()
    mask = MaskOnScand("pred", chain, AsDiscreted("pred", threshold=0.5))(data)["pred"]
    print((peak() - before) / (mask.numel() * 4))
    assert mask.shape == (1, *shape) and mask.any() and not mask.all()
"""


@pytest.mark.slow
def test_no_volume_of_probabilities_is_held_at_the_scans_size() -> None:
    run = [sys.executable, "-c", textwrap.dedent(MEMORY)]
    volumes = float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert volumes < 0.8  # the mask as it grows, and turned: a quarter each
