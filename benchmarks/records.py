"""What records cost: python benchmarks/records.py [--studies 10000] [--scan-mb 8]

Made-up studies of one label, three lesions and forty slices are added to a report; then their tables are rebuilt from
the records, the report is resumed, and each finished study is asked for as an inference run asks (`pending`), once with
what the record knows of the image's file and once by hashing the image again, as before there were records. Seconds are
this process's own (user and system), in one process; "per study" is in milliseconds.
"""

import argparse
import hashlib
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.inference import pending
from sliceweave.pipelines.model import Model
from sliceweave.pipelines.rebuild import rebuild_tables
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import LabelResult, StudyFacts, StudyRows, study_rows
from sliceweave.pipelines.study_report import output_paths
from sliceweave.pipelines.volumetry import measure

MODEL = Model("hematoma", "1", {1: "hematoma"})
GEOMETRY = Geometry(np.diag([0.45, 0.45, 5.0, 1.0]), (64, 64, 40))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--scan-mb", type=float, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measured(Path(folder), arguments.studies, arguments.scan_mb)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{arguments.studies} studies on {machine}")
    for what, (taken_s, studies) in seconds.items():
        print(f"{what:44} {taken_s:8.2f} s {1000 * taken_s / studies:9.3f} ms a study")


def measured(folder: Path, studies: int, scan_mb: float) -> dict[str, tuple[float, int]]:
    """Processor seconds of each step and the studies it was taken over."""
    images, out = folder / "images", folder / "out"
    images.mkdir()
    digest = scan(folder / "template.nii", scan_mb)
    rows = example()
    seconds = {"add, tables followed": (timed(lambda: add(out, images, studies, rows, digest)), studies)}
    seconds["rebuild the tables"] = timed(lambda: rebuild_tables(out)), studies
    seconds["resume: read the records"] = timed(lambda: Report(out, resume=True)), studies
    report = Report(out, resume=True)
    left: list[Any] = []
    seconds["resume: which studies are due"] = timed(lambda: left.extend(pending(str(images), report, MODEL))), studies
    if left:
        raise RuntimeError(f"{len(left)} of {studies} finished studies would be done again")
    some = sorted(images.iterdir())[:200]
    hashed = timed(lambda: [hashlib.sha256(path.read_bytes()).digest() for path in some])
    seconds[f"hashing an image of {scan_mb:g} MB again, as before"] = hashed, len(some)
    return seconds


def scan(path: Path, size_mb: float) -> str:
    """Writes a scan of such a size; its hash."""
    slices = max(1, round(size_mb * 1e6 / (2 * 512 * 512)))
    nib.save(nib.Nifti1Image(np.zeros((512, 512, slices), np.int16), np.diag([0.45, 0.45, 5, 1])), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def example() -> StudyRows:
    """Rows of three lesions on forty slices."""
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    for lesion in range(3):
        mask[10 + 15 * lesion : 20 + 15 * lesion, 20:40, 10:20] = 1
    result = LabelResult("hematoma", measure(mask, GEOMETRY), (10.0, 20.0), 0.9)
    return study_rows(StudyFacts("", "", MODEL.name, MODEL.version, 1.5, ("oblique",)), GEOMETRY, [result])


def add(out: Path, images: Path, studies: int, rows: StudyRows, digest: str) -> None:
    """Links to one scan, and a mask, a picture and a record for each."""
    paths = [images / f"study{number:05d}.nii" for number in range(studies)]
    for path in paths:
        os.link(out.parent / "template.nii", path)
    time.sleep(0.05)
    report = Report(out)
    report.start()
    for path in paths:
        named = [
            [{**row, "study_id": path.stem} for row in table] for table in (rows.volumes, rows.lesions, rows.slices)
        ]
        for row in named[0]:
            row["image_sha256"] = digest
        for made in output_paths(report, path.stem):
            made.touch()
        report.add(StudyRows(path.stem, *named), path)
    report.close()


def timed(act: Callable[[], object]) -> float:
    before = time.process_time()
    act()
    return time.process_time() - before


if __name__ == "__main__":
    main()
