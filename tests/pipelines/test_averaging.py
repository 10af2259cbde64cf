"""The running average of weights: what is validated and kept, and how it is resumed."""

import pytest
import torch
from ignite.engine import Engine

from sliceweave.pipelines.averaging import WeightAverage
from sliceweave.pipelines.errors import InputError


def trained(average: WeightAverage, network: torch.nn.Linear, steps: int) -> None:
    """Adds 1 to the network's weight in each step."""

    def step(_engine: Engine, _batch: object) -> None:
        with torch.no_grad():
            network.weight += 1

    engine = Engine(step)
    average.attach(engine)
    engine.run([0] * steps)


def line(weight: float) -> torch.nn.Linear:
    network = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, weight)
    return network


def test_without_a_share_the_network_itself_is_kept() -> None:
    network = line(0)
    average = WeightAverage(network)
    trained(average, network, 3)
    assert average.network is network
    assert average.state_dict() == {}


def test_the_average_follows_the_weights_by_its_share() -> None:
    network = line(0)
    average = WeightAverage(network, 0.1)
    trained(average, network, 300)
    # behind weights that rise by 1 a step, an average with a share of 0.1 is 9 late
    assert float(average.network.weight) == pytest.approx(300 - 9, abs=0.1)
    assert float(network.weight) == 300


def test_what_the_weights_were_at_the_start_soon_has_no_share() -> None:
    network = line(-1000)
    average = WeightAverage(network, 0.001)
    trained(average, network, 50)
    assert float(average.network.weight) == pytest.approx(-950, abs=6)


def test_a_resumed_average_goes_on_where_it_was() -> None:
    network = line(0)
    average = WeightAverage(network, 0.5)
    trained(average, network, 2)
    other = WeightAverage(line(9), 0.5)
    other.load_state_dict(average.state_dict())
    assert torch.equal(other.network.weight, average.network.weight)


@pytest.mark.parametrize("share", [-0.1, 1.5, "much", True])
def test_a_share_is_from_0_to_1(share: object) -> None:
    with pytest.raises(InputError, match="--ema_share"):
        WeightAverage(line(0), share)  # type: ignore[arg-type]
