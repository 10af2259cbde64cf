"""Training curves: loss and validation Dice over the epochs, several trainings in one figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sliceweave.pipelines.atomic import make_folder
from sliceweave.pipelines.figure_style import (
    COLUMN_MM,
    add_legend,
    add_note,
    figure_style,
    new_figure,
    series_look,
    write_figure,
)
from sliceweave.pipelines.training_logs import TrainingLog, read_training

_HEIGHT_MM = 95.0
_MOST_MARKED = 30  # epochs
_NOTE = "training loss: mean over the steps of an epoch; Dice: mean over the validation studies"


def curves_of(trainings: Mapping[str, Path], directory: Path) -> list[Path]:
    """Writes `training_curves` of trainings by name, each an output folder, as SVG and PNG; the paths.

    Raises:
        InputError: a folder without a training's log, or a figure that cannot be written.
    """
    logs = {name: read_training(folder) for name, folder in trainings.items()}
    make_folder(directory, "choose another folder with --out")
    with figure_style():
        return write_figure(training_curves(logs), directory, "training_curves")


def training_curves(logs: Mapping[str, TrainingLog]) -> Figure:
    """Loss above, Dice below, over the same epochs."""
    figure = new_figure(COLUMN_MM, _HEIGHT_MM)
    above, below = figure.subplots(2, 1, sharex=True)
    looks = [_look(number, log) for number, log in enumerate(logs.values())]
    lines = []
    for at, (log, look) in enumerate(zip(logs.values(), looks, strict=True)):
        above.plot(log.loss.index, log.loss, gid=f"loss-{at}", **look)
        lines += below.plot(log.dice.index, log.dice, gid=f"dice-{at}", **look)
    above.set_ylabel("training loss")
    below.set(ylabel="validation Dice", xlabel="epoch")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(figure, list(zip(logs, lines, strict=True)), COLUMN_MM)
    add_note(figure, [_NOTE], COLUMN_MM)
    return figure


def _look(number: int, log: TrainingLog) -> dict[str, Any]:
    look = series_look(number)
    return look if len(log.loss) <= _MOST_MARKED else {**look, "marker": ""}
