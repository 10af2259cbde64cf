"""Files of a mask and its measurements for an archive of DICOM: `<id>_seg.dcm` and `<id>_sr.dcm`."""

from pathlib import Path

from pydicom import Dataset

from sliceweave.pipelines.atomic import atomic_file, make_folder
from sliceweave.pipelines.dicom_objects import Drawn, measurement_report, segmentation
from sliceweave.pipelines.dicom_source import mask_on_series, read_series
from sliceweave.pipelines.label_maps import Labels
from sliceweave.pipelines.mask_measuring import MaskOptions
from sliceweave.pipelines.run_record import read_run
from sliceweave.pipelines.studies import id_of
from sliceweave.pipelines.volumetry import measure_labels


def write_dicom(mask: Path, series_folder: Path, out: Path, options: MaskOptions) -> tuple[Path, Path]:
    """Writes mask and measurements beside each other; the paths of SEG and SR.

    What the labels are called, and which model drew them, comes from the options, or else from the ``run.json`` beside
    the mask.

    Raises:
        InputError: the mask does not fit the series, one of them cannot be read, or nothing can be written.
    """
    series = read_series(series_folder)
    labels = mask_on_series(mask, series)
    drawn = _drawn(mask, labels, options)
    seg = segmentation(labels, series, drawn)
    found = measure_labels(labels, series.geometry, drawn.labels)
    report = measurement_report([found[value] for value in drawn.labels], seg, series, drawn)
    make_folder(out, "choose another folder")
    stem = id_of(mask).removesuffix("_mask")
    paths = out / f"{stem}_seg.dcm", out / f"{stem}_sr.dcm"
    for path, dataset in zip(paths, (seg, report), strict=True):
        _save(dataset, path)
    return paths


def _drawn(mask: Path, labels: Labels, options: MaskOptions) -> Drawn:
    model = read_run(mask.parent).get("model", {})
    names = dict(options.names) or {int(value): str(name) for value, name in model.get("labels", {}).items()}
    values = [int(value) for value in sorted(set(labels[labels > 0].tolist()))]
    algorithm = (str(model["name"]), str(model["version"])) if {"name", "version"} <= set(model) else None
    return Drawn(MaskOptions(options.task, names).label_names(values), algorithm)


def _save(dataset: Dataset, path: Path) -> None:
    with atomic_file(path) as file:
        dataset.save_as(file, enforce_file_format=True)
