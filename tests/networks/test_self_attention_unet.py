import pytest
import torch

from sliceweave.networks import SelfAttentionUNet


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("spatial_dims", "widths", "expected"),
    [(2, (64, 128, 256, 512), 9_638_484), (3, (64, 128, 256, 512), 26_895_510), (2, (16, 32, 64, 128), 604_647)],
)
def test_parameter_counts_are_pinned(spatial_dims: int, widths: tuple[int, ...], expected: int) -> None:
    assert parameters(SelfAttentionUNet(spatial_dims, 1, 1, widths)) == expected


def shapes_seen(net: SelfAttentionUNet, image: torch.Tensor) -> dict[str, torch.Size]:
    seen = {}
    for name, module in net.named_modules():
        module.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out.shape))
    with torch.no_grad():
        net(image)
    return seen


def test_maps_have_the_sizes_of_figure_1() -> None:
    seen = shapes_seen(SelfAttentionUNet(2, 1, 1).eval(), torch.rand(1, 1, 512, 512))
    encoder = [tuple(seen[f"u.encoder.{i}"][1:]) for i in range(4)]
    assert encoder == [(64, 512, 512), (128, 256, 256), (256, 128, 128), (512, 64, 64)]
    assert tuple(seen["u.bottom"][1:]) == (512, 32, 32)
    decoder = [tuple(seen[f"u.decoder.{i}"][1:]) for i in range(4)]
    assert decoder == [(256, 64, 64), (128, 128, 128), (64, 256, 256), (1, 512, 512)]
    assert tuple(seen["u.decoder.3.convs.0"][1:]) == (64, 512, 512)


def test_the_last_map_is_not_rectified_but_every_other_convolution_is() -> None:
    net = SelfAttentionUNet(2, 1, 1, (4, 8, 12, 16)).train()
    lowest = {}
    for level, stage in enumerate(net.u.decoder):
        stage.register_forward_hook(lambda _m, _i, out, level=level: lowest.__setitem__(level, out.min().item()))
    net(torch.rand(2, 1, 64, 64))
    assert lowest[3] < 0
    assert all(lowest[level] >= 0 for level in range(3))


@pytest.mark.parametrize("parts", [(), ("SA",), ("SA", "CA"), ("SA", "CA", "SPA"), "SA"])
def test_parts_build_just_their_modules(parts: tuple[str, ...]) -> None:
    names = [type(m).__name__ for m in SelfAttentionUNet(2, 1, 1, (4, 8, 12, 16), parts).modules()]
    assert names.count("SelfAttention") == ("SA" in parts)
    assert names.count("ChannelAttention") == 4 * ("CA" in parts)
    assert names.count("SpatialAttention") == 4 * ("SPA" in parts)


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown parts \['CBAM'\]: choose from \['CA', 'SA', 'SPA'\]"):
        SelfAttentionUNet(2, 1, 1, parts=("SA", "CBAM"))
