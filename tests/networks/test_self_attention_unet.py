from collections.abc import Callable

import numpy as np
import pytest
import torch

from sliceweave.networks import SelfAttentionUNet
from sliceweave.networks.position_encoding import position_encoding
from sliceweave.networks.self_attention_unet import bottom_attention

SizesSeen = Callable[[torch.nn.Module, torch.Tensor], dict[str, tuple[int, ...]]]


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("spatial_dims", "widths", "expected"),
    [(2, (64, 128, 256, 512), 9_638_484), (3, (64, 128, 256, 512), 26_895_510), (2, (16, 32, 64, 128), 604_647)],
)
def test_parameter_counts_are_pinned(spatial_dims: int, widths: tuple[int, ...], expected: int) -> None:
    assert parameters(SelfAttentionUNet(spatial_dims, 1, 1, widths)) == expected


def test_maps_have_the_sizes_of_figure_1(sizes: SizesSeen) -> None:
    seen = sizes(SelfAttentionUNet(2, 1, 1), torch.rand(1, 1, 512, 512))
    encoder = [seen[f"u.encoder.{i}"] for i in range(4)]
    assert encoder == [(64, 512, 512), (128, 256, 256), (256, 128, 128), (512, 64, 64)]
    assert seen["u.bottom"] == (512, 32, 32)
    decoder = [seen[f"u.decoder.{i}"] for i in range(4)]
    assert decoder == [(256, 64, 64), (128, 128, 128), (64, 256, 256), (1, 512, 512)]
    assert seen["u.decoder.3.convs.0"] == (64, 512, 512)


def test_the_last_map_is_not_rectified_but_every_other_convolution_is() -> None:
    net = SelfAttentionUNet(2, 1, 1, (4, 8, 12, 16)).train()
    lowest = {}
    for level, stage in enumerate(net.u.decoder):
        stage.register_forward_hook(lambda _m, _i, out, level=level: lowest.__setitem__(level, out.min().item()))
    net(torch.rand(2, 1, 64, 64))
    assert lowest[3] < 0
    assert all(lowest[level] >= 0 for level in range(3))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_an_untrained_network_expects_a_twentieth_to_be_marked(spatial_dims: int) -> None:
    net = SelfAttentionUNet(spatial_dims, 1, 1, (4, 8, 12, 16)).train()
    last_maps = []
    net.u.register_forward_hook(lambda _m, _i, out: last_maps.append(out[-1]))
    logits = net(torch.rand(2, 1, *[32] * spatial_dims))
    torch.testing.assert_close(logits, last_maps[0] + np.log(0.05 / 0.95))
    assert logits.mean().item() == pytest.approx(np.log(0.05 / 0.95), abs=1e-3)


@pytest.mark.parametrize("steady_end", [False, True])
def test_a_steady_end_takes_no_statistics_of_a_batch(steady_end: bool) -> None:
    net = SelfAttentionUNet(2, 1, 1, (4, 8, 12, 16), steady_end=steady_end).eval().train()
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms if norm.running_mean is not None]
    net(torch.rand(2, 1, 32, 32))
    changed = [not torch.equal(old, norm.running_mean) for old, norm in zip(before, norms, strict=True)]
    assert changed == [True] * (len(norms) - 1) + [not steady_end]


@pytest.mark.parametrize("parts", [(), ("SA",), ("SA", "CA"), ("SA", "CA", "SPA"), "SA"])
def test_parts_build_just_their_modules(parts: tuple[str, ...]) -> None:
    names = [type(m).__name__ for m in SelfAttentionUNet(2, 1, 1, (4, 8, 12, 16), parts).modules()]
    assert names.count("SelfAttention") == ("SA" in parts)
    assert names.count("ChannelAttention") == 4 * ("CA" in parts)
    assert names.count("SpatialAttention") == 4 * ("SPA" in parts)


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown parts \['CBAM'\]: choose from \['CA', 'SA', 'SPA'\]"):
        SelfAttentionUNet(2, 1, 1, parts=("SA", "CBAM"))


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
    assert bottom_attention(channels)[1].heads == heads


def test_the_bottom_attends_to_the_map_with_its_positions() -> None:
    bottom, x = bottom_attention(12).double(), torch.randn(1, 12, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(bottom(x), bottom[1](x + position_encoding(x)))


def test_a_skip_passes_channel_attention_first() -> None:
    attention = SelfAttentionUNet(2, 1, 1, (4, 8)).u.decoder[0].joint.attention
    assert [type(module).__name__ for module in attention] == ["ChannelAttention", "SpatialAttention"]
