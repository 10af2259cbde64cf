"""What a training wrote for TensorBoard: its loss of each step and the Dice of each validation, put in epochs."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sliceweave.pipelines.errors import InputError

LOSS, DICE = "train_loss", "val_mean_dice"


class Event(NamedTuple):
    """One value of a log: its tag, the step (of training for the loss, the epoch for Dice) and when it was written."""

    seconds: float
    tag: str
    step: int
    value: float


@dataclass(frozen=True, eq=False)
class TrainingLog:
    """The course of a training, both by epoch.

    Attributes:
        loss: mean over the steps of each whole epoch.
        dice: mean over the studies of each validation.
    """

    loss: "pd.Series[float]"
    dice: "pd.Series[float]"


def read_training(directory: Path) -> TrainingLog:
    """The log in a training's output folder, over all its restarts.

    Where a training was stopped and resumed, or begun anew in the same folder, what it did twice counts as it was
    done last.

    Raises:
        InputError: no folder, no log in it, or no validation in the log yet, without which no epochs are known.
    """
    events = without_undone(_events(directory))
    dice = {event.step: event.value for event in events if event.tag == DICE}
    loss = {event.step: event.value for event in events if event.tag == LOSS}
    if not dice or not loss:
        raise InputError(
            f"{directory}: expected {LOSS} and {DICE} in the log, found {', '.join(_tags(events)) or 'nothing'}; "
            "let the training go on to its first validation"
        )
    return TrainingLog(_by_epoch(loss, steps_in_epoch(events)), pd.Series(dice, dtype=float).sort_index())


def without_undone(events: Sequence[Event]) -> list[Event]:
    """The events in the order of writing, less those after which the training went back to an earlier step."""
    kept: list[Event] = []
    for event in sorted(events):
        if event.tag == LOSS and _last_step(kept) >= event.step:
            del kept[next(at for at, other in enumerate(kept) if other.tag == LOSS and other.step >= event.step) :]
        kept.append(event)
    return kept


def steps_in_epoch(events: Sequence[Event]) -> int:
    """Steps of an epoch, from a validation: it follows the last step of its epoch."""
    at, validation = next((at, event) for at, event in enumerate(events) if event.tag == DICE)
    return max(1, round(_last_step(events[:at]) / validation.step))


def _last_step(events: Sequence[Event]) -> int:
    return next((event.step for event in reversed(events) if event.tag == LOSS), 0)


def _by_epoch(loss: dict[int, float], steps: int) -> "pd.Series[float]":
    """Means over whole epochs; the last, if it was broken off, is left out."""
    values = pd.Series(loss, dtype=float)
    epochs = pd.Series(np.ceil(values.index / steps).astype(int), values.index)
    whole = values.groupby(epochs).count() >= steps
    return values.groupby(epochs).mean()[whole]


def _events(directory: Path) -> list[Event]:
    if not any(directory.glob("events.out.tfevents.*")):
        raise InputError(
            f"{directory}: expected the output folder of a training with its log (events.out.tfevents.…), found none"
        )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    log = EventAccumulator(str(directory), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    log.Reload()
    tags = log.Tags()["scalars"]
    return [Event(event.wall_time, tag, event.step, event.value) for tag in tags for event in log.Scalars(tag)]


def _tags(events: Sequence[Event]) -> list[str]:
    return sorted({event.tag for event in events})
