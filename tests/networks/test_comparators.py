"""What is special to each network the papers compare theirs with."""

import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sliceweave.networks import presets
from sliceweave.networks.fcn8s import FCN8s, bilinear_transposed
from sliceweave.networks.res_unet import ResUNet
from sliceweave.networks.segnet import SegNet, max_unpool
from sliceweave.networks.u2net import PooledU, U2Net, rsu, u2net_lite
from sliceweave.networks.unet import UNet

Build = Callable[..., nn.Module]
Sizes = Callable[[nn.Module, torch.Tensor], dict[str, tuple[int, ...]]]

NARROW: dict[Build, tuple[int, ...]] = {
    UNet: (4, 6, 8, 10, 12),
    ResUNet: (4, 6, 8, 10),
    FCN8s: (4, 6, 8, 10, 12, 16),
    SegNet: (4, 6, 8, 10, 12),
    U2Net: (8, 10, 12, 14, 16, 18),
    presets.attention_unet: (4, 6, 8, 10, 12),
    presets.unet_plus_plus: (4, 8, 12, 16, 20),
    presets.residual_unet_3d: (4, 6, 8, 10),
    presets.seg_res_net: (4, 8, 16, 32),
    presets.dyn_unet: (4, 6, 8, 10, 12),
}


def narrow(build: Build, spatial_dims: int = 2) -> nn.Module:
    """Three channels in, two out."""
    torch.manual_seed(0)
    inner = {"inner_widths": (3, 4, 5, 6, 7, 8)} if build is U2Net else {}
    return build(spatial_dims, 3, 2, NARROW[build], **inner)


def on_paper(build: Build, spatial_dims: int, in_channels: int = 1) -> nn.Module:
    """The network at the paper's widths, one channel out, with shapes but no memory."""
    with torch.device("meta"):
        return build(spatial_dims, in_channels, 1).eval()


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("build", "spatial_dims", "in_channels", "expected"),
    [
        (UNet, 2, 1, 31_042_369),  # 31.04 M in the liver paper
        (UNet, 3, 1, 90_304_449),
        (ResUNet, 2, 1, 8_219_713),
        (FCN8s, 2, 1, 134_272_995),
        (SegNet, 2, 1, 29_442_433),
        (U2Net, 2, 3, 44_009_869),  # published
        (u2net_lite, 2, 3, 1_131_181),  # published
        (U2Net, 2, 1, 44_008_717),
        (presets.attention_unet, 2, 1, 31_739_185),
        (presets.attention_unet, 3, 1, 94_482_865),
        (presets.unet_plus_plus, 2, 1, 9_118_657),
        (presets.unet_plus_plus, 3, 1, 26_381_825),
        (presets.residual_unet_3d, 2, 1, 6_403_544),
        (presets.residual_unet_3d, 3, 1, 18_941_930),
        (presets.seg_res_net, 2, 1, 6_298_497),
        (presets.seg_res_net, 3, 1, 18_795_969),
        (presets.dyn_unet, 2, 1, 5_684_545),
        (presets.dyn_unet, 3, 1, 16_543_617),
    ],
)
def test_parameter_counts_are_pinned(build: Build, spatial_dims: int, in_channels: int, expected: int) -> None:
    assert parameters(on_paper(build, spatial_dims, in_channels)) == expected


