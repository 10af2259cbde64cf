"""Batch normalisation's statistics as the training batches and the weights of the moment have them."""

import pytest
import torch
from ignite.engine import Engine

from sliceweave.networks import SelfAttentionUNet
from sliceweave.pipelines.batch_norm import FreshStatistics
from sliceweave.pipelines.errors import InputError

BATCHES = [{"image": torch.tensor([[[[1.0]]], [[[3.0]]]])}, {"image": torch.tensor([[[[5.0]]], [[[11.0]]]])}]


def network_after_an_epoch(count: int) -> torch.nn.BatchNorm2d:
    """A normalisation whose statistics were far off, trained for an epoch that does nothing."""
    norm = torch.nn.BatchNorm2d(1)
    norm.running_mean.fill_(100)  # type: ignore[union-attr]
    engine = Engine(lambda *_: None)
    FreshStatistics(norm, BATCHES, count, "cpu").attach(engine)
    engine.run(BATCHES, max_epochs=1)
    return norm


@pytest.mark.parametrize(
    ("count", "mean", "variance"),
    [
        pytest.param(1, 2, 2, id="the first batch: the mean of 1 and 3 and their unbiased variance"),
        pytest.param(2, 5, 10, id="two batches: the means of 2 and 8 and of 2 and 18"),
        pytest.param(9, 5, 10, id="more batches than there are"),
    ],
)
def test_the_statistics_are_those_of_the_batches_alone(count: int, mean: float, variance: float) -> None:
    norm = network_after_an_epoch(count)
    assert float(norm.running_mean) == pytest.approx(mean)  # type: ignore[arg-type]
    assert float(norm.running_var) == pytest.approx(variance)  # type: ignore[arg-type]
    assert norm.training
    assert norm.momentum == 0.1


def test_a_count_of_zero_leaves_them_as_training_does() -> None:
    assert float(network_after_an_epoch(0).running_mean) == 100  # type: ignore[arg-type]


def test_a_network_without_batch_normalisation_is_left_alone() -> None:
    norm = torch.nn.GroupNorm(1, 1)
    FreshStatistics(norm, BATCHES, 2, "cpu").refresh()
    assert norm.state_dict().keys() == {"weight", "bias"}


def test_a_norm_that_holds_its_statistics_in_training_keeps_them() -> None:
    network = SelfAttentionUNet(2, 1, 1, (4, 8), steady_end=True)
    *_, last = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    last.running_mean.fill_(5)  # type: ignore[union-attr]
    FreshStatistics(network, [{"image": torch.rand(2, 1, 16, 16)}], 1, "cpu").refresh()
    assert float(last.running_mean) == 5  # type: ignore[arg-type]
    assert not last.training
    assert network.training


@pytest.mark.parametrize("count", [-1, 1.5, True, "forty"])
def test_another_count_is_refused(count: object) -> None:
    with pytest.raises(InputError, match="--statistics_batches is a whole number from 0, got"):
        FreshStatistics(torch.nn.BatchNorm2d(1), BATCHES, count, "cpu")  # type: ignore[arg-type]
