"""The command that compares masks with true ones."""

from pathlib import Path
from typing import Annotated

import typer

from sliceweave.pipelines.cli_parts import ending_on_ctrl_c

_SHOWN = ("dice", "abs_rvd", "hd95_mm", "assd_mm", "volume_error_ml", "lesion_sensitivity", "false_positive_lesions")


def evaluate(
    predictions: Annotated[
        str, typer.Argument(metavar="PRED", help="Masks: folder, glob, file, or CSV study_id,mask[,image].")
    ],
    truths: Annotated[str, typer.Argument(metavar="TRUTH", help="The true masks, the same ways.")],
    out: Annotated[Path, typer.Option(help="Gets cases.csv, summary.csv, conventions.txt, and failed.csv if need be.")],
    images: Annotated[
        str, typer.Option(help="Folder, glob or CSV of the images: the masks have to be on their grid.")
    ] = "",
    labels: Annotated[str, typer.Option(metavar="VALUE=NAME,…", help="What the masks' values are called.")] = "",
    task: Annotated[str, typer.Option(help="A bundle whose label names count instead: hematoma, liver_tumor, …")] = "",
    strata: Annotated[
        bool,
        typer.Option("--strata", help="Of haematomas: also strata.csv and tables by stratum, as `sliceweave strata`."),
    ] = False,
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write a calibration; PRED is a run's folder, --tta True."),
    ] = None,
    coverage: Annotated[float, typer.Option(help="Of --calibrate: share of new volumes intervals are to hold.")] = 0.9,
) -> None:
    """Compare masks with true ones, whoever drew them: overlap, surface distances, volumes, lesions, agreement.

    Masks are NIfTI, NRRD or MetaImage, paired by study: a study is called as
    its file, less _mask, _label, _seg and the like. Values without a name are
    label_<value>. <id>.geometry.json beside mask or image tells where uneven
    slices truly lie.

    \b
    cases.csv    per study and label: Dice, IoU, signed and absolute relative
                 volume difference, precision, recall, accuracy, mean IoU;
                 Hausdorff distance, its 95th percentile, mean surface
                 distance (mm); volumes and their difference (ml); lesions of
                 the truth, those detected, and false positives
    summary.csv  per label and metric: mean, SD, median, quartiles, extremes,
                 95 % bootstrap interval; RMSE, MAE, bias, limits of
                 agreement, Pearson r, Lin's concordance, ICC(2,1) of volumes

    A lesion is a 26-connected component, and detected if a voxel of it is
    predicted. Empty masks (conventions.txt has all conventions):

    \b
    truth and prediction empty  dice, iou, precision, recall and
                                lesion_sensitivity 1; rvd and distances 0
    only the prediction empty   the former 0, rvd -1,
                                distances the diagonal of the scan
    only the truth empty        the same, but rvd +1

    A study that cannot be scored, such as a truth without a prediction or two
    masks on different grids, is a row of failed.csv with its reason; the
    others go on, and the exit status is 1 then. A second run replaces the
    tables.
    """
    from sliceweave.pipelines.calibration import calibrated, volumes_of, with_references
    from sliceweave.pipelines.errors import InputError
    from sliceweave.pipelines.mask_evaluation import evaluate_masks, find_pairs
    from sliceweave.pipelines.mask_measuring import MaskOptions, parse_labels
    from sliceweave.pipelines.score_summary import readable
    from sliceweave.pipelines.score_tables import ScoreTables
    from sliceweave.pipelines.strata_report import compare_strata

    measured = volumes_of(predictions) if calibrate else None
    if measured is not None and not labels:
        task = task or str(measured["model"].iloc[0])
    options = MaskOptions(task=task, names=parse_labels(labels))
    options.label_names([])  # an unknown task is told before anything is read
    if strata and task not in ("", "hematoma"):
        raise InputError(
            f"--strata goes with haematomas, whose shape and distance to the skull it sorts by, not with {task}"
        )
    tables = ScoreTables(out, "--out")
    with ending_on_ctrl_c(f"cases.csv in {out} is whole, there is no summary; run again"):
        rows = evaluate_masks(find_pairs(predictions, truths, images), tables, options)
    if rows:
        typer.echo(f"mean ± sd of {len(tables.cases)} studies:\n{readable(rows, _SHOWN)}")
    if strata:
        typer.echo(compare_strata(Path(predictions).stem, truths, images, out))
    if calibrate and measured is not None:
        table = with_references(measured, tables.cases)
        typer.echo(calibrated(table, coverage, [truths], calibrate, f"--calibrate: {predictions}"))
    typer.echo(f"{len(tables.cases)} studies scored in {out}, {len(tables.failed)} failed")
    raise typer.Exit(1 if tables.failed else 0)