@pytest.mark.parametrize("build", [FCN8s, SegNet])
def test_the_encoder_holds_the_thirteen_convolutions_of_vgg16(build: Build) -> None:
    convolutions = [m for m in on_paper(build, 2, in_channels=3).encoder.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 13
    assert sum(parameters(m) for m in convolutions) == 14_714_688  # torchvision's vgg16().features


@pytest.mark.parametrize("build", [ResUNet, FCN8s, SegNet, U2Net, u2net_lite])
def test_networks_of_2d_papers_refuse_3d(build: Build) -> None:
    with pytest.raises(ValueError, match="is defined in 2D only: expected spatial_dims 2, got 3"):
        build(3, 1, 1)


@pytest.mark.parametrize("build", NARROW)
def test_a_single_pixel_in_a_batch_of_one_can_be_trained_on(build: Build) -> None:
    net = narrow(build).train()
    out = net(torch.rand(1, 3, 1, 1))
    scales = torch.stack(out if isinstance(out, list) else [out])
    assert scales.shape[1:] == (1, 2, 1, 1)
    scales.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("build", [SegNet, U2Net, presets.unet_plus_plus])
def test_bfloat16_logits_are_close_to_those_in_full_precision(build: Build) -> None:
    net, image = narrow(build).eval(), torch.rand(1, 3, 37, 50)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(image)
    torch.testing.assert_close(logits.float(), net(image), rtol=0.1, atol=0.02)


# U-Net


def test_unet_has_the_maps_of_figure_1(sizes: Sizes) -> None:
    seen = sizes(on_paper(UNet, 2), torch.empty(1, 1, 384, 512))
    assert [seen[f"u.encoder.{k}"] for k in range(4)] == [
        *((64, 384, 512), (128, 192, 256), (256, 96, 128), (512, 48, 64)),
    ]
    assert seen["u.bottom"] == (1024, 24, 32)
    assert [seen[f"u.decoder.{k}.up"] for k in range(4)] == [
        *((512, 48, 64), (256, 96, 128), (128, 192, 256), (64, 384, 512)),
    ]
    assert seen["u.decoder.3"] == (64, 384, 512)


# ResUNet


def test_res_unet_has_the_maps_of_table_1(sizes: Sizes) -> None:
    seen = sizes(on_paper(ResUNet, 2), torch.empty(1, 1, 224, 160))
    assert [seen[f"u.encoder.{k}"] for k in range(3)] == [(64, 224, 160), (128, 112, 80), (256, 56, 40)]
    assert seen["u.bottom"] == (512, 28, 20)
    assert [seen[f"u.decoder.{k}"] for k in range(3)] == [(256, 56, 40), (128, 112, 80), (64, 224, 160)]


def test_only_the_first_unit_of_res_unet_meets_its_input_unnormalised() -> None:
    net = narrow(ResUNet)
    units = [*net.u.encoder, net.u.bottom, *(stage.convs for stage in net.u.decoder)]
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in unit.modules()) for unit in units]
    assert norms == [1, 2, 2, 2, 2, 2, 2]
    assert isinstance(units[0].trunk[0], nn.Conv2d)
    assert not any("Pool" in type(m).__name__ for m in net.modules())


# FCN-8s


def test_fcn8s_scores_the_maps_of_figure_3(sizes: Sizes) -> None:
    seen = sizes(on_paper(FCN8s, 2), torch.empty(1, 1, 384, 512))
    assert [seen[f"encoder.{k}"] for k in range(5)] == [
        *((64, 192, 256), (128, 96, 128), (256, 48, 64), (512, 24, 32), (512, 12, 16)),
    ]
    assert seen["fc"] == (4096, 12, 16)
    assert seen["score_pool4"] == seen["up_fc"] == (1, 24, 32)
    assert seen["score_pool3"] == seen["up_pool4"] == (1, 48, 64)
    assert seen["up_pool3"] == (1, 384, 512)


def test_fcn8s_adds_the_scores_of_fc7_pool4_and_pool3() -> None:
    net = narrow(FCN8s).eval()
    for layer, bias in ((net.score_fc, (1.0, 5.0)), (net.score_pool4, (20.0, 60.0)), (net.score_pool3, (300.0, 700.0))):
        nn.init.zeros_(layer.weight)
        layer.bias.data = torch.tensor(bias)
    logits = net(torch.rand(1, 3, 160, 192))
    middle = logits[0, :, 60:100, 80:112]  # bilinear weights sum to one away from the border
    torch.testing.assert_close(middle, torch.tensor([321.0, 765.0])[:, None, None].expand_as(middle))


@pytest.mark.parametrize("factor", [2, 8])
def test_upsampling_starts_bilinear(factor: int) -> None:
    x = torch.randn(1, 3, 5, 7)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear")
    inner = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(bilinear_transposed(3, factor)(x)[inner], expected[inner])


# SegNet


def test_segnet_mirrors_its_encoder(sizes: Sizes) -> None:
    seen = sizes(on_paper(SegNet, 2), torch.empty(1, 1, 384, 512))
    encoder = [seen[f"encoder.{k}"] for k in range(5)]
    assert encoder == [(64, 384, 512), (128, 192, 256), (256, 96, 128), (512, 48, 64), (512, 24, 32)]
    decoder = [seen[f"decoder.{k}"] for k in range(5)]
    assert decoder == [(512, 24, 32), (256, 48, 64), (128, 96, 128), (64, 192, 256), (1, 384, 512)]


def test_max_unpooling_puts_maxima_back_where_they_stood() -> None:
    x = torch.tensor([[1.0, 2, 5, 6, 0, 9], [4, 3, 8, 7, 0, 0]])[None, None]
    expected = torch.tensor([[0.0, 0, 0, 0, 0, 9], [4, 0, 8, 0, 0, 0]])[None, None]
    torch.testing.assert_close(max_unpool(*F.max_pool2d(x, 2, return_indices=True)), expected, rtol=0, atol=0)


