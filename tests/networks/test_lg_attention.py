import itertools

import numpy as np
import pytest
import torch
from numpy_layers import Array, conv, excited, relu, weights
from torch.utils.flop_counter import FlopCounterMode

from sliceweave.networks.lg_attention import (
    LGAttention,
    PixelCorrelation,
    average_pool,
    from_quadrants,
    pixel_weighted,
    to_quadrants,
)


def pooled(x: Array, size: int) -> Array:
    """Means of blocks, which are cut off at the far edges."""
    result = np.empty((len(x), *(-(-n // size) for n in x.shape[1:])))
    for place in np.ndindex(result.shape[1:]):
        block = x[(slice(None), *(slice(size * p, size * p + size) for p in place))]
        result[(slice(None), *place)] = block.reshape(len(x), -1).mean(1)
    return result


def pcm(x: Array, w: dict[str, Array], name: str = "theta", pooling: int = 1) -> Array:
    """Eq. 4, the whole affinity matrix held."""
    small = pooled(x, pooling)

    def directions(image: Array) -> Array:
        theta = conv(image, w, name).reshape(len(w[f"{name}.weight"]), -1)
        return theta / np.linalg.norm(theta, axis=0)

    affinity = relu(directions(x).T @ directions(small))
    gathered = affinity @ relu(small).reshape(len(x), -1).T / np.maximum(affinity.sum(1, keepdims=True), 1e-12)
    return gathered.T.reshape(x.shape)


@pytest.mark.parametrize("pooling", [1, 2, 4])
@pytest.mark.parametrize("size", [(7, 10), (3, 5, 4)])
def test_pixel_correlation_follows_equation_4(size: tuple[int, ...], pooling: int) -> None:
    module = excited(PixelCorrelation(len(size), 6, pooling))
    x = torch.randn(2, 6, *size, dtype=torch.float64)
    for image, result in zip(x, module(x), strict=True):
        np.testing.assert_allclose(result.detach(), pcm(image.numpy(), weights(module), pooling=pooling), atol=1e-6)


def test_pixel_correlation_over_several_blocks_follows_equation_4() -> None:
    module = excited(PixelCorrelation(2, 4))
    x = torch.randn(1, 4, 37, 41, dtype=torch.float64)
    np.testing.assert_allclose(module(x)[0].detach(), pcm(x[0].numpy(), weights(module)), atol=1e-6)


def test_pixel_correlation_passes_gradcheck() -> None:
    module = excited(PixelCorrelation(2, 2))
    assert torch.autograd.gradcheck(module, torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True))


def test_a_constant_map_correlates_to_itself() -> None:
    module = excited(PixelCorrelation(2, 3))
    x = torch.full((1, 3, 5, 4), 2.0, dtype=torch.float64)
    torch.testing.assert_close(module(x), x)


def test_theta_has_an_eighth_of_the_channels_but_at_least_eight() -> None:
    assert [PixelCorrelation(2, c).theta.out_channels for c in (4, 64, 128, 512)] == [8, 8, 16, 64]


def test_pixel_weighted_aggregation_follows_equation_10() -> None:
    x, y = np.random.default_rng(0).random((2, 3, 4, 5))
    expected = x / (x + y) * x + y / (x + y) * y
    np.testing.assert_allclose(pixel_weighted(torch.tensor(x), torch.tensor(y)), expected, rtol=1e-12)


def test_pixel_weighted_aggregation_of_nothing_is_zero_with_a_finite_gradient() -> None:
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    pixel_weighted(x, x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("size", [(6, 10), (4, 6, 2)])
def test_lg_attention_follows_equations_5_to_10(size: tuple[int, ...]) -> None:
    module = excited(LGAttention(len(size), 4, 1))
    w, x = weights(module), torch.randn(1, 4, *size, dtype=torch.float64)
    image = x[0].numpy()
    local = np.empty_like(image)
    for corner in itertools.product((0, 1), repeat=len(size)):
        quadrant = tuple(slice(c * n // 2, (c + 1) * n // 2) for c, n in zip(corner, size, strict=True))
        local[(slice(None), *quadrant)] = pcm(image[(slice(None), *quadrant)], w, "pcm.theta")
    whole = pcm(image, w, "pcm.theta")
    total = local + whole
    weight = np.divide(local, total, out=np.zeros_like(total), where=total > 0)
    expected = image * (weight * local + (1 - weight) * whole)
    np.testing.assert_allclose(module(x)[0].detach(), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(6, 4), (2, 6, 4)])
def test_quadrants_are_put_back_in_place(size: tuple[int, ...]) -> None:
    x = torch.rand(3, 2, *size)
    parts = to_quadrants(x)
    assert parts.shape == (3 * 2 ** len(size), 2, *(n // 2 for n in size))
    assert torch.equal(from_quadrants(parts), x)


def test_average_pool_keeps_a_map_smaller_than_the_pool() -> None:
    assert average_pool(torch.ones(1, 2, 1, 3, 5), 4).shape == (1, 2, 1, 1, 2)


def test_operations_are_as_many_as_the_docstring_says() -> None:
    module, x = PixelCorrelation(2, 16), torch.randn(1, 16, 9, 11, requires_grad=True)
    n, c, c2 = 99, 16, 8
    theta = 2 * n * c * c2
    with FlopCounterMode(display=False) as forward:
        y = module(x)
    assert forward.get_total_flops() == 2 * n**2 * (c2 + c + 1) + theta
    with FlopCounterMode(display=False) as backward:
        y.sum().backward()
    assert backward.get_total_flops() == 2 * n**2 * (3 * c2 + 2 * c + 2) + 2 * theta


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_map_without_any_signal_stays_finite_in_half_precision(dtype: torch.dtype) -> None:
    attention, skip = LGAttention(2, 4, 1), torch.zeros(1, 4, 6, 8, requires_grad=True)
    torch.nn.init.zeros_(attention.pcm.theta.bias)
    with torch.autocast("cpu", dtype):
        attended = attention(skip)
    attended.float().sum().backward()
    assert torch.equal(attended.float(), torch.zeros_like(skip))
    assert skip.grad is not None
    assert skip.grad.isfinite().all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 1e-2), (torch.float16, 1e-3)])
def test_large_values_do_not_overflow_in_half_precision(dtype: torch.dtype, tolerance: float) -> None:
    pcm, x = PixelCorrelation(2, 4), torch.full((1, 4, 40, 40), 200.0)
    with torch.autocast("cpu", dtype):
        y = pcm(x.to(dtype))
    torch.testing.assert_close(y, x, rtol=tolerance, atol=0)
