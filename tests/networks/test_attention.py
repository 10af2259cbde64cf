import numpy as np
import pytest
import torch
from numpy_layers import weights

from sliceweave.networks.attention import SelfAttention


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("size", [(3, 5), (2, 3, 4)])
def test_self_attention_follows_its_formula(size: tuple[int, ...], heads: int) -> None:
    module, x = SelfAttention(12, heads).double(), torch.randn(1, 12, *size, dtype=torch.float64)
    w, tokens = weights(module), x.numpy()[0].reshape(12, -1).T
    q, k, v = (tokens @ w[f"w_{name}.weight"].T for name in "qkv")
    result = np.empty_like(tokens)
    for head in range(heads):
        own = slice(head * 12 // heads, (head + 1) * 12 // heads)
        scores = np.exp(q[:, own] @ k[:, own].T / np.sqrt(12 / heads))
        result[:, own] = scores / scores.sum(1, keepdims=True) @ v[:, own]
    expected = (tokens + result).T.reshape(12, *size)
    np.testing.assert_allclose(module(x).detach().numpy()[0], expected, rtol=1e-10)


@pytest.mark.parametrize("heads", [1, 8])
def test_self_attention_never_holds_an_n_by_n_matrix(heads: int) -> None:
    module = SelfAttention(16, heads).eval()
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        module(torch.rand(1, 16, 96, 96))
    largest = max(event.cpu_memory_usage for event in profile.events())
    assert largest < 9216**2 * 4 / 20  # the scores of one head, float32, would be 340 MB