def test_max_unpooling_keeps_samples_and_channels_apart() -> None:
    pooled, places = F.max_pool2d(torch.randn(2, 3, 6, 10), 2, return_indices=True)
    torch.testing.assert_close(max_unpool(pooled, places), F.max_unpool2d(pooled, places, 2), rtol=0, atol=0)


# U²-Net


def test_u2net_has_the_maps_of_figure_5(sizes: Sizes) -> None:
    seen = sizes(on_paper(U2Net, 2), torch.empty(1, 1, 288, 320))
    encoder = [seen[f"u.encoder.{k}"] for k in range(5)]
    assert encoder == [(64, 288, 320), (128, 144, 160), (256, 72, 80), (512, 36, 40), (512, 18, 20)]
    assert seen["u.bottom"] == (512, 9, 10)
    decoder = [seen[f"u.decoder.{k}"] for k in range(5)]
    assert decoder == [(512, 18, 20), (256, 36, 40), (128, 72, 80), (64, 144, 160), (64, 288, 320)]
    assert [seen[f"fusion.sides.{k}"][1] for k in range(6)] == [9, 18, 36, 72, 144, 288]


@pytest.mark.parametrize("pools", [5, 4, 3, 2, 0])
def test_a_residual_u_block_is_as_deep_as_its_pools(sizes: Sizes, pools: int) -> None:
    with torch.device("meta"):
        block = rsu(1, 8, 12, pools).eval()
    seen = sizes(block, torch.empty(1, 1, 288, 320))
    bottom = "1.trunk.u.bottom" if pools else "1.trunk.encoder.3"
    assert seen[bottom] == (8, 288 >> pools, 320 >> pools)
    assert seen["1"] == (12, 288, 320)


def test_the_dilated_block_dilates_by_1_2_4_8_4_2_1() -> None:
    convolutions = [m for m in rsu(1, 8, 12, pools=0)[1].modules() if isinstance(m, nn.Conv2d)]
    assert [m.dilation[0] for m in convolutions] == [1, 2, 4, 8, 4, 2, 1]


def test_no_block_within_u2net_pads_its_map_again() -> None:
    net, kept = narrow(U2Net).eval(), []
    for module in net.modules():
        if isinstance(module, PooledU):
            module.u.register_forward_hook(lambda _, x, maps: kept.append(x[0].shape[2:] == maps[-1].shape[2:]))
    net(torch.rand(1, 3, 37, 50))
    assert kept == [True] * 8


def test_u2net_gives_all_scales_in_training_and_their_fusion_in_evaluation() -> None:
    net, image = narrow(U2Net).train(), torch.rand(2, 3, 37, 50)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    scales = net(image)
    assert [tuple(logits.shape) for logits in scales] == [(2, 2, 37, 50)] * 7
    torch.testing.assert_close(scales[0], net.fusion.fuse(torch.cat(scales[1:], dim=1)))
    torch.testing.assert_close(net.eval()(image), scales[0])


def test_a_scripted_u2net_that_was_pickled_follows_both_modes_at_another_size() -> None:
    net = pickle.loads(pickle.dumps(narrow(U2Net).eval()))
    scripted, image = torch.jit.script(net), torch.rand(1, 3, 70, 33)
    torch.testing.assert_close(scripted(image), net(image))
    assert len(scripted.train()(image)) == 7


# MONAI's


class Doubling(nn.Module):
    """A list of two maps, for sizes that divide by four."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        assert x.shape[2] % 4 == x.shape[3] % 4 == 0
        return [2 * x, 3 * x]


def test_any_size_pads_crops_and_takes_the_first_of_a_list() -> None:
    image = torch.rand(1, 2, 5, 10)
    torch.testing.assert_close(presets.AnySize(Doubling(), 4)(image), 2 * image, rtol=0, atol=0)


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("build", [build for build in NARROW if build.__module__ == presets.__name__])
def test_no_weight_of_monais_networks_goes_unused(build: Build, spatial_dims: int) -> None:
    net = narrow(build, spatial_dims).train()
    net(torch.rand(1, 3, *(18, 33, 9)[:spatial_dims])).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("widths", [(32, 64, 128, 200), (32, 64, 128)])
def test_seg_res_net_refuses_widths_that_do_not_double(widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"four widths double: expected e.g. \(32, 64, 128, 256\), got \(32, 64, 128"):
        presets.seg_res_net(2, 1, 1, widths)
