"""Each brick against a rewrite of its formula in numpy and float64."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sliceweave.networks.attention import ChannelAttention, SelfAttention, SpatialAttention, position_encoding

Array = NDArray[np.float64]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def weights(module: torch.nn.Module) -> dict[str, Array]:
    return {name: p.detach().double().numpy() for name, p in module.named_parameters()}


def test_channel_attention_follows_its_formula() -> None:
    module, x = ChannelAttention(32).double(), torch.randn(2, 32, 5, 7, dtype=torch.float64)
    w = weights(module)
    assert w["mlp.0.weight"].shape == (2, 32)  # reduction 16

    def mlp(pooled: Array) -> Array:
        hidden = np.maximum(pooled @ w["mlp.0.weight"].T + w["mlp.0.bias"], 0)
        return hidden @ w["mlp.2.weight"].T + w["mlp.2.bias"]

    image = x.numpy()
    scale = sigmoid(mlp(image.mean((2, 3))) + mlp(image.max((2, 3))))
    np.testing.assert_allclose(module(x).detach().numpy(), image * scale[:, :, None, None], rtol=1e-12)


def test_spatial_attention_follows_its_formula() -> None:
    module, x = SpatialAttention(2).double(), torch.randn(1, 6, 8, 9, dtype=torch.float64)
    w, image = weights(module), x.numpy()[0]
    summary = np.pad(np.stack([image.mean(0), image.max(0)]), ((0, 0), (3, 3), (3, 3)))
    scale = np.empty((8, 9))
    for row in range(8):
        for column in range(9):
            patch = summary[:, row : row + 7, column : column + 7]
            scale[row, column] = (patch * w["conv.weight"][0]).sum() + w["conv.bias"][0]
    np.testing.assert_allclose(module(x).detach().numpy()[0], image * sigmoid(scale), rtol=1e-12)


@pytest.mark.parametrize(("channels", "size"), [(8, (3, 5)), (12, (2, 3, 4)), (16, (2, 3, 4)), (3, (4, 4))])
def test_position_encoding_follows_its_formula(channels: int, size: tuple[int, ...]) -> None:
    dims = len(size)
    frequencies = channels // (2 * dims)
    expected = np.zeros((channels, *size))
    for position in np.ndindex(size):
        for axis in range(dims):
            for k in range(frequencies):
                angle = position[axis] * 10000 ** (-k / frequencies)
                first = 2 * frequencies * axis + k
                expected[(first, *position)] = np.sin(angle)
                expected[(first + frequencies, *position)] = np.cos(angle)
    code = position_encoding(torch.zeros(1, channels, *size))
    np.testing.assert_allclose(code.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("channels", "heads"), [(16, 8), (12, 6), (7, 7), (11, 1)])
def test_heads_are_the_largest_divisor_up_to_eight(channels: int, heads: int) -> None:
    assert SelfAttention(channels).heads == heads


@pytest.mark.parametrize("size", [(3, 5), (2, 3, 4)])
def test_self_attention_follows_its_formula(size: tuple[int, ...]) -> None:
    module, x = SelfAttention(12).double(), torch.randn(1, 12, *size, dtype=torch.float64)
    w = weights(module)
    encoded = (x + position_encoding(x)).numpy()[0].reshape(12, -1).T
    q, k, v = (encoded @ w[f"w_{name}.weight"].T for name in "qkv")
    result = np.empty_like(encoded)
    for head in range(module.heads):
        own = slice(head * 12 // module.heads, (head + 1) * 12 // module.heads)
        scores = np.exp(q[:, own] @ k[:, own].T / np.sqrt(12 / module.heads))
        result[:, own] = scores / scores.sum(1, keepdims=True) @ v[:, own]
    expected = (encoded + result).T.reshape(12, *size)
    np.testing.assert_allclose(module(x).detach().numpy()[0], expected, rtol=1e-10)


def test_self_attention_never_holds_an_n_by_n_matrix() -> None:
    module = SelfAttention(16).eval()
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        module(torch.rand(1, 16, 96, 96))
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 8 * 9216**2 * 4 / 20  # the scores of 8 heads, float32, would be 2.7 GB
