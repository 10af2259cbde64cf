"""Networks with their batch normalisation folded away, against themselves."""

import copy

import pytest
import torch
from monai.networks.blocks import Convolution
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sliceweave.networks import EASUNet, InceptionResUNet, LGNet, SelfAttentionUNet, UNet
from sliceweave.pipelines.folding import fold_batch_norms

NETWORKS = {
    "hematoma": lambda dims: SelfAttentionUNet(dims, 3, 1, (4, 8, 8, 8)),
    "lung": lambda dims: LGNet(dims, 3, 1, (4, 4, 8, 8, 8), key_pooling=[0, 2, 1, 1]),
    "knee": lambda dims: EASUNet(dims, 3, 3, (4, 8, 8, 8, 8)),
    "echo": lambda dims: InceptionResUNet(dims, 3, 1, (4, 8, 8, 8, 8), attention_levels=[3]),
    "U-Net": lambda dims: UNet(dims, 3, 1, (4, 8, 8)),
}
STAY = {"hematoma": 0, "lung": None, "knee": None, "echo": None, "U-Net": 0}


def with_statistics(network: nn.Module) -> nn.Module:
    """In evaluation mode, its normalisations shifting and scaling by chance."""
    torch.manual_seed(5)
    for norm in network.modules():
        if isinstance(norm, _BatchNorm):
            for values, low in (
                (norm.running_mean, -0.3),
                (norm.running_var, 0.5),
                (norm.weight, 0.5),
                (norm.bias, -0.3),
            ):
                values.data.uniform_(low, low + 1)
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, _BatchNorm) for module in network.modules())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_a_folded_network_gives_the_same_logits(name: str, dims: int) -> None:
    network = with_statistics(NETWORKS[name](dims))
    folded = copy.deepcopy(network)
    count = fold_batch_norms(folded)
    image = torch.rand(1, 3, *(32, 48, 32)[:dims])
    before, after = network(image), folded(image)
    assert norms(network) - norms(folded) == count > 5
    torch.testing.assert_close(after, before, rtol=0, atol=2e-5 * float(before.abs().max()))
    assert STAY[name] is None or norms(folded) == STAY[name]


@torch.no_grad()
def test_a_normalisation_before_its_convolution_stays() -> None:
    network = with_statistics(nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1)))
    assert fold_batch_norms(network) == 0
    assert norms(network) == 1


@pytest.mark.parametrize("transposed", [False, True])
@torch.no_grad()
def test_a_chain_within_a_chain_is_one_chain(transposed: bool) -> None:
    block = Convolution(2, 3, 5, strides=2, norm="BATCH", act="PRELU", adn_ordering="NA", is_transposed=transposed)
    network = with_statistics(nn.Sequential(nn.Identity(), block))
    image = torch.rand(1, 3, 9, 7)
    before = network(image)
    assert fold_batch_norms(network) == 1
    torch.testing.assert_close(network(image), before)


def test_in_training_mode_nothing_can_be_folded() -> None:
    with pytest.raises(ValueError, match="evaluation mode only"):
        fold_batch_norms(UNet(2, 1, 1, (4, 8)))
