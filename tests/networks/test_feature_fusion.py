import numpy as np
import pytest
import torch
from numpy_layers import Array, conv, conv_norm, excited, relu, sigmoid, weights

from sliceweave.networks.feature_fusion import RSE, FeatureFusion


def rse(x: Array, w: dict[str, Array], name: str) -> Array:
    """Eqs 11 to 13."""
    x = conv(x, w, f"{name}change")
    u = conv_norm(x, w, f"{name}trunk")
    z = u.reshape(len(u), -1).mean(1)
    first, second = f"{name}weigh.fc.0", f"{name}weigh.fc.2"
    hidden = relu(w[f"{first}.weight"] @ z + w[f"{first}.bias"])
    s = sigmoid(w[f"{second}.weight"] @ hidden + w[f"{second}.bias"])
    return x + u * s.reshape(-1, *[1] * (x.ndim - 1))


@pytest.mark.parametrize("size", [(5, 6), (3, 4, 2)])
def test_rse_follows_equations_11_to_13(size: tuple[int, ...]) -> None:
    module, x = excited(RSE(len(size), 4, 13)), torch.randn(1, 4, *size, dtype=torch.float64)
    np.testing.assert_allclose(module(x)[0].detach(), rse(x[0].numpy(), weights(module), ""), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("channels", "hidden"), [(64, 10), (12, 2), (6, 1), (3, 1)])
def test_rse_reduces_by_six(channels: int, hidden: int) -> None:
    assert RSE(2, 4, channels).weigh.fc[0].out_features == hidden


def test_rse_drops_a_tenth_in_training_alone() -> None:
    module, x = RSE(2, 4, 12), torch.rand(2, 4, 8, 8)
    assert [m.p for m in module.modules() if isinstance(m, torch.nn.Dropout)] == [0.1]
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


@pytest.mark.parametrize("with_rse", [True, False])
def test_feature_fusion_weighs_shallow_by_3x3_and_deep_by_5x5(with_rse: bool) -> None:
    module = excited(FeatureFusion(2, 6, 9, with_rse))
    w = weights(module)
    skip, deep = torch.randn(1, 6, 7, 8, dtype=torch.float64), torch.randn(1, 9, 7, 8, dtype=torch.float64)
    shallow, up = skip[0].numpy(), deep[0].numpy()
    both = np.concatenate([shallow, up])

    def branch(name: str) -> Array:
        x = conv(relu(conv_norm(both, w, f"{name}.0")), w, f"{name}.1")
        weight = rse(x, w, f"{name}.2.") if with_rse else conv(x, w, f"{name}.2")
        return 1 / (1 + np.exp(-weight))

    assert [w[f"{name}.1.weight"].shape[2:] for name in ("l1", "l2")] == [(3, 3), (5, 5)]
    expected = np.concatenate([shallow * branch("l1"), up * branch("l2")])
    np.testing.assert_allclose(module(deep, skip)[0].detach(), expected, rtol=1e-9, atol=1e-9)
