"""A network of twice the channels begins as the smaller one is, and its channels do not stay alike."""

from pathlib import Path

import pytest
import torch

from sliceweave.networks import SelfAttentionUNet
from sliceweave.pipelines.checkpoints import declare, for_training, load_weights, save_atomically
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.wider_weights import for_twice_the_widths


def trained(widths: list[int], parts: tuple[str, ...] = ("SA", "CA", "SPA")) -> SelfAttentionUNet:
    """Weights and running statistics as no beginning has them."""
    torch.manual_seed(5)
    network = SelfAttentionUNet(2, 3, 1, widths, parts)
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(2, 3, 32, 48))
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network.eval()


IMAGE = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("widths", [[16, 32], [24, 48], [6, 12]])
def test_twice_the_channels_say_the_same(widths: list[int]) -> None:
    small, large = trained(widths, ("CA", "SPA")), SelfAttentionUNet(2, 3, 1, [2 * n for n in widths], ("CA", "SPA"))
    large.load_state_dict(for_twice_the_widths(small.state_dict(), large))
    torch.testing.assert_close(large.eval()(IMAGE), small(IMAGE), rtol=1e-3, atol=1e-4)


def test_with_self_attention_they_say_nearly_the_same() -> None:
    small, large = trained([16, 192]), SelfAttentionUNet(2, 3, 1, [32, 384])
    large.load_state_dict(for_twice_the_widths(small.state_dict(), large))
    both = torch.stack([large.eval()(IMAGE).flatten(), small(IMAGE).flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.98


def test_a_channel_s_two_do_not_stay_alike() -> None:
    small, large = trained([16, 32]), SelfAttentionUNet(2, 3, 1, [32, 64])
    large.load_state_dict(for_twice_the_widths(small.state_dict(), large))
    first = next(weights for weights in large.parameters() if weights.dim() == 4)
    torch.testing.assert_close(first[0::2], first[1::2])
    optimizer = torch.optim.SGD(large.parameters(), 0.1)
    large.train()(IMAGE).square().mean().backward()
    optimizer.step()
    assert (first[0::2] - first[1::2]).abs().max() > 1e-5


def test_training_begins_with_weights_of_half_the_widths_and_inference_does_not(tmp_path: Path) -> None:
    settings = {"spatial_dims": 2, "slab": 3, "widths": [16, 32], "plane_size": [32, 48]}
    small, path, wider = trained([16, 32], ("CA", "SPA")), tmp_path / "model.pt", settings | {"widths": [32, 64]}
    save_atomically(declare(small.state_dict(), settings), path)
    large = for_training(SelfAttentionUNet(2, 3, 1, [32, 64], ("CA", "SPA")), "cpu", str(path), wider)
    torch.testing.assert_close(large.eval()(IMAGE), small(IMAGE), rtol=1e-3, atol=1e-4)
    with pytest.raises(InputError, match="not the weights of this SelfAttentionUNet"):
        load_weights(SelfAttentionUNet(2, 3, 1, [32, 64], ("CA", "SPA")), str(path), settings=wider)
