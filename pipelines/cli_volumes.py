"""Commands around masks that are already there: what they measure, and the kinds of lesion they hold."""

from pathlib import Path
from typing import Annotated

import typer

from sliceweave.pipelines.cli_parts import ending_on_ctrl_c


def volumes(
    masks: Annotated[
        str,
        typer.Argument(help="Folder, glob, file, or CSV study_id,mask[,image] of masks: NIfTI, NRRD or MetaImage."),
    ],
    out: Annotated[Path, typer.Option(help="Gets volumes.csv, lesions.csv, slices.csv, and pictures.")],
    images: Annotated[
        str, typer.Option(help="Folder, glob or CSV of the images: fills image_sha256, draws pictures.")
    ] = "",
    reference: Annotated[
        str, typer.Option(help="Reference masks, or a CSV study_id,volume_ml[,reader][,label]; readers are averaged.")
    ] = "",
    labels: Annotated[str, typer.Option(metavar="VALUE=NAME,…", help="What the masks' values are called.")] = "",
    task: Annotated[
        str, typer.Option(help="A bundle whose names, slice direction and checks (with --images: side, flags) apply.")
    ] = "",
    pictures: Annotated[bool, typer.Option(help="Draw each study that has an image.")] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the rows of masks that have not changed.")] = False,
) -> None:
    """Measure masks, whoever drew them: millilitres of each label, lesions, slices, in the tables of an inference run.

    A study is called as its file, less _mask, _label, _seg and the like; images
    and reference masks are found by that. Values without a name are label_<value>.
    <id>.geometry.json beside mask or image tells where uneven slices truly lie.

    A study that cannot be measured is a row with its reason; the others go on, and
    the exit status is 1 then.
    """
    from sliceweave.pipelines.mask_measuring import MaskOptions, parse_labels
    from sliceweave.pipelines.mask_sources import find_masks, with_images
    from sliceweave.pipelines.mask_volumes import run_volumes
    from sliceweave.pipelines.reference_volumes import References, read_references
    from sliceweave.pipelines.report import Report

    options = MaskOptions(
        task=task,
        names=parse_labels(labels),
        references=read_references(reference) if reference else References(),
        needs_images=bool(images),
        pictures=pictures,
    )
    options.label_names([])  # an unknown task is told before anything is read
    studies = find_masks(masks)
    report = Report(out, resume)
    with ending_on_ctrl_c(f"the rows in {out} are whole; the same command with --resume goes on"):
        run_volumes(with_images(studies, images) if images else studies, report, options)
    failed = report.failed()
    typer.echo(f"{report.studies()} studies in {out / 'volumes.csv'}, {len(failed)} failed")
    raise typer.Exit(1 if failed else 0)


def strata(
    truth: Annotated[str, typer.Argument(help="True masks: folder, glob, file, or CSV study_id,mask[,image].")],
    out: Annotated[Path, typer.Option(help="Gets strata.csv, table_1.csv and so on, and tables.md.")],
    images: Annotated[
        str, typer.Option(help="Their head CT: folder, glob or CSV. Without it nobody knows what is near the skull.")
    ] = "",
    cases: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE,…", help="cases.csv of each model to compare; may be given several times."),
    ] = None,
    label: Annotated[str, typer.Option(help="Whose scores, where cases.csv holds several labels.")] = "",
) -> None:
    """Sort haematomas into strata, and compare models in each: Tables 1 to 6 of the haematoma paper.

    \b
    irregular     roundness below 0.75 or solidity below 0.80
    near skull    less than 5 mm from the inner table of the skull
    size          under 5 ml, 5 to 30 ml, over 30 ml

    Tables 1 and 2 are over all studies, 3 and 4 irregular ones, 5 and 6 those near
    the skull, 7 to 12 the sizes. Each compares the models on the same studies.

    A study that cannot be used is a row of strata.csv with its reason; the others
    go on, and the exit status is 1 then.
    """
    from sliceweave.pipelines.mask_sources import find_masks, with_images
    from sliceweave.pipelines.strata_report import parse_cases, write_strata, write_tables
    from sliceweave.pipelines.strata_tables import markdown, strata_tables, with_models
    from sliceweave.pipelines.tables import read_table

    scores = {model: read_table(path) for model, path in parse_cases(cases or []).items()}
    compared = with_models(scores, label) if scores else None
    studies = find_masks(truth)
    rows = write_strata(with_images(studies, images) if images else studies, out)
    usable = rows[rows["status"] == "ok"]
    if compared is not None:
        tables = strata_tables(compared, usable)
        write_tables(tables, out)
        typer.echo(markdown(tables))
    typer.echo(f"{len(usable)} studies in {out / 'strata.csv'}, {len(rows) - len(usable)} failed")
    raise typer.Exit(1 if len(usable) < len(rows) else 0)
