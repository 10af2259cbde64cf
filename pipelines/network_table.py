"""The catalogue as a table: where each network stands in the papers, what it weighs, and what one image costs it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from sliceweave.networks.catalogue import ENTRIES, TASKS, Entry, build
from sliceweave.pipelines.cells import Cell
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.tables import Table

COLUMNS = ("name", "paper", "table", "row", "parameters", "gflops", "input", "printed_parameters")
_HEADINGS = {
    "name": "name",
    "table": "table",
    "row": "row",
    "parameters": "parameters",
    "printed_parameters": "printed",
    "gflops": "GFLOPs",
    "input": "input",
}  # what a terminal shows; the paper stands before the slash of the name
_NUMBERS = ("parameters", "printed_parameters", "gflops")


def network_rows(task: str | None = None) -> list[Row]:
    """One row for each network of the catalogue, or of one task, with the values of `COLUMNS`.

    Raises:
        InputError: no such task.
    """
    if task is not None and task not in TASKS:
        raise InputError(f"no networks for a task '{task}': choose from {', '.join(TASKS)}")
    chosen = [entry for entry in ENTRIES if task in (None, paper(entry))]
    return [network_row(entry) for entry in tqdm(chosen, desc="networks", unit="network", disable=None)]


def network_row(entry: Entry) -> Row:
    """The row of one network, computed without memory for weights or maps."""
    with torch.device("meta"):
        network = build(entry.name)
    return {
        "name": entry.name,
        "paper": paper(entry),
        "table": ", ".join(_span(tables) for tables in entry.rows.values()),
        "row": ", ".join(entry.rows),
        "parameters": sum(p.numel() for p in network.parameters()),
        "gflops": operations(network, (entry.task.in_channels, *entry.size)) / 1e9,
        "input": "×".join(map(str, (entry.task.in_channels, *entry.size))),
        "printed_parameters": entry.printed,
    }


def paper(entry: Entry) -> str:
    """The task whose paper the network stands in; `comparator` for none."""
    return entry.name.split("/")[0]


def operations(network: nn.Module, shape: Sequence[int]) -> int:
    """Floating-point operations for the logits of one image `(C, *S)` of that shape, from a network on the meta device.

    A multiplication and an addition are two operations. Convolutions and matrix products are counted, among them those
    of attention; biases, normalisations, activations, pooling and upsampling by interpolation are not.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops()


def write_networks(path: Path, task: str | None = None) -> None:
    """The rows as a CSV table at the path, in one step.

    Raises:
        InputError: no such task, or the file cannot be written.
    """
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; create it")
    table = Table(path, COLUMNS)
    for row in network_rows(task):
        table.put(str(row["name"]), [row])
    table.save()


def as_text(rows: Sequence[Mapping[str, Cell]]) -> str:
    """The rows as lines for a terminal of 120 columns, numbers to the right, thousands separated."""
    lines = [list(_HEADINGS.values())] + [[_shown(row[column]) for column in _HEADINGS] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
        for column, cell, width in zip(_HEADINGS, cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _shown(value: Cell) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _span(tables: Sequence[int]) -> str:
    """Neighbouring tables as a range: 1–6."""
    return str(tables[0]) if len(tables) == 1 else f"{tables[0]}–{tables[-1]}"
