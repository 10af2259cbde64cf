"""Commands that make data: generated studies, and data sets as distributed brought into one layout."""

from pathlib import Path
from typing import Annotated

import typer

from sliceweave.pipelines.cli_parts import Task, ending_on_ctrl_c, goes_on
from sliceweave.pipelines.errors import InputError


def phantom(
    task: Task,
    directory: Annotated[Path, typer.Argument(help="Gets images/, labels/, truth.csv and phantom.json.")],
    studies: Annotated[int, typer.Option(min=1, help="How many studies.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Study i of a seed is always the same.")] = 0,
    slices: Annotated[
        int | None, typer.Option(min=1, help="Slices (frames) of a study; thicker ones if fewer.", show_default=False)
    ] = None,
    tilt: Annotated[float, typer.Option(min=-45, max=45, help="Gantry tilt in degrees.")] = 0.0,
    oblique: Annotated[bool, typer.Option("--oblique", help="Slices oblique to the body.")] = False,
    uneven: Annotated[bool, typer.Option("--uneven", help="Slice gaps that change, with <id>.geometry.json.")] = False,
    even_kinds: Annotated[
        bool, typer.Option("--even_kinds", help="Rare kinds of lesions (bright liver tumours) as often as the others.")
    ] = False,
) -> None:
    """Generate labelled studies with known volumes; a rerun makes only what is missing.

    truth.csv has the volumes of the bodies themselves; a label, of whole voxels, measures a little more or less, and
    much less of what is thin beside the slices.
    Of studies with lesions a tenth is healthy; the first lesion of the others is never tiny, so they are easier than
    patients.
    """
    from dataclasses import replace

    from sliceweave.pipelines.phantom import write_phantoms
    from sliceweave.pipelines.phantom_tasks import phantom_task

    options = phantom_task(task).options
    options = options.with_slices(slices or options.slices)
    options = replace(options, tilt_deg=tilt, oblique=oblique, uneven=uneven, even_kinds=even_kinds)
    write_phantoms(task, directory, studies, seed, options)
    typer.echo(f"{studies} studies in {directory}/images, what is known of them in {directory}/truth.csv")


def prepare(
    task: Task,
    source: Annotated[
        Path, typer.Argument(help="Folder of a data set, one file, or a CSV study_id,image[,label][,patient][,split].")
    ],
    dest: Annotated[
        Path | None, typer.Argument(help="Gets images/, labels/, dataset.csv and datalist.json.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Read everything, write nothing, say what is wrong.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="Also DEST/pictures, one of every study.")] = False,
    split: Annotated[str, typer.Option(help="Shares of patients: training:validation:test.")] = "8:1:1",
    seed: Annotated[int, typer.Option(help="Of the draw of patients.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Studies converted at once.")] = 2,
    series: Annotated[
        str,
        typer.Option(
            help="Where a folder holds several DICOM series: a UID, a number, part of the description, or all."
        ),
    ] = "",
    recode: Annotated[
        str, typer.Option(metavar="VALUE=LABEL,…", help="What a label file's values mean, if not what its format says.")
    ] = "",
    others: Annotated[
        int | None, typer.Option(help="Label of the values --recode does not name; otherwise they are an error.")
    ] = None,
    names: Annotated[str, typer.Option(metavar="NAME,…", help="LabelMe names that are the structure.")] = "",
    pixel_size: Annotated[float | None, typer.Option(min=0.05, max=30, help="mm, for pictures and videos.")] = None,
    slice_thickness: Annotated[float | None, typer.Option(min=0.05, max=30, help="mm, for pictures of slices.")] = None,
    spacing: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Both by patient: patient,pixel_size_mm,slice_thickness_mm.")
    ] = None,
    window: Annotated[
        str, typer.Option(metavar="LOW,HIGH", help="HU that 8-bit images show as black and as white.")
    ] = "",
) -> None:
    """Turn a data set as it is distributed into images/, labels/, dataset.csv and datalist.json.

    \b
    hematoma             CT-ICH, slices with LabelMe, DICOM, NIfTI
    lung_infection       COVID-19 CT set 1 and 2, the 20 cases, DICOM, NIfTI
    liver_tumor          LiTS, MSD Task03_Liver, DICOM, NIfTI
    knee_cartilage       OAI-ZIB, DICOM, NIfTI
    echo_left_ventricle  EchoNet-Dynamic, CAMUS, frames with LabelMe, NIfTI

    NIfTI stands for .nii, .nii.gz, .nrrd, .mha and .mhd: images/ with labels/,
    pairs such as x_ct and x_label, or images alone.

    Patients are split, not studies. A rerun converts what is missing. Studies
    that cannot be used, or should be looked at, are listed at the end, and the
    exit status is 1 then; the others go on.
    """
    from sliceweave.pipelines import prepare as preparing
    from sliceweave.pipelines.cases import PrepareOptions
    from sliceweave.pipelines.options import intensity_window
    from sliceweave.pipelines.patients import Drawing
    from sliceweave.pipelines.prepare_options import check_label, listed, recoding
    from sliceweave.pipelines.prepare_tasks import prepare_task
    from sliceweave.pipelines.splits import parse_shares

    known = prepare_task(task)
    labels = list(known.labels)
    check_label(others, labels, "--others")
    if spacing and not spacing.is_file():
        raise InputError(f"--spacing: there is no file {spacing}; name a CSV patient,pixel_size_mm,slice_thickness_mm")
    options = PrepareOptions(
        pixel_mm=pixel_size,
        thickness_mm=slice_thickness,
        spacing_csv=spacing,
        window_hu=intensity_window(window or None, "window"),
        names=listed(names),
        series=series,
        recode=recoding(recode, labels),
        others=others,
    )
    if check and pictures:
        raise InputError("--check writes nothing: leave out --pictures")
    if check:
        outcome = preparing.check(known, source, options, workers, dest)
    elif dest is None:
        raise InputError("no destination given: sliceweave prepare TASK SOURCE DEST (or --check)")
    else:
        with ending_on_ctrl_c(goes_on(dest)):
            outcome = preparing.prepare(known, source, dest, options, Drawing(parse_shares(split), seed), workers)
        if pictures:
            from sliceweave.pipelines.prepare_pictures import draw_pictures

            draw_pictures(known, dest, outcome.usable)
    typer.echo(outcome.summary(None if check else dest))
    raise typer.Exit(1 if outcome.failed or outcome.notes or outcome.gone else 0)
