"""What every network must do: one loop over all of them, at narrow widths."""

import pickle
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import onnxruntime
import pytest
import torch
from torch import nn
from torch._dynamo.exc import UserError
from torch.export import Dim

from sliceweave.networks import (
    EASUNet,
    FCN8s,
    InceptionResUNet,
    LGNet,
    RAUNet,
    ResUNet,
    SegNet,
    SelfAttentionUNet,
    U2Net,
    UNet,
    presets,
)

FOUR, FIVE = (4, 8, 12, 16), (4, 8, 12, 16, 20)


class Case(NamedTuple):
    """A network and the dimensions it is defined in."""

    name: str
    network: Callable[..., nn.Module]
    widths: tuple[int, ...]
    dims: tuple[int, ...] = (2, 3)
    options: dict[str, Any] = {}


CASES = (
    Case("self_attention_unet", SelfAttentionUNet, FOUR),
    Case("lg_net", LGNet, FIVE),
    Case("ra_unet", RAUNet, FIVE),
    Case("eas_unet", EASUNet, FIVE),
    Case("inception_res_unet", InceptionResUNet, FIVE),
    Case("unet", UNet, FIVE),
    Case("res_unet", ResUNet, FOUR, dims=(2,)),
    Case("fcn8s", FCN8s, (*FIVE, 32), dims=(2,)),
    Case("segnet", SegNet, FIVE, dims=(2,)),
    Case("u2net", U2Net, (*FIVE, 24), dims=(2,), options={"inner_widths": (4, 4, 6, 6, 8, 8)}),
    Case("attention_unet", presets.attention_unet, FIVE),
    Case("unet_plus_plus", presets.unet_plus_plus, FIVE),
    Case("residual_unet_3d", presets.residual_unet_3d, FOUR),
    Case("seg_res_net", presets.seg_res_net, (4, 8, 16, 32)),
    Case("dyn_unet", presets.dyn_unet, FIVE),
)
# The first size nearly fills what it is padded to: over maps that are mostly one replicated value, onnxruntime's
# normalisation is off by up to 4e-4 where eager is exact to 1e-5.
ODD_SIZES = {2: ((37, 51), (19, 65), (83, 41)), 3: ((21, 31, 27), (35, 7, 17), (13, 25, 37))}
SIZE = {dims: sizes[0] for dims, sizes in ODD_SIZES.items()}


PAPERS_OWN = [case for case in CASES if not case.network.__module__.endswith("presets")]  # the others are MONAI's
DYNAMIC = [case for case in CASES[:5] if case.network is not LGNet]


def each_network(cases: Sequence[Case] = CASES, slow_dims: tuple[int, ...] = ()) -> pytest.MarkDecorator:
    """One test for each network in each of its dimensions."""
    return pytest.mark.parametrize(
        ("case", "dims"),
        [
            pytest.param(case, d, id=f"{case.name}-{d}d", marks=[pytest.mark.slow] if d in slow_dims else [])
            for case in cases
            for d in case.dims
        ],
    )


def network(case: Case, dims: int, in_channels: int = 3, out_channels: int = 3) -> nn.Module:
    return case.network(dims, in_channels, out_channels, case.widths, **case.options).eval()


def images(dims: int, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, 3, *SIZE[dims])


def training_loss(net: nn.Module, image: torch.Tensor) -> torch.Tensor:
    logits = net.train()(image)
    outputs = logits if isinstance(logits, list) else [logits]
    assert all(output.shape == (len(image), 3, *image.shape[2:]) for output in outputs)
    return torch.stack([output.square().mean() for output in outputs]).sum()


@each_network()
@torch.no_grad()
def test_logits_have_the_size_of_any_input_for_any_slab_and_classes(case: Case, dims: int) -> None:
    for in_channels, out_channels, size in zip((1, 3, 5), (3, 1, 2), ODD_SIZES[dims], strict=True):
        logits = network(case, dims, in_channels, out_channels)(torch.rand(2, in_channels, *size))
        assert isinstance(logits, torch.Tensor)
        assert logits.shape == (2, out_channels, *size)


@each_network()
@torch.no_grad()
def test_even_a_single_pixel_gets_a_logit(case: Case, dims: int) -> None:
    logits = network(case, dims)(torch.rand(1, 3, *[1] * dims))
    assert logits.shape == (1, 3, *[1] * dims)
    assert logits.isfinite().all()


@each_network()
def test_gradients_reach_every_parameter(case: Case, dims: int) -> None:
    net = network(case, dims)
    for layer in net.modules():
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            layer.weight.data.abs_()  # at these widths the few hidden units of an attention may be dead from the start
            layer.bias.data.fill_(1)
    training_loss(net, images(dims)).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []
    # A convolution's bias shares its fate with the weight, but a normalisation right behind makes its gradient zero.
    starved = [name for name, p in net.named_parameters() if not name.endswith("bias") and not p.grad.any()]
    assert starved == []


@each_network()
def test_a_batch_of_one_trains(case: Case, dims: int) -> None:
    net, image = network(case, dims), images(dims, batch=1)
    training_loss(net, image).backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())
    before = [p.clone() for p in net.parameters()]
    torch.optim.SGD(net.parameters(), lr=0.01).step()
    assert any(not torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True))
    with torch.no_grad():
        assert net.eval()(image).isfinite().all()


@each_network()
@torch.no_grad()
def test_evaluation_is_deterministic(case: Case, dims: int) -> None:
    net, image = network(case, dims), images(dims)
    torch.testing.assert_close(net(image), net(image), rtol=0, atol=0)


@each_network()
@torch.no_grad()
def test_samples_of_a_batch_do_not_see_each_other_in_eval_mode(case: Case, dims: int) -> None:
    net, batch = network(case, dims), images(dims, batch=3)
    alone = torch.cat([net(image[None]) for image in batch])
    torch.testing.assert_close(net(batch), alone, rtol=0, atol=1e-4)


