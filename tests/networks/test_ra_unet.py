import numpy as np
import pytest
import torch
from numpy_layers import Array, conv, excited, group_norm, relu, sigmoid, weights

from sliceweave.networks import RAUNet
from sliceweave.networks.ra_unet import Bottleneck, GatedConcat


def parameters(**options: bool) -> int:
    return sum(p.numel() for p in RAUNet(2, 1, 1, **options).parameters())


@pytest.mark.parametrize(
    ("attention", "residual", "printed", "exact"),
    [
        (False, False, "31.04", 31_042_369),
        (True, False, "31.39", 31_393_901),
        (False, True, "6.94", 6_937_857),
        (True, True, "7.29", 7_289_389),
    ],
)
def test_parameter_counts_are_the_papers(attention: bool, residual: bool, printed: str, exact: int) -> None:
    count = parameters(attention=attention, residual=residual)
    assert count == exact
    assert f"{count / 1e6:.2f}" == printed


@pytest.mark.parametrize("channels", [64, 6])
def test_there_are_32_groups_or_as_many_as_divide(channels: int) -> None:
    norms = [m for m in Bottleneck(2, channels, channels).modules() if isinstance(m, torch.nn.GroupNorm)]
    assert {(m.num_channels, m.num_groups) for m in norms} == (
        {(64, 32), (16, 16)} if channels == 64 else {(6, 2), (1, 1)}
    )


def normal(x: Array, w: dict[str, Array], name: str) -> Array:
    y = conv(x, w, f"{name}.conv")
    return group_norm(y, w, f"{name}.adn.N", groups=int(np.gcd(32, len(y))))


@pytest.mark.parametrize("size", [(5, 6), (3, 4, 5)])
def test_the_bottleneck_follows_figure_2(size: tuple[int, ...]) -> None:
    module, x = excited(Bottleneck(len(size), 8, 12)), torch.randn(1, 8, *size, dtype=torch.float64)
    w, image = weights(module), x[0].numpy()
    middle = relu(normal(relu(normal(image, w, "sum.trunk.0")), w, "sum.trunk.1"))
    assert len(middle) == 3
    expected = relu(normal(middle, w, "sum.trunk.2") + normal(image, w, "sum.shortcut"))
    np.testing.assert_allclose(module(x)[0].detach(), expected, atol=1e-9)


@pytest.mark.parametrize("size", [(5, 6), (3, 4, 5)])
def test_the_attention_gate_follows_figure_3(size: tuple[int, ...]) -> None:
    module = excited(GatedConcat(len(size), 8))
    w = weights(module)
    x, skip = torch.randn(2, 1, 8, *size, dtype=torch.float64)
    deep, shallow = x[0].numpy(), skip[0].numpy()
    psi = normal(relu(normal(deep, w, "w_g") + normal(shallow, w, "w_x")), w, "psi")
    assert psi.shape == (1, *size)
    expected = np.concatenate([shallow * sigmoid(psi), deep])
    np.testing.assert_allclose(module(x, skip)[0].detach(), expected, atol=1e-9)


def test_only_the_first_and_the_last_stage_stay_plain() -> None:
    net = RAUNet(2, 1, 1)
    stages = [*net.u.encoder, net.u.bottom, *(stage.convs for stage in net.u.decoder)]
    assert [isinstance(stage, Bottleneck) for stage in stages] == [False, *[True] * 7, False]
