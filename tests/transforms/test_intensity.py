import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from sliceweave.transforms import CLAHE, MedianDenoise, WindowHU


def test_level_60_width_160_is_minus_20_to_140_hu() -> None:
    image = torch.tensor([[-3024.0, -1024, -20, 60, 140, 3000]])
    assert WindowHU(60, 160)(image).tolist() == [[0, 0, 0, 0.5, 1, 1]]


def test_presets_have_names() -> None:
    image = torch.tensor([[-5.0, 0, 25, 100, 200]])
    torch.testing.assert_close(WindowHU("head")(image), torch.tensor([[0, 0, 0.25, 1, 1]]))


@pytest.mark.parametrize("arguments", [("skull",), (50,), (50, 0), (50, -10)])
def test_a_window_without_sense_is_refused(arguments: tuple[float | str, ...]) -> None:
    with pytest.raises(ValueError, match="window"):
        WindowHU(*arguments)


def brain_like(shape: tuple[int, int, int]) -> np.ndarray:
    """Grey values in 0…1 on the 256 levels that OpenCV knows."""
    noise = np.random.default_rng(0).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, (6, 6, 1)) + 0.05 * noise
    grey = (smooth - smooth.min()) / np.ptp(smooth)
    return np.round(grey * 255).astype(np.float32) / 255


@pytest.mark.parametrize("size", [(512, 384), (515, 390)])
@pytest.mark.parametrize("clip_limit", [2.0, 4.0])
def test_clahe_is_opencvs_on_its_256_levels(size: tuple[int, int], clip_limit: float) -> None:
    image = brain_like((*size, 3))
    reference = cv2.createCLAHE(clip_limit, (8, 8))
    expected = (
        np.stack([reference.apply(np.round(s * 255).astype(np.uint8)) for s in np.moveaxis(image, 2, 0)], 2) / 255
    )
    result = CLAHE(clip_limit)(image[None])[0].numpy()
    assert np.corrcoef(result.ravel(), expected.ravel())[0, 1] > 0.9999
    assert np.abs(result - expected).mean() < 0.5 / 255


def test_clahe_does_not_round_to_256_levels() -> None:
    image = torch.linspace(0.5, 0.5 + 1 / 255, 64 * 64).view(1, 64, 64)  # all within one 8-bit step
    assert CLAHE(axis=None)(image).unique().numel() > 2000


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_clahe_and_median_treat_each_slice_by_itself_along_any_axis(axis: int) -> None:
    volume = torch.from_numpy(brain_like((40, 48, 56)))[None]
    for whole, single in ((CLAHE(axis=axis), CLAHE(axis=None)), (MedianDenoise(3, axis), MedianDenoise(3, None))):
        result = whole(volume)
        for index in (0, 17, 39):
            torch.testing.assert_close(result.select(axis + 1, index), single(volume.select(axis + 1, index)))


@pytest.mark.parametrize("tiles", [1, 8])
def test_clahe_of_a_tiny_image_is_finite_and_stays_in_range(tiles: int) -> None:
    result = CLAHE(tiles=tiles, axis=None)(torch.rand(1, 5, 3))
    assert result.isfinite().all()
    assert 0 <= result.min() <= result.max() <= 1


@pytest.mark.parametrize("image", [torch.full((1, 4, 4), 40.0), torch.full((1, 4, 4), float("nan"))])
def test_clahe_wants_windowed_values(image: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="window first"):
        CLAHE(axis=None)(image)


@pytest.mark.parametrize("size", [3, 5])
def test_median_is_scipys_with_replicated_edges(size: int) -> None:
    image = np.random.default_rng(0).normal(size=(12, 9, 5)).astype(np.float32)
    expected = ndimage.median_filter(image, (size, size, 1), mode="nearest")
    np.testing.assert_array_equal(MedianDenoise(size)(image[None])[0].numpy(), expected)


def test_other_median_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="3 or 5"):
        MedianDenoise(4)
