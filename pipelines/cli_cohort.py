"""The command that runs a bundle on a cohort."""

import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from sliceweave.pipelines.cli_parts import Task
from sliceweave.pipelines.errors import InputError


def cohort(
    task: Task,
    source: Annotated[str, typer.Argument(help="Folder, file, 'glob' or CSV (study_id,image[,label]).")],
    out: Annotated[Path, typer.Argument(help="Folder of the results; what is finished there is not done again.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- BUNDLE OPTIONS]", help="As for the bundle: -- --bf16 False --pictures False."),
    ] = None,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Processes of this machine, or Ray.")] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Studies done at once. Left out: one a GPU, else one a core with 4 GB.", show_default=False
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds a study may take; inf: no limit.")] = 3600,
    bundle_root: Annotated[
        Path | None,
        typer.Option("--bundle_root", metavar="FOLDER", help="A bundle of yours for TASK instead of the shipped one."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Of a Ray cluster, such as auto. Left out: a Ray of its own on this machine.")
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            "--gpus_per_worker", min=0, help="Ray only; 0.5 puts two workers on a GPU. Left out: 1 where there are."
        ),
    ] = None,
) -> None:
    """Run a bundle's inference on a cohort with several workers, each with the model loaded once.

    \b
    sliceweave cohort hematoma studies.csv results
    sliceweave cohort hematoma scans/ results --workers 4 -- --checkpoint model.pt --bf16 False
    sliceweave cohort hematoma scans/ results --engine ray --address auto --gpus_per_worker 0.25

    The results are those of `python -m monai.bundle run` with the same options.
    The same command again goes on where it stopped: a study is done again only
    where its result is missing, failed, or of another model, settings or image.

    A worker that dies costs a second try of the study it held; one that hangs
    longer than --timeout, a row that says so. Ctrl-C stops at once; what is
    finished stands in the tables.
    """
    from sliceweave.pipelines.cohort import crew_of_machine, local_engine, run_cohort
    from sliceweave.pipelines.cohort_recipe import recipe_of

    recipe = recipe_of(task, bundle_root, source, out, options or [])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what schedulers send first
    if engine == "local":
        if address is not None or gpus_per_worker is not None:
            raise InputError("--address and --gpus_per_worker are Ray's: add --engine ray")
        run_cohort(recipe, local_engine(crew_of_machine(workers, timeout, "device" in recipe.options)))
        return
    from sliceweave.pipelines.cohort_ray import Cluster, ray_engine

    run_cohort(recipe, ray_engine(Cluster(address, workers, gpus_per_worker, timeout)))
