"""The MR scanner of generated studies: its noise is Rician, its edges ring or blur, its scale is anyone's guess."""

from dataclasses import replace

import numpy as np
import pytest

from sliceweave.pipelines.phantom_grid import PhantomOptions, scan_grid
from sliceweave.pipelines.phantom_mr import MRScanner, draw_mr_scanner

GRID = scan_grid(PhantomOptions(size=(96, 110), slices=3, spacing_mm=(0.5, 0.6, 0.7), plane="sagittal"))
PLAIN = MRScanner(scale=400.0, noise=0.0, acquired=(1.0, 1.0), rolloff=0.0, margins=(0, 0, 0, 0))


def drawn(seed: int) -> MRScanner:
    return draw_mr_scanner(np.random.default_rng(seed))


def edge() -> np.ndarray:
    signal = np.zeros(GRID.shape[:2], np.float32)
    signal[30:70] = 1
    return signal


def test_a_perfect_scanner_only_scales() -> None:
    signal = np.random.default_rng(0).uniform(0, 1, GRID.shape[:2]).astype(np.float32)
    assert PLAIN(signal, GRID, np.random.default_rng(1)) == pytest.approx(400 * signal, abs=0.01)


@pytest.mark.parametrize(
    ("signal", "mean", "deviation"), [(0.0, np.sqrt(np.pi / 2), np.sqrt(2 - np.pi / 2)), (1, 0, 1)]
)
def test_noise_is_rician(signal: float, mean: float, deviation: float) -> None:
    flat = np.full(GRID.shape[:2], signal, np.float32)
    noise = replace(PLAIN, noise=0.02)(flat, GRID, np.random.default_rng(2)) / 400 - signal
    # 10,560 pixels: the mean is known to 1 % of the deviation, the deviation to 0.7 %.
    assert noise.mean() / 0.02 == pytest.approx(mean, abs=0.05)
    assert noise.std() / 0.02 == pytest.approx(deviation, rel=0.04)


def test_missing_frequencies_ring_and_a_roll_off_calms_them() -> None:
    sharp, soft = (
        replace(PLAIN, acquired=(0.7, 1.0), rolloff=rolloff)(edge(), GRID, np.random.default_rng(3)) / 400
        for rolloff in (0.0, 1.0)
    )
    assert sharp.max() > 1.05
    assert soft.max() < 1.01


def test_margins_are_blank_and_the_rest_is_not() -> None:
    image = replace(PLAIN, noise=0.02, margins=(2, 0, 3, 5))(edge(), GRID, np.random.default_rng(4))
    assert not image[:2].any()
    assert not image[:, :3].any()
    assert not image[:, -5:].any()
    assert (image[2:, 3:-5] > 0).all()


def test_scanners_differ_in_scale_by_a_factor_of_five() -> None:
    scales = [drawn(seed).scale for seed in range(30)]
    assert max(scales) > 5 * min(scales)
    assert min(scales) >= 150
    assert max(scales) <= 1500


def test_the_same_random_numbers_give_the_same_slice() -> None:
    images = [drawn(5)(edge(), GRID, np.random.default_rng(6)) for _ in range(2)]
    assert np.array_equal(*images)
