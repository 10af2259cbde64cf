from pathlib import Path

import numpy as np
import pytest
from drawn import Drawn
from torch.utils.tensorboard import SummaryWriter

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.training_curves import curves_of
from sliceweave.pipelines.training_logs import DICE, LOSS, Event, read_training, steps_in_epoch, without_undone

STEPS = 4


def loss_at(step: int) -> float:
    return 1 / step


def train(directory: Path, first: int, epochs: int, broken_off: int = 0, interval: int = 1, begun_s: float = 0) -> None:
    """Writes a log as a bundle's training does: two files, the loss by step, Dice by epoch."""
    with SummaryWriter(directory) as losses, SummaryWriter(directory, filename_suffix=".val") as scores:
        seconds = begun_s
        for step in range((first - 1) * STEPS + 1, epochs * STEPS + broken_off + 1):
            seconds += 1
            losses.add_scalar(LOSS, loss_at(step), step, walltime=seconds)
            epoch, rest = divmod(step, STEPS)
            if not rest and not epoch % interval:
                scores.add_scalar(DICE, epoch / 10, epoch, walltime=seconds)


def means(epochs: int) -> list[float]:
    return [float(np.mean([loss_at(step) for step in range(4 * epoch + 1, 4 * epoch + 5)])) for epoch in range(epochs)]


@pytest.mark.parametrize("interval", [1, 2, 3])
def test_loss_is_the_mean_of_each_epoch_and_dice_stands_at_its_validation(tmp_path: Path, interval: int) -> None:
    train(tmp_path, 1, 6, interval=interval)
    log = read_training(tmp_path)
    assert log.loss.tolist() == pytest.approx(means(6))
    assert log.loss.index.tolist() == [1, 2, 3, 4, 5, 6]
    assert log.dice.to_dict() == pytest.approx({epoch: epoch / 10 for epoch in range(interval, 7, interval)})


def test_a_broken_off_epoch_is_not_shown(tmp_path: Path) -> None:
    train(tmp_path, 1, 2, broken_off=3)
    assert read_training(tmp_path).loss.index.tolist() == [1, 2]


def test_a_resumed_training_counts_as_one(tmp_path: Path) -> None:
    train(tmp_path / "whole", 1, 5)
    train(tmp_path / "killed", 1, 3, broken_off=2)
    train(tmp_path / "killed", 4, 5, begun_s=100)
    whole, killed = (read_training(tmp_path / name) for name in ("whole", "killed"))
    assert killed.loss.to_dict() == whole.loss.to_dict()
    assert killed.dice.to_dict() == whole.dice.to_dict()


def test_a_training_begun_anew_replaces_the_longer_one_before(tmp_path: Path) -> None:
    train(tmp_path, 1, 6)
    train(tmp_path, 1, 2, begun_s=100)
    log = read_training(tmp_path)
    assert log.loss.index.tolist() == [1, 2]
    assert log.dice.index.tolist() == [1, 2]


def test_what_was_done_after_a_step_that_is_repeated_is_undone() -> None:
    events = [Event(1, LOSS, 1, 0), Event(2, LOSS, 2, 0), Event(3, DICE, 1, 0), Event(4, LOSS, 2, 9)]
    assert without_undone(events) == [events[0], events[3]]
    assert steps_in_epoch(events) == 2


def test_curves_of_several_trainings_stand_in_one_figure(tmp_path: Path) -> None:
    train(tmp_path / "a", 1, 4)
    train(tmp_path / "b", 1, 2)
    paths = curves_of({"U-Net": tmp_path / "a", "_b <&$": tmp_path / "b"}, tmp_path / "out")
    drawn = Drawn(paths[0])
    assert [path.name for path in paths] == ["training_curves.svg", "training_curves.png"]
    assert {"U-Net", "_b <&$", "training loss", "validation Dice", "epoch"} <= set(drawn.texts)
    assert np.allclose(drawn.values("loss-0", 1), means(4), atol=0.001)
    assert np.allclose(drawn.values("dice-1", 2), [0.1, 0.2], atol=0.001)
    assert np.allclose(drawn.values("dice-0", 2, "x"), [1, 2, 3, 4], atol=0.001)


def test_a_folder_without_a_trainings_log_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the output folder of a training"):
        read_training(tmp_path / "nowhere")
    train(tmp_path, 1, 0, broken_off=3)
    with pytest.raises(InputError, match="found train_loss; let the training go on to its first validation"):
        read_training(tmp_path)
