"""What a head CT was stored as is recognised, and comes out in HU."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Orientationd

from sliceweave.pipelines.phantom_case import PhantomCase
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.phantom_tasks import phantom_task
from sliceweave.transforms import HeadHU, HeadHUd
from sliceweave.transforms.head_hu import BRAIN_WINDOW_HU, grey_to_hu, grey_window_hu
from sliceweave.transforms.skull import inside_skull

LOW_HU, HIGH_HU = -20, 100
HALF_STEP_HU = 0.5 * 120 / 255
GRIDS = {"straight": {}, "tilted": {"tilt_deg": 18.5}, "oblique": {"oblique": True}, "uneven": {"uneven": True}}


@cache
def head(seed: int, grid: str = "straight") -> PhantomCase:
    options = {"size": 96, "spacing_mm": (2.4, 2.4, 12.0), "slices": 11, "healthy_share": 0.0, **GRIDS[grid]}
    return phantom_task("hematoma").make(seed, 0, PhantomOptions(**options))


def clipped(hu: np.ndarray) -> np.ndarray:
    return np.clip(hu, LOW_HU, HIGH_HU).astype(np.float32)


def grey(hu: np.ndarray) -> np.ndarray:
    return np.rint((clipped(hu) - LOW_HU) * (255 / 120)).astype(np.uint8)


def jpeg(hu: np.ndarray) -> np.ndarray:
    """Grey as it comes back from JPEG files of quality 75."""
    planes = [cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, 75])[1] for plane in np.moveaxis(grey(hu), 2, 0)]
    return np.stack([cv2.imdecode(plane, cv2.IMREAD_GRAYSCALE) for plane in planes], -1)


def kept(hu: np.ndarray) -> np.ndarray:
    return hu.astype(np.float32)


GREY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "8 bits": grey,
    "8 bits as floats": lambda hu: grey(hu).astype(np.float32),
    "8 bits as int16 with padding": lambda hu: np.where(hu < -950, -1024, grey(hu).astype(np.int16)),
    "8 bits through JPEG": jpeg,
    "8 bits that were interpolated": lambda hu: np.clip(grey(hu) * 1.04 - 5, -5, 260).astype(np.float32),
}
IN_HU: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "HU": kept,
    "clipped to the brain window": clipped,
    "clipped to 0…80": lambda hu: np.clip(hu, 0, 80).astype(np.float32),
    "clipped to 0…255": lambda hu: np.clip(hu, 0, 255).astype(np.uint8),
    "clipped to 0…255, noisy": lambda hu: np.clip(hu + np.random.default_rng(0).normal(0, 12, hu.shape), 0, 255).astype(
        np.float32
    ),
    "clipped to -160…240": lambda hu: np.clip(hu, -160, 240).astype(np.int16),
    "fractions": lambda hu: grey(hu) / np.float32(255),
}


@pytest.mark.parametrize("how", GREY)
@pytest.mark.parametrize("grid", GRIDS)
def test_grey_of_a_brain_window_is_recognised_on_any_grid(grid: str, how: str) -> None:
    case = head(4, grid)
    voxels = GREY[how](case.image).astype(np.float32)
    assert grey_window_hu(voxels, case.grid.affine_ras) == BRAIN_WINDOW_HU


@pytest.mark.parametrize("how", IN_HU)
@pytest.mark.parametrize("grid", GRIDS)
def test_what_is_in_hu_stays_as_it_is(grid: str, how: str) -> None:
    case = head(4, grid)
    voxels = IN_HU[how](case.image).astype(np.float32)
    assert grey_window_hu(voxels, case.grid.affine_ras) is None
    image = MetaTensor(torch.from_numpy(voxels)[None], affine=torch.from_numpy(case.grid.affine_ras))
    torch.testing.assert_close(HeadHU()(image), image, rtol=0, atol=0)


@pytest.mark.parametrize("seed", range(3))
def test_one_scan_is_the_same_in_hu_clipped_and_in_8_bits(seed: int) -> None:
    case = head(seed)
    affine = torch.from_numpy(case.grid.affine_ras)
    images = [MetaTensor(torch.from_numpy(how(case.image))[None], affine=affine) for how in (kept, clipped, grey)]
    full, cut, mapped = (HeadHU()(image).numpy()[0] for image in images)
    np.testing.assert_array_equal(clipped(full), clipped(case.image))
    np.testing.assert_array_equal(cut, clipped(case.image))
    np.testing.assert_allclose(mapped, clipped(case.image), rtol=0, atol=HALF_STEP_HU + 1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_single_slices_are_recognised_where_bone_encloses_brain(seed: int) -> None:
    case, affine = head(seed), head(seed).grid.affine_ras
    enclosed = 0
    for k in range(case.image.shape[2]):
        hu = case.image[..., k : k + 1]
        if len(inside_skull(grey(hu).astype(np.float32), affine)):
            enclosed += 1
            assert grey_window_hu(grey(hu).astype(np.float32), affine) == BRAIN_WINDOW_HU
            assert grey_window_hu(jpeg(hu).astype(np.float32), affine) == BRAIN_WINDOW_HU
        assert grey_window_hu(np.clip(hu, 0, 255).astype(np.float32), affine) is None
    assert enclosed >= 5


def section(brain_hu: float, other_hu: float, share: float) -> np.ndarray:
    """A slice of a skull that holds brain, and in front of it something else."""
    rows, columns = np.mgrid[-60:60, -60:60] / 1.0
    radius = np.hypot(rows, columns / 0.85)
    hu = np.where(
        radius < 58, np.where(radius < 48, np.where(rows < 48 * (1 - 2 * share), brain_hu, other_hu), 900), -1000
    )
    return (hu + np.random.default_rng(0).normal(0, 5, hu.shape))[..., None].astype(np.float32)


@pytest.mark.parametrize(
    "other_hu", [4, 12, 22, 70, 95], ids=["fluid", "bloody fluid", "oedema", "blood", "dense blood"]
)
def test_half_a_brain_of_something_else_changes_nothing(other_hu: float) -> None:
    hu, affine = section(33, other_hu, 0.55), np.diag([1.8, 1.8, 5.0, 1.0])
    assert grey_window_hu(grey(hu).astype(np.float32), affine) == BRAIN_WINDOW_HU
    assert grey_window_hu(np.clip(hu, 0, 255), affine) is None


def test_where_nothing_encloses_a_brain_only_clear_grey_is_mapped() -> None:
    affine = np.diag([1.8, 1.8, 5.0, 1.0])
    open_head = section(33, 33, 0)
    open_head[60:, 40:80] = -1000
    assert len(inside_skull(grey(open_head).astype(np.float32), affine)) == 0
    assert grey_window_hu(grey(open_head).astype(np.float32), affine) == BRAIN_WINDOW_HU
    assert grey_window_hu(np.clip(open_head, 0, 255), affine) is None
    shade = np.linspace(0, 255, 120 * 120, dtype=np.float32).reshape(120, 120, 1)  # every level alike: says nothing
    assert grey_window_hu(shade, affine) is None


@pytest.mark.parametrize("voxels", [np.zeros((4, 5, 3)), np.full((4, 5, 3), 220.0), np.full((1, 1, 1), -1024.0)])
def test_tiny_and_empty_scans_stay_as_they_are(voxels: np.ndarray) -> None:
    image = torch.from_numpy(voxels.astype(np.float32))[None]
    torch.testing.assert_close(HeadHU()(image), image, rtol=0, atol=0)


def test_an_override_says_what_grey_0_and_255_stand_for() -> None:
    levels = torch.tensor([0.0, 51, 255]).view(1, 3, 1, 1)
    np.testing.assert_allclose(HeadHU((-50, 205))(levels).flatten(), [-50, 1, 205], atol=1e-4)
    np.testing.assert_allclose(HeadHU((-20, 100))(levels / 255).flatten(), [-20, 4, 100], atol=1e-4)
    np.testing.assert_allclose(HeadHU((0, 255))(levels).flatten(), [0, 51, 255], atol=1e-4)


def test_padding_is_no_grey_level() -> None:
    levels = np.array([-2048, 0, 255], np.float32)
    np.testing.assert_array_equal(grey_to_hu(levels, (-20, 100)), [-2048, -20, 100])


@pytest.mark.parametrize("values", [[-1000.0, 40, 1200], [-20.0, 40, 100], [0.0, 30, 4095]])
def test_an_override_of_what_is_no_grey_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"override_intensity -20,100 is for grey levels 0 to 255 \(or 0 to 1\), got"):
        HeadHU((-20, 100))(torch.tensor(values).view(1, 3, 1, 1))


def test_a_plane_is_recognised_like_a_slice() -> None:
    plane = torch.from_numpy(grey(section(33, 65, 0.2)))[..., 0][None]
    hu = HeadHU()(plane)
    assert hu.shape == plane.shape
    torch.testing.assert_close(hu, plane * (120 / 255) - 20, rtol=0, atol=1e-4)


def test_the_guess_is_the_same_in_the_files_own_order_of_axes_and_in_ras() -> None:
    case = head(1)
    voxels = torch.from_numpy(grey(case.image))[None].permute(0, 2, 3, 1)
    affine = torch.from_numpy(case.grid.affine_ras[:, [1, 2, 0, 3]])
    chain = Compose([Orientationd("image", "RAS", labels=None), HeadHUd("image")])
    for steps in (HeadHUd("image"), chain):
        hu = steps({"image": MetaTensor(voxels, affine=affine)})["image"]
        assert (float(hu.min()), float(hu.max())) == pytest.approx((LOW_HU, HIGH_HU))
