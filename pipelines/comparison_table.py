"""The papers' tables with our networks in them: ours beside the printed, in markdown and as CSV."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.columns import CASE_COLUMNS
from sliceweave.pipelines.comparison import Comparison, Outcome
from sliceweave.pipelines.printed_tables import PAPERS, Metric, PrintedTable, tables_of
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.tables import Table, read_table

COLUMNS = (
    "table",
    "title",
    "row",
    "network",
    "parameters",
    "paper_parameters",
    "label",
    "metric",
    "unit",
    "ours_mean",
    "ours_sd",
    "seeds",
    "paper",
    "failed",
)
COMPARED_CASE_COLUMNS = ("network", "seed", *CASE_COLUMNS)
_NONE = "–"

Values = Mapping[tuple[str, str], Sequence[float]]


@dataclass(frozen=True)
class Entrant:
    """A network in a table.

    Args:
        values: ours of each finished seed, by label and metric as in `summary.csv`.
    """

    outcome: Outcome
    values: Values

    def row(self, table: PrintedTable) -> str:
        """The label of its row in a table; empty where it has none."""
        rows = self.outcome.contender.rows
        return next((row for row, tables in rows.items() if table.number in tables), "")

    def ours(self, metric: Metric) -> list[float]:
        """The values of each seed in the unit of the paper."""
        return [value * metric.scale for value in self.values.get((metric.label, metric.name), ())]


def entrant(outcome: Outcome) -> Entrant:
    """The network with the scores of its finished runs. Raises InputError where a table of theirs cannot be read."""
    values: dict[tuple[str, str], list[float]] = {}
    for run in outcome.finished.values():
        for row in read_table(run.scores / "summary.csv").dropna(subset=["mean"]).itertuples():
            values.setdefault((str(row.label), str(row.metric)), []).append(float(row.mean))
    return Entrant(outcome, values)


def write_tables(comparison: Comparison, outcomes: Sequence[Outcome]) -> str:
    """Writes `table.md`, `table.csv` and `cases.csv` into the comparison's folder; the text of the first.

    Raises:
        InputError: a table of scores cannot be read, or one of these not written.
    """
    entrants = [entrant(outcome) for outcome in outcomes]
    tables = chosen_tables(comparison.conditions.task, entrants)
    text = as_markdown(comparison, tables, entrants)
    write_atomically(comparison.out / "table.md", printable(text).encode())
    _write_csv(comparison.out / "table.csv", COLUMNS, table_rows(tables, entrants))
    _write_csv(comparison.out / "cases.csv", COMPARED_CASE_COLUMNS, _case_rows(outcomes))
    return text


def chosen_tables(task: str, entrants: Sequence[Entrant]) -> list[PrintedTable]:
    """The paper's tables in which one of the networks stands; all where none stands in any."""
    tables = tables_of(task)
    return [table for table in tables if any(one.row(table) for one in _own(task, entrants))] or tables


def members(table: PrintedTable, entrants: Sequence[Entrant]) -> list[Entrant]:
    """Who stands in a table: its rows, and those that stand in no table of this paper."""
    strangers = [one for one in entrants if one not in _own(table.task, entrants)]
    return [one for one in entrants if one in strangers or one.row(table)]


def _own(task: str, entrants: Sequence[Entrant]) -> list[Entrant]:
    """Those that have a row in the task's paper."""
    contenders = [(one, one.outcome.contender) for one in entrants]
    return [one for one, contender in contenders if contender.rows and contender.entry.name.startswith(f"{task}/")]


def as_markdown(comparison: Comparison, tables: Sequence[PrintedTable], entrants: Sequence[Entrant]) -> str:
    """The tables, what the numbers come from, and why some are missing."""
    parts = [f"# {comparison.conditions.task}: networks compared", _origins(comparison)]
    parts += [_markdown_table(table, members(table, entrants), len(comparison.seeds)) for table in tables]
    failures = [
        f"- {one.outcome.contender.name}, seed {seed}, failed: {_escaped(reason)} "
        f"({comparison.run_of(one.outcome.contender, seed).log})"
        for one in entrants
        for seed, reason in one.outcome.failed.items()
    ]
    return "\n\n".join([*parts, *(["\n".join(failures)] if failures else [])]) + "\n"


