"""What every network must do: one loop over all of them."""

import pickle

import pytest
import torch

from sliceweave.networks import SelfAttentionUNet
from sliceweave.networks.attention import ChannelAttention

SMALL = (4, 8, 12, 16)
ODD_SIZE = {2: (37, 50), 3: (20, 33, 9)}


def network(spatial_dims: int, in_channels: int = 3, **kwargs: object) -> torch.nn.Module:
    return SelfAttentionUNet(spatial_dims, in_channels, 2, widths=SMALL, **kwargs).eval()


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_logits_have_the_size_of_any_input(spatial_dims: int) -> None:
    image = torch.rand(2, 3, *ODD_SIZE[spatial_dims])
    assert network(spatial_dims)(image).shape == (2, 2, *ODD_SIZE[spatial_dims])


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (16, 16), (17, 15)])
def test_even_a_single_pixel_gets_a_logit(size: tuple[int, int]) -> None:
    logits = network(2)(torch.rand(1, 3, *size))
    assert logits.shape == (1, 2, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_gradients_reach_every_parameter(spatial_dims: int) -> None:
    net = network(spatial_dims).train()
    for module in net.modules():
        if isinstance(module, ChannelAttention):
            module.mlp[0].weight.data.abs_()  # in so narrow a network the hidden unit may be dead from the start
    net(torch.rand(2, 3, *ODD_SIZE[spatial_dims])).square().mean().backward()
    starved = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert starved == []


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_torchscript_gives_the_same_logits_at_another_size(spatial_dims: int) -> None:
    net = network(spatial_dims)
    scripted = torch.jit.script(net)
    image = torch.rand(1, 3, *(n + 3 for n in ODD_SIZE[spatial_dims]))
    torch.testing.assert_close(scripted(image), net(image))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_export_gives_the_same_logits(spatial_dims: int) -> None:
    net = network(spatial_dims)
    image = torch.rand(1, 3, *ODD_SIZE[spatial_dims])
    exported = torch.export.export(net, (image,)).module()
    torch.testing.assert_close(exported(image), net(image))


def test_a_pickled_network_is_the_same() -> None:
    net, image = network(2), torch.rand(1, 3, 20, 30)
    torch.testing.assert_close(pickle.loads(pickle.dumps(net))(image), net(image), rtol=0, atol=0)


def test_samples_of_a_batch_do_not_see_each_other_in_eval_mode() -> None:
    net, images = network(2), torch.rand(3, 3, 20, 30)
    alone = torch.cat([net(image[None]) for image in images])
    torch.testing.assert_close(net(images), alone, rtol=0, atol=1e-5)
