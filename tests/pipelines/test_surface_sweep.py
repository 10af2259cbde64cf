import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import distance_transform_edt

from sliceweave.pipelines.surface_sweep import swept_distances_mm

SPACINGS_MM = [(0.7, 0.7, 2.5), (3.0, 1.0, 0.4), (1.0, 6.0, 1.0), (0.05, 30.0, 0.3)]


def of_a_whole_transform(surfaces: np.ndarray, spacing_mm: tuple[float, ...]) -> list[np.ndarray]:
    """The same by scipy's distance transform of the whole box."""
    fields = [distance_transform_edt(~surface, spacing_mm) for surface in surfaces]
    return [np.sort(fields[1][surfaces[0]]), np.sort(fields[0][surfaces[1]])]


def check(surfaces: np.ndarray, spacing_mm: tuple[float, ...], relative: float = 1e-9) -> None:
    found = swept_distances_mm((surfaces[0], surfaces[1]), spacing_mm)
    for distances_mm, expected_mm in zip(found, of_a_whole_transform(surfaces, spacing_mm), strict=True):
        np.testing.assert_allclose(np.sort(distances_mm), expected_mm, rtol=relative, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(arrays(bool, (2, 9, 7, 6)), st.sampled_from(SPACINGS_MM))
def test_any_surfaces_have_the_distances_of_a_whole_transform(surfaces: np.ndarray, spacing_mm: tuple[float]) -> None:
    surfaces[:, 3, 3, 3] |= ~surfaces.any(axis=(1, 2, 3))
    check(surfaces, spacing_mm)


@pytest.mark.parametrize("spacing_mm", SPACINGS_MM)
@pytest.mark.parametrize("share", [0.5, 0.01, 0.0002])
def test_dense_and_thin_ones_do_too(share: float, spacing_mm: tuple[float, ...]) -> None:
    surfaces = np.random.default_rng(5).random((2, 40, 33, 31)) < share
    surfaces[:, 20, 20, 20] |= ~surfaces.any(axis=(1, 2, 3))
    check(surfaces, spacing_mm)


@pytest.mark.parametrize("axis", range(3))
def test_surfaces_beyond_the_last_ring_have_their_distance_too(axis: int) -> None:
    surfaces = np.zeros((2, 64, 60, 56), bool)
    surfaces[0].swapaxes(0, axis)[0, 5:50, 5:50] = True
    surfaces[1].swapaxes(0, axis)[-1, 10:40, 20:30] = True
    surfaces[1, 2, 3, 4] = True  # near to some: the others have to go on
    check(surfaces, (1.0, 1.1, 1.2), relative=1e-6)
    surfaces[0].swapaxes(0, axis)[:, 5:50, 6:50] = False  # a few points are left, 45
    check(surfaces, (1.0, 1.1, 1.2))


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_in_memory_does_not_matter(order: str) -> None:
    surfaces = np.random.default_rng(1).random((2, 21, 17, 13)) < 0.1
    check(np.array([surfaces[0], surfaces[1]]), (0.5, 0.5, 3.0))
    first, second = (np.asarray(surface, order=order) for surface in surfaces)
    found = swept_distances_mm((first, second), (0.5, 0.5, 3.0))
    for distances_mm, expected_mm in zip(found, of_a_whole_transform(surfaces, (0.5, 0.5, 3.0)), strict=True):
        np.testing.assert_allclose(np.sort(distances_mm), expected_mm, rtol=1e-9)
