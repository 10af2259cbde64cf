from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from miniature_training import load, write_studies
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.transforms import Compose, RandFlipd, RandGaussianNoised
from torch import nn

from sliceweave.pipelines import sampling
from sliceweave.pipelines.checkpoints import TrainingState
from sliceweave.pipelines.cuts import Slabs
from sliceweave.pipelines.datasets import SampleDataset, datalist
from sliceweave.pipelines.sampling import Draw, SeededSampler


class Noting:
    """A data set that notes which epochs it was told of."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.epochs: list[int] = []

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)


def sampler_of(monkeypatch: pytest.MonkeyPatch, length: int, rank: int, processes: int, seed: int = 3) -> SeededSampler:
    monkeypatch.setattr(sampling, "rank", lambda: rank)
    monkeypatch.setattr(sampling, "world_size", lambda: processes)
    return SeededSampler(Noting(length), seed)


def test_one_process_sees_every_sample_once_in_an_order_of_its_epoch() -> None:
    sampler = SeededSampler(Noting(17), seed=3)
    orders = []
    for epoch in (1, 2, 1):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert all(sorted(order) == list(range(17)) for order in orders)
    assert orders[0] == orders[2] != orders[1]
    assert orders[0] != sorted(orders[0])


@pytest.mark.parametrize(("length", "processes", "batch"), [(24, 2, 3), (22, 2, 4), (21, 3, 2)])
def test_each_global_step_holds_what_one_process_sees_with_the_larger_batch(
    monkeypatch: pytest.MonkeyPatch, length: int, processes: int, batch: int
) -> None:
    def steps(rank: int, processes: int, batch: int) -> list[list[int]]:
        sampler = sampler_of(monkeypatch, length, rank, processes)
        sampler.set_epoch(5)
        order = list(sampler)
        return [order[at : at + batch] for at in range(0, len(order), batch)]

    alone = steps(0, 1, batch * processes)
    together = [steps(rank, processes, batch) for rank in range(processes)]
    assert [sorted(chain.from_iterable(step)) for step in zip(*together, strict=True)] == [
        sorted(step) for step in alone
    ]


def test_processes_have_equally_many_samples_also_where_they_do_not_divide(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [list(sampler_of(monkeypatch, 7, rank, 2)) for rank in range(2)]
    assert [len(order) for order in orders] == [4, 4]
    assert set(chain.from_iterable(orders)) == set(range(7))


def test_a_new_epoch_reaches_the_data_set_and_seeds_torch_by_process(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = {}
    for rank in range(2):
        sampler = sampler_of(monkeypatch, 5, rank, 2)
        for epoch in (1, 2, 1):
            sampler.set_epoch(epoch)
            draw = float(torch.rand(()))
            assert draws.setdefault((rank, epoch), draw) == draw
        assert sampler.samples.epochs == [1, 2, 1]
    assert len(set(draws.values())) == 4


def test_the_seed_is_taken_from_epoch_zero_on() -> None:
    assert Draw(seed=0).picks(10, 40, 0).tolist() != Draw(seed=0).picks(10, 40, 1).tolist()
    assert Draw(seed=1).picks(10, 40, 0).tolist() != Draw(seed=0).picks(10, 40, 1).tolist()


def dataset_in(folder: Path) -> SampleDataset:
    if not (folder / "images").is_dir():
        write_studies(folder)
    cases = datalist(str(folder), labelled=True)
    augmentation = Compose([RandFlipd(["image", "label"], prob=0.5), RandGaussianNoised("image", prob=0.5, std=50)])
    return SampleDataset(cases, load(), Slabs(3), Draw(0.5, seed=1), folder / "cache", augmentation)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.4), nn.Conv2d(4, 1, 1)
    )


def trainer_over(loader: Any, epochs: int, **options: Any) -> SupervisedTrainer:
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    trainer = SupervisedTrainer(
        torch.device("cpu"), epochs, loader, net, optimizer, nn.BCEWithLogitsLoss(), decollate=False, **options
    )
    trainer.optimizer = optimizer
    return trainer


@pytest.mark.parametrize("workers", [0, 2])
def test_monais_trainer_sets_each_epoch_before_it_draws_its_first_batch(tmp_path: Path, workers: int) -> None:
    dataset = dataset_in(tmp_path)
    loader = DataLoader(dataset, workers, batch_size=4, sampler=SeededSampler(dataset, seed=1))
    seen: dict[int, list[torch.Tensor]] = {}
    trainer = trainer_over(loader, 3)

    @trainer.on(Events.ITERATION_COMPLETED)
    def note(engine: SupervisedTrainer) -> None:
        seen.setdefault(engine.state.epoch, []).append(engine.state.batch["image"].clone())

    trainer.run()
    expected, sampler = dataset_in(tmp_path), SeededSampler(dataset_in(tmp_path), seed=1)
    for epoch in (1, 2, 3):
        sampler.set_epoch(epoch)
        expected.set_epoch(epoch)
        images = torch.stack([expected[index]["image"] for index in sampler])
        assert torch.equal(torch.cat(seen[epoch]), images)


def train(folder: Path, epochs: int, start_seed: int, workers: int = 0) -> dict[str, torch.Tensor]:
    """The network's state after training up to an epoch, going on from what is in the folder."""
    torch.manual_seed(start_seed)  # a new process starts from other weights
    dataset = dataset_in(folder.parent)
    loader = DataLoader(dataset, workers, batch_size=4, sampler=SeededSampler(dataset, seed=1))
    trainer = trainer_over(loader, epochs)
    validator = SupervisedEvaluator(torch.device("cpu"), [None], trainer.network, iteration_update=lambda *_: None)
    objects = {"network": trainer.network, "optimizer": trainer.optimizer}
    TrainingState(str(folder / "last.pt"), objects, validator, resume=True).attach(trainer)
    trainer.run()
    return trainer.network.state_dict()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_was_interrupted_ends_with_the_same_weights_to_the_bit(tmp_path: Path, workers: int) -> None:
    for name in ("whole", "parts", "other"):
        (tmp_path / name).mkdir()
    whole = train(tmp_path / "whole", 5, start_seed=0)
    train(tmp_path / "parts", 2, start_seed=0)
    train(tmp_path / "parts", 3, start_seed=8, workers=workers)
    parts = train(tmp_path / "parts", 5, start_seed=9)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    other = train(tmp_path / "other", 5, start_seed=1)
    assert not torch.equal(whole["0.weight"], other["0.weight"])


def test_a_resumed_training_in_mixed_precision_goes_on_with_its_gradient_scale(tmp_path: Path) -> None:
    scales = []
    for epochs, scale in ((1, 512.0), (2, 8.0)):
        trainer = trainer_over([{"image": torch.ones(1, 3, 4, 4), "label": torch.zeros(1, 1, 4, 4)}], epochs)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        trainer.add_event_handler(Events.STARTED, setattr, "scaler", scaler)  # as MONAI does on a GPU
        validator = SupervisedEvaluator(torch.device("cpu"), [None], trainer.network, iteration_update=lambda *_: None)
        TrainingState(str(tmp_path / "last.pt"), {"network": trainer.network}, validator, resume=True).attach(trainer)
        trainer.run()
        scales.append(scaler.get_scale())
    assert scales == [512.0, 512.0]
