import numpy as np
import torch
from numpy_layers import Array, sigmoid, weights

from sliceweave.networks.skip_attention import ChannelAttention, SpatialAttention


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