def table_rows(tables: Sequence[PrintedTable], entrants: Sequence[Entrant]) -> list[Row]:
    """A row for each table, network and metric, with the values of `COLUMNS`."""
    return [
        {
            "table": table.number,
            "title": table.title,
            "row": one.row(table),
            "network": one.outcome.contender.name,
            "parameters": one.outcome.parameters,
            "paper_parameters": one.outcome.contender.entry.printed,
            "label": metric.label,
            "metric": metric.name,
            "unit": metric.unit,
            "ours_mean": fmean(ours) if (ours := one.ours(metric)) else None,
            "ours_sd": stdev(ours) if len(ours) > 1 else None,
            "seeds": len(ours),
            "paper": float(printed[metric]) if (printed := table.printed(one.row(table))) else None,
            "failed": "; ".join(one.outcome.failed.values()),
        }
        for table in tables
        for one in members(table, entrants)
        for metric in table.metrics
    ]


def _origins(comparison: Comparison) -> str:
    """What ours and theirs are numbers of."""
    conditions, split = comparison.conditions, comparison.split
    seeds = ", ".join(map(str, comparison.seeds))
    settings = ["compact.yaml"] if conditions.compact else []
    settings += [f"{name} = {value}" for name, value in (conditions.overrides or {}).items()]
    paper = PAPERS[conditions.task]
    sides = ", ".join(f"{len(split[side])} {verb}" for side, verb in _VERBS.items())
    return (
        f"- ours: {comparison.data}, {sum(map(len, split.values()))} studies ({sides}); "
        f"epochs {comparison.epochs}; seeds {seeds}; widths × {conditions.share:g}"
        + "".join(f"; {_escaped(setting)}" for setting in settings)
        + f"\n- paper: its own data ({paper.citation}: {paper.data}), which ours are not: "
        "compare ours with ours, theirs with theirs"
        "\n- ours: mean over the tested studies, then mean ± sd over the seeds"
    )


_VERBS = {"training": "to train", "validation": "to validate", "test": "to test"}


def _markdown_table(table: PrintedTable, entrants: Sequence[Entrant], seeds: int) -> str:
    metrics = [f"{m.heading} {whose}{f' {m.unit}' if m.unit else ''}" for m in table.metrics for whose in _WHOSE]
    header = ["row", "network", "parameters", "seeds", *metrics]
    lines = [header] + [_markdown_cells(table, one, seeds) for one in entrants]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    rule = ["-" * width if column < 2 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return f"## Table {table.number}: {table.title}\n\n" + "\n".join(
        _line(cells, widths) for cells in [header, rule, *lines[1:]]
    )


_WHOSE = ("ours", "paper")


def _markdown_cells(table: PrintedTable, one: Entrant, seeds: int) -> list[str]:
    printed = table.printed(one.row(table))
    outcome = one.outcome
    count = f"{outcome.parameters:,}" + (
        f" (paper {weight})" if (weight := outcome.contender.entry.printed) and printed else ""
    )
    done = len(outcome.finished)
    cells = [
        one.row(table) or _NONE,
        outcome.contender.name,
        count,
        f"{done}" if done == seeds else f"{done} of {seeds}",
    ]
    for metric in table.metrics:
        cells += [_mean_and_sd(one.ours(metric), table.decimals(metric)), printed.get(metric, _NONE)]
    return [_escaped(cell) for cell in cells]


def _mean_and_sd(values: Sequence[float], decimals: int) -> str:
    if not values:
        return "failed"
    spread = f" ± {stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{decimals}f}{spread}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(padded)} |"


def _escaped(text: str) -> str:
    """Text that stays within its cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _case_rows(outcomes: Sequence[Outcome]) -> Iterable[Row]:
    for outcome in outcomes:
        for seed, run in outcome.finished.items():
            for row in read_table(run.scores / "cases.csv").to_dict("records"):
                yield {"network": outcome.contender.name, "seed": seed, **{str(name): row[name] for name in row}}


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    table = Table(path, columns)
    table.put("", rows)
    table.save()
