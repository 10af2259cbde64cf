"""A small cohort, good and broken, and the command that runs on it."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from monai.bundle import ConfigWorkflow

from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.tables import read_table

BUNDLE = bundle_root("hematoma")
PLANE = [96, 120]
OPTIONS = ("--plane_size", str(PLANE))
TROUBLED = ("--reader::_target_", "troubled_reader.TroubledReader")


def write_cohort(folder: Path, trouble: Sequence[str] = ()) -> Path:
    """A CSV of three phantoms, further ones under the names that `TroubledReader` knows, and four broken studies."""
    write_phantoms(
        "hematoma", folder, 3, 11, PhantomOptions(size=96, slices=12, spacing_mm=(2.4, 2.4, 13.0)), workers=1
    )
    good = sorted((folder / "images").glob("*.nii.gz"))
    rows = [(path.name[:-7], path) for path in good]
    for number, name in enumerate(trouble):
        rows.insert(number + 1, (name, Path(shutil.copy(good[number % 3], folder / f"{name}.nii.gz"))))
    rows += broken(good[0], folder)
    with (folder / "studies.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("study_id", "image"), *rows])
    return folder / "studies.csv"


def broken(good: Path, folder: Path) -> list[tuple[str, Path]]:
    """Id and path of studies that cannot be read."""
    cut, text, several = (folder / f"{name}.nii.gz" for name in ("cut", "text", "several"))
    cut.write_bytes(good.read_bytes()[:2000])
    text.write_text("this is no image\n")
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 4, 2), np.int16), np.eye(4)), several)
    return [("cut", cut), ("text", text), ("several", several), ("missing", folder / "missing.nii.gz")]


def command(source: Path, out: Path, *options: str) -> list[str]:
    code = "from sliceweave.pipelines.cli import main; main()"
    return [sys.executable, "-c", code, "cohort", "hematoma", str(source), str(out), *options]


def environment(**others: str) -> dict[str, str]:
    """In which worker processes find `troubled_reader`."""
    paths = filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "RAY_worker_niceness": "0", **others}


def run(source: Path, out: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """The command, ended."""
    return subprocess.run(
        command(source, out, *options), capture_output=True, text=True, env=environment(), cwd=out.parent, timeout=500
    )


def run_plainly(source: Path, out: Path) -> pd.DataFrame:
    """What `python -m monai.bundle run` makes of it."""
    flow = ConfigWorkflow(
        config_file=str(BUNDLE / "configs/inference.yaml"),
        workflow_type="infer",
        bundle_root=str(BUNDLE),
        dataset_dir=str(source),
        output_dir=str(out),
        plane_size=PLANE,
    )
    flow.initialize()
    flow.run()
    return rows(out)


def rows(out: Path, table: str = "volumes") -> pd.DataFrame:
    """A table less what differs from run to run, by study."""
    return read_table(out / f"{table}.csv").drop(columns="seconds", errors="ignore").set_index("study_id")
