"""The command that compares networks."""

from pathlib import Path
from typing import Annotated

import typer

from sliceweave.pipelines.cli_parts import Task, ending_on_ctrl_c, goes_on


def compare(
    task: Task,
    networks: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            help="Rows of the paper's tables (UNet,SelfAttentionUNet), full names (lung_infection/lg_net), ablations "
            "by parts (LGNet[MLR+LGA]), or all.",
        ),
    ],
    data: Annotated[
        str, typer.Option(help="What prepare made, whose patients are split; or images/ and labels/, or a CSV.")
    ],
    out: Annotated[Path, typer.Option(help="Gets table.md, table.csv, cases.csv, and runs/ with all else.")],
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of every training; otherwise the recipe's.", show_default=False)
    ] = None,
    seeds: Annotated[str, typer.Option(help="How many, counted from 0; or which, such as 3,7 (7, for one).")] = "1",
    compact: Annotated[
        bool, typer.Option("--compact", help="The recipe of the shipped weights: small, short.")
    ] = False,
    override: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A value of the bundle's configuration; may be repeated."),
    ] = None,
    width_share: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=16,
            help="By what every network's own widths are multiplied; otherwise 1, or with --compact what that does to "
            "the bundle's own network.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Shares training:validation:test of studies not prepared; 8:1:1.", show_default=False),
    ] = None,
) -> None:
    """Train and score networks of the papers under the same conditions, and print the paper's tables with them.

    Same studies, preprocessing, loss, optimiser, schedule and seeds: those of the task's bundle, by its own workflow.
    The printed numbers stand beside ours; they are of the paper's data.

    A rerun goes on where the last one ended, also after a kill, does nothing twice, and may add networks and seeds;
    with any other setting it is refused. A network that fails is told with its reason, and the exit status is 1 then;
    the others go on.

    \b
    sliceweave compare hematoma --networks UNet,SelfAttentionUNet --data DATA --out DIR --compact --seeds 3
    sliceweave compare lung_infection --networks LGNet,LGNet[MLR+LGA],unet --data DATA --out DIR
    """
    from sliceweave.pipelines import comparison
    from sliceweave.pipelines.bundles import bundle_root
    from sliceweave.pipelines.comparison_conditions import Conditions, parse_overrides, parse_seeds
    from sliceweave.pipelines.comparison_split import split_studies
    from sliceweave.pipelines.comparison_table import write_tables
    from sliceweave.pipelines.contenders import contenders

    bundle_root(task)
    wanted = comparison.Comparison(
        conditions=Conditions(task, compact, parse_overrides(override or []), epochs, width_share),
        contenders=contenders(task, networks),
        seeds=parse_seeds(seeds),
        data=str(Path(data).absolute()),
        split=split_studies(data, split),
        out=out,
    )
    with ending_on_ctrl_c(goes_on(out)):
        outcomes = comparison.compare(wanted)
    typer.echo(write_tables(wanted, outcomes))
    raise typer.Exit(1 if any(outcome.failed for outcome in outcomes) else 0)
