"""Files of a mask and its measurements for an archive of DICOM: `<id>_seg.dcm` and `<id>_sr.dcm`."""

import warnings
from pathlib import Path

import numpy as np
from pydicom import Dataset

from sliceweave.pipelines.atomic import atomic_file, make_folder
from sliceweave.pipelines.dicom_objects import Drawn, measurement_report, segmentation
from sliceweave.pipelines.dicom_source import Series, on_series, read_series
from sliceweave.pipelines.label_maps import Labels, read_label_map
from sliceweave.pipelines.mask_measuring import MaskOptions
from sliceweave.pipelines.run_record import read_run
from sliceweave.pipelines.studies import id_of
from sliceweave.pipelines.study_report import dicom_paths
from sliceweave.pipelines.volumetry import measure_labels

Objects = tuple[Dataset, Dataset]


def write_dicom(mask: Path, series_folder: Path, out: Path, options: MaskOptions) -> tuple[Path, Path]:
    """Writes mask and measurements beside each other; the paths of SEG and SR.

    What the labels are called, and which model drew them, comes from the options, or else from the ``run.json`` beside
    the mask.

    Raises:
        InputError: the mask does not fit the series, one of them cannot be read, or nothing can be written.
    """
    series = read_series(series_folder)
    found = read_label_map(mask)
    labels = on_series(found.labels, found.geometry, series, mask.name)
    objects = objects_of(labels, series, _drawn(mask, labels, options))
    make_folder(out, "choose another folder")
    return save(objects, dicom_paths(out, id_of(mask).removesuffix("_mask")))


def objects_of(labels: Labels, series: Series, drawn: Drawn) -> Objects:
    """SEG and SR of labels on the series' own slices."""
    measured = measure_labels(labels, series.geometry, drawn.labels)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The string .* is unlikely to represent")  # it goes on with a patient's name
        seg = segmentation(labels, series, drawn)
        return seg, measurement_report([measured[value] for value in drawn.labels], seg, series, drawn)


def save(objects: Objects, paths: tuple[Path, Path]) -> tuple[Path, Path]:
    """Writes SEG and SR; never half a file. Raises InputError where it cannot."""
    for path, dataset in zip(paths, objects, strict=True):
        with atomic_file(path) as file:
            dataset.save_as(file, enforce_file_format=True)
    return paths


def _drawn(mask: Path, labels: Labels, options: MaskOptions) -> Drawn:
    model = read_run(mask.parent).get("model", {})
    names = dict(options.names) or {int(value): str(name) for value, name in model.get("labels", {}).items()}
    values = [int(value) for value in np.unique(labels) if value > 0]
    algorithm = (str(model["name"]), str(model["version"])) if {"name", "version"} <= set(model) else None
    return Drawn(MaskOptions(options.task, names).label_names(values), algorithm)
