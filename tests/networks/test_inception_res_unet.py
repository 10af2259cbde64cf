from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy_layers import batch_norm, conv, excited, weights

from sliceweave.networks import InceptionResUNet
from sliceweave.networks.attention import SelfAttention
from sliceweave.networks.inception_res_unet import Inception, residual_block

NARROW = (4, 8, 12, 16, 20)


@pytest.mark.parametrize(("spatial_dims", "expected"), [(2, 57_198_919), (3, 182_676_551)])
def test_parameter_counts_are_pinned(spatial_dims: int, expected: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in InceptionResUNet(spatial_dims, 3, 1).parameters()) == expected


def test_maps_have_the_sizes_of_table_1(
    sizes: Callable[[torch.nn.Module, torch.Tensor], dict[str, tuple[int, ...]]],
) -> None:
    seen = sizes(InceptionResUNet(2, 3, 1), torch.rand(1, 3, 256, 256))
    table = {
        "u.encoder.0": (64, 256, 256),  # ResBlock 1
        "u.encoder.1": (128, 128, 128),
        "u.encoder.2": (256, 64, 64),
        "u.encoder.3": (512, 32, 32),
        "u.bottom": (1024, 16, 16),  # ResBlock 5
        "u.decoder.0.joint": (1024, 32, 32),  # up + concatenation
        "u.decoder.0": (512, 32, 32),  # ResBlock 6
        "u.decoder.1.joint": (512, 64, 64),
        "u.decoder.1": (256, 64, 64),
        "u.decoder.2.joint": (256, 128, 128),
        "u.decoder.2": (128, 128, 128),
        "u.decoder.3.joint": (128, 256, 256),
        "u.decoder.3": (64, 256, 256),  # ResBlock 9
        "head": (1, 256, 256),
    }
    assert {name: seen[name] for name in table} == table


def test_blocks_2_to_5_halve_in_trunk_and_shortcut() -> None:
    net = InceptionResUNet(2, 3, 1, NARROW)
    strides = [
        [m.stride[0] for m in block[0].modules() if isinstance(m, torch.nn.Conv2d)]
        for block in [*net.u.encoder, net.u.bottom]
    ]
    assert strides == [[1, 1, 1], *[[2, 1, 2]] * 4]
    kernels = {m.kernel_size for m in net.u.bottom[0].modules() if isinstance(m, torch.nn.Conv2d)}
    assert kernels == {(3, 3)}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 8), (4, 6, 2)])
def test_the_residual_block_follows_figure_3(size: tuple[int, ...], stride: int) -> None:
    module = excited(residual_block(len(size), 3, 4, "LEAKYRELU", stride))
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    w, image = weights(module), x[0].numpy()
    trunk = image
    for layer, step in ((0, stride), (1, 1)):
        normal = batch_norm(trunk, w, f"trunk.{layer}.0.N")
        trunk = conv(np.where(normal > 0, normal, 0.01 * normal), w, f"trunk.{layer}.1", stride=step)
    expected = trunk + conv(image, w, "shortcut", stride=stride)
    np.testing.assert_allclose(module(x)[0].detach(), expected, atol=1e-9)


@pytest.mark.parametrize("channels", [8, 10])
@pytest.mark.parametrize("size", [(5, 6), (3, 4, 2)])
def test_inception_follows_figure_4(size: tuple[int, ...], channels: int) -> None:
    module, x = excited(Inception(len(size), channels)), torch.randn(1, channels, *size, dtype=torch.float64)
    w, image = weights(module), x[0].numpy()
    padded, pooled = np.pad(image, [(0, 0), *[(1, 1)] * len(size)], mode="edge"), np.empty_like(image)
    for place in np.ndindex(size):
        block = padded[(slice(None), *(slice(p, p + 3) for p in place))]
        pooled[(slice(None), *place)] = block.reshape(channels, -1).mean(1)
    branches = [conv(image, w, "conv1"), conv(image, w, "conv3"), conv(image, w, "conv5"), conv(pooled, w, "pool.2")]
    assert [len(b) for b in branches] == [channels - 3 * 2, 2, 2, 2]
    np.testing.assert_allclose(module(x)[0].detach(), np.concatenate(branches), atol=1e-9)


@pytest.mark.parametrize("parts", [(), ("Inception",), ("SA",), ("LeakyReLU",), ("Inception", "SA", "LeakyReLU")])
def test_parts_build_just_their_modules(parts: tuple[str, ...]) -> None:
    names = [type(m).__name__ for m in InceptionResUNet(2, 3, 1, NARROW, parts).modules()]
    assert names.count("Inception") == 5 * ("Inception" in parts)
    assert names.count("SelfAttention") == 4 * ("SA" in parts)
    assert ("LeakyReLU" in names) == ("LeakyReLU" in parts) != ("ReLU" in names)


@pytest.mark.parametrize(
    ("spatial_dims", "levels", "expected"), [(2, None, [0, 1, 2, 3]), (3, None, [2, 3]), (2, (1,), [1]), (3, (0,), [0])]
)
def test_the_levels_that_attend_are_chosen(
    spatial_dims: int, levels: tuple[int, ...] | None, expected: list[int]
) -> None:
    net = InceptionResUNet(spatial_dims, 3, 1, NARROW, attention_levels=levels)
    stages = [stage.convs for stage in reversed(net.u.decoder)]
    assert [i for i, s in enumerate(stages) if any(isinstance(m, SelfAttention) for m in s)] == expected
