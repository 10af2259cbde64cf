"""The command that gives results back as DICOM."""

from pathlib import Path
from typing import Annotated

import typer


def dicom(
    mask: Annotated[Path, typer.Argument(help="A mask: <id>_mask.nii.gz of a run, or any on the series' own voxels.")],
    series: Annotated[Path, typer.Argument(help="Folder of the DICOM series it was made from.")],
    out: Annotated[Path, typer.Argument(help="Gets <id>_seg.dcm and <id>_sr.dcm.")],
    labels: Annotated[
        str, typer.Option(metavar="VALUE=NAME,…", help="What the mask's values are called; else as run.json says.")
    ] = "",
    task: Annotated[str, typer.Option(help="A bundle whose label names apply where there is no run.json.")] = "",
) -> None:
    """Write a mask as DICOM SEG and its measurements as DICOM SR (TID 1500), referring to the series.

    Each frame lies where its slice lies, tilted gantry and uneven slices included.
    The SR holds the volume of each label in cm³ (1 cm³ is 1 ml), and the axes of
    its largest lesion in mm. Both carry the patient and study of the series: they
    are the only files of ours that do. Needs the extra dicom.
    """
    from sliceweave.pipelines.dicom_results import check_highdicom
    from sliceweave.pipelines.mask_measuring import MaskOptions, parse_labels

    check_highdicom()
    from sliceweave.pipelines.dicom_out import write_dicom

    for path in write_dicom(mask, series, out, MaskOptions(task, parse_labels(labels))):
        typer.echo(path)
