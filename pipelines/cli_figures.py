"""Commands that draw: contours on slices, the figures of an evaluation, training curves."""

from pathlib import Path
from typing import Annotated

import typer

from sliceweave.pipelines.errors import InputError

Out = Annotated[Path, typer.Option(help="Gets the figures, each as SVG and PNG.")]


def contours(
    truth: Annotated[Path, typer.Argument(help="Folder of the true masks: <study>.nii.gz or <study>_mask.nii.gz.")],
    image: Annotated[Path, typer.Option("--image", "--images", help="Folder, glob, CSV or file of the images.")],
    models: Annotated[
        list[str], typer.Option(metavar="NAME=FOLDER", help="A model's masks, named as the true ones; repeat for more.")
    ],
    out: Out,
    studies: Annotated[str, typer.Option(metavar="ID,…", help="Which studies, in this order; otherwise all.")] = "",
    slices: Annotated[
        str, typer.Option(metavar="auto|INDEX,…", help="Indices from 0; auto is the slice of the largest true area.")
    ] = "auto",
    window: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="Shown as black and white; otherwise as the task is shown.")
    ] = "",
    task: Annotated[
        str, typer.Option(help="How such studies are looked at, such as hematoma; otherwise slices as stored.")
    ] = "",
    margin: Annotated[
        float | None, typer.Option(min=0, metavar="MM", help="Show only so much around the contours.")
    ] = None,
) -> None:
    """Draw the contours of truth and models on slices: a row per study, columns image, truth, each model.

    \b
    sliceweave contours data/labels --images data/images --task hematoma \\
        --models UNet=unet --models Ours=ours --studies pt7,pt9 --out figures

    Without --task and --window, grey runs from the 1st to the 99th percentile of a
    study. A study that cannot be drawn is named, the others go on, and the exit
    status is 1 then.
    """
    from sliceweave.pipelines.contour_rows import MaskFolders, PanelOptions, chosen_studies, masks_in
    from sliceweave.pipelines.contours import contours_of
    from sliceweave.pipelines.named_paths import named_paths
    from sliceweave.pipelines.options import intensity_window
    from sliceweave.pipelines.prepare_options import listed, slice_indices
    from sliceweave.pipelines.study_kind import study_kind

    kind = study_kind(task) if task else None
    options = PanelOptions(slice_indices(slices), intensity_window(window or None, "window"), margin, kind)
    folders = {name: masks_in(folder) for name, folder in named_paths(models, "--models").items()}
    masks = MaskFolders(masks_in(truth), folders)
    chosen = chosen_studies(image, masks.truth, listed(studies))
    done = contours_of(chosen, masks, out, options)
    if not done.paths:
        raise InputError(f"no study could be drawn; the first: {next(iter(done.failed.values()))}")
    typer.echo(_told(done.paths, out))
    raise typer.Exit(1 if done.failed else 0)


def figures(
    results: Annotated[
        list[str],
        typer.Argument(metavar="NAME=CASES.csv", help="A model's cases.csv or volumes.csv, or the folder of it."),
    ],
    out: Out,
    metrics: Annotated[
        str, typer.Option(metavar="COLUMN,…", help="Drawn as boxes; otherwise dice, iou, hd95_mm and assd_mm.")
    ] = "",
) -> None:
    """Draw what tables of cases say, several models beside each other.

    \b
    volumes         predicted and reference volume of each case
    volume_errors   predicted - reference volume of each case
    bland_altman    bias and 95 % limits of agreement
    agreement       predicted against reference, Pearson's r, Lin's concordance
    dice, …         boxes of a metric, class by class

    The volume figures need the columns volume_ml and reference_volume_ml. Values
    that are missing are left out and counted below the figure.
    """
    from sliceweave.pipelines.case_values import read_cases
    from sliceweave.pipelines.figures import DEFAULT_METRICS, check_metrics, figures_of
    from sliceweave.pipelines.named_paths import named_paths
    from sliceweave.pipelines.prepare_options import listed

    cases = read_cases(named_paths(results, "NAME=CASES.csv"))
    asked = listed(metrics)
    check_metrics(cases, asked)
    paths = figures_of(cases, out, asked or DEFAULT_METRICS)
    if not paths:
        columns = ", ".join(dict.fromkeys(str(column) for table in cases.values() for column in table))
        raise InputError(
            "nothing to draw: expected numbers under volume_ml and reference_volume_ml, or under "
            f"{', '.join(asked or DEFAULT_METRICS)}; the tables have {columns}"
        )
    typer.echo(_told(paths, out))


def curves(
    trainings: Annotated[
        list[str], typer.Argument(metavar="NAME=FOLDER", help="Output folder of a training, which holds its log.")
    ],
    out: Out,
) -> None:
    """Draw loss and validation Dice over the epochs, several trainings in one figure."""
    from sliceweave.pipelines.named_paths import named_paths
    from sliceweave.pipelines.training_curves import curves_of

    typer.echo(_told(curves_of(named_paths(trainings, "NAME=FOLDER"), out), out))


def _told(paths: list[Path], out: Path) -> str:
    stems = ", ".join(dict.fromkeys(path.stem for path in paths))
    return f"{len(paths)} files in {out}, SVG and PNG: {stems}"