@each_network()
@torch.no_grad()
def test_weights_load_strictly_into_a_fresh_network(case: Case, dims: int) -> None:
    net, fresh, image = network(case, dims), network(case, dims), images(dims)
    assert not torch.equal(net(image), fresh(image))
    fresh.load_state_dict(net.state_dict(), strict=True)
    torch.testing.assert_close(fresh(image), net(image), rtol=0, atol=0)


@each_network()
@torch.no_grad()
def test_a_pickled_network_is_the_same(case: Case, dims: int) -> None:
    net, image = network(case, dims), images(dims)
    torch.testing.assert_close(pickle.loads(pickle.dumps(net))(image), net(image), rtol=0, atol=0)


@each_network()
@torch.no_grad()
def test_bfloat16_logits_are_finite(case: Case, dims: int) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(case, dims)(images(dims)).isfinite().all()


@each_network()
@torch.no_grad()
def test_torchscript_gives_the_same_logits_at_any_size(case: Case, dims: int) -> None:
    net = network(case, dims)
    scripted = torch.jit.script(net)
    for size in ODD_SIZES[dims]:
        image = torch.rand(1, 3, *size)
        torch.testing.assert_close(scripted(image), net(image))


@cache
def exported(case_name: str, dims: int) -> tuple[nn.Module, torch.Tensor, torch.export.ExportedProgram]:
    """A network, an image, and the program of the one at the other's size; traced once for all tests."""
    case = next(case for case in CASES if case.name == case_name)
    net, image = network(case, dims), images(dims, batch=1)
    return net, image, torch.export.export(net, (image,))


def onnx_logits(program: torch.export.ExportedProgram, *inputs: torch.Tensor) -> list[torch.Tensor]:
    """What onnxruntime makes of a program."""
    model = torch.onnx.export(program, dynamo=True, verbose=False).model_proto
    session = onnxruntime.InferenceSession(model.SerializeToString())
    name = session.get_inputs()[0].name
    return [torch.from_numpy(session.run(None, {name: image.numpy()})[0]) for image in inputs]


@each_network(PAPERS_OWN)
@torch.no_grad()
def test_an_exported_program_gives_the_same_logits(case: Case, dims: int) -> None:
    net, image, program = exported(case.name, dims)
    torch.testing.assert_close(program.module()(image), net(image))


@each_network(PAPERS_OWN, slow_dims=(3,))
@torch.no_grad()
def test_onnx_gives_the_same_logits(case: Case, dims: int) -> None:
    net, image, program = exported(case.name, dims)
    torch.testing.assert_close(onnx_logits(program, image)[0], net(image), rtol=0, atol=1e-4)


def dynamic_program(net: nn.Module, image: torch.Tensor) -> torch.export.ExportedProgram:
    """The program of a network for images of any size and number."""
    sizes = {0: Dim("batch", max=64), 2: Dim("height", max=2048), 3: Dim("width", max=2048)}
    options = {"dynamic_shapes": (sizes,), "prefer_deferred_runtime_asserts_over_guards": True}
    return torch.export.export(net, (image,), **options)


@pytest.mark.slow
@pytest.mark.parametrize("case", DYNAMIC, ids=lambda case: case.name)
@torch.no_grad()
def test_one_onnx_model_serves_all_sizes_and_batches(case: Case) -> None:
    net = network(case._replace(widths=case.widths[:3]), dims=2)  # each level is more to trace
    program = dynamic_program(net, images(dims=2))
    odd, even = torch.rand(3, 3, *ODD_SIZES[2][-1]), torch.rand(1, 3, 96, 64)
    torch.testing.assert_close(program.module()(odd), net(odd))
    # The program asserts that an image wants padding if the example did; the model does not.
    for image, logits in zip((odd, even), onnx_logits(program, odd, even), strict=True):
        torch.testing.assert_close(logits, net(image), rtol=0, atol=1e-4)


@torch.no_grad()
def test_lg_nets_program_serves_one_size_alone_for_its_blocks_are_those_of_the_example() -> None:
    net = LGNet(2, 3, 3, FIVE, key_pooling=(0, 0, 0, 1)).eval()
    with pytest.raises(UserError):
        dynamic_program(net, torch.rand(2, 3, 17, 19))


@pytest.mark.parametrize("case", [case for case in CASES if case.dims == (2,)], ids=lambda case: case.name)
def test_a_network_of_two_dimensions_says_so_in_one_line(case: Case) -> None:
    with pytest.raises(ValueError, match=r"^\w+ is defined in 2D only: expected spatial_dims 2, got 3$"):
        network(case, dims=3)


@pytest.mark.parametrize("case", PAPERS_OWN, ids=lambda case: case.name)
def test_bad_dimensions_and_widths_are_one_line(case: Case) -> None:
    with pytest.raises(ValueError, match=r"expected (spatial_dims )?2"):
        network(case, dims=4)
    with pytest.raises(ValueError, match="widths: expected"):
        case.network(2, 1, 1, (8,))


@pytest.mark.parametrize("widths", [(4, 8), (4, 4, 8, 8, 12, 16)])
@pytest.mark.parametrize("dims", [2, 3])
@torch.no_grad()
def test_the_papers_networks_are_as_deep_as_their_widths(dims: int, widths: tuple[int, ...]) -> None:
    size = (21, 38) if dims == 2 else (9, 18, 5)
    for net in (SelfAttentionUNet, LGNet, RAUNet, EASUNet, InceptionResUNet, UNet):
        logits = net(dims, 5, 2, widths).eval()(torch.rand(1, 5, *size))
        assert logits.shape == (1, 2, *size)
