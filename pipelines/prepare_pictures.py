"""A picture of every prepared study: image and label as whoever trains on them will see them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sliceweave.pipelines.atomic import make_folder
from sliceweave.pipelines.measuring import turned
from sliceweave.pipelines.montage import montage, write_png
from sliceweave.pipelines.prepare_tasks import PrepareTask
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.studies import file_stem


def draw_pictures(task: PrepareTask, dest: Path, rows: Iterable[Row]) -> None:
    """Writes `pictures/<id>.png` for each usable study whose picture is missing or older than its image.

    Raises:
        InputError: the folder cannot be made, or a file cannot be written.
    """
    folder = dest / "pictures"
    make_folder(folder, "remove what stands there")
    for row in tqdm(list(rows), desc="pictures", unit="study"):
        stem = file_stem(str(row["study_id"]))
        image, picture = dest / "images" / f"{stem}.nii.gz", folder / f"{stem}.png"
        if not picture.is_file() or picture.stat().st_mtime < image.stat().st_mtime:
            _draw(task, image, picture, str(row["study_id"]))


def _draw(task: PrepareTask, image: Path, picture: Path, title: str) -> None:
    scan = read_scan(image)
    label = image.parent.with_name("labels") / image.name
    mask = read_scan(label).voxels.astype(np.uint8) if label.is_file() else np.zeros(scan.geometry.shape, np.uint8)
    view, seen = turned(scan, mask, task.kind.slice_axis)
    voxels = task.kind.shown(view)
    write_png(montage(voxels, seen, task.kind.screen(view), title, task.kind.shown_range(voxels)), picture)
