"""A cohort by the bundle's own run, by local workers and by Ray's: python benchmarks/cohort.py [--studies 200]

Generated head CTs of 64 x 64 x 6 voxels (--size 512 --slices 32 for those of a scanner), a twentieth of them, but ten
if there are twenty, broken in ten different ways. Each contender runs as its command, one after the other; with
--rounds 3 that is done three times, and the least seconds count. "all" is from start to end; "a study" is from the
first record to the last one, shared among the others, so that starting processes and loading models is mostly left
out. Ray's overhead is its seconds a study less those of the local workers; what is left of the difference is "a run".
The tables have to be the same but for `seconds`, and every broken study has to have a reason. Ray's workers run at the
priority of the others here; without RAY_worker_niceness=0 they give way to whatever else the machine does.
"""

import argparse
import csv
import gzip
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import torch

from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.tables import read_table

BROKEN_SHARE = 20
SLICEWEAVE = "from sliceweave.pipelines.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--slices", type=int, default=6)
    arguments = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}"
    with tempfile.TemporaryDirectory() as folder:
        source, broken = write_studies(Path(folder), arguments)
        print(f"{arguments.studies} studies, {len(broken)} of them broken, {arguments.workers} workers, on {machine}")
        print(f"{'':12} {'all, s':>8} {'a study, s':>11}  failed  rows as the bundle's own")
        compare(Path(folder), source, broken, arguments)


def compare(folder: Path, source: Path, broken: list[str], arguments: argparse.Namespace) -> None:
    """Prints a line for each contender.

    Raises:
        RuntimeError: a run failed, or a broken study has no reason.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in commands(source, folder, arguments)}
    for _ in range(arguments.rounds):
        for name, command in commands(source, folder, arguments).items():
            shutil.rmtree(folder / name, ignore_errors=True)
            taken[name].append(timed(command, folder / name))
    least = {name: tuple(map(min, zip(*seconds, strict=True))) for name, seconds in taken.items()}
    plain = rows(folder / "bundle")
    for name, (all_s, study_s) in least.items():
        table = rows(folder / name)
        if list(table.index[table["status"] == "failed"]) != broken or not table.loc[broken, "reason"].all():
            raise RuntimeError(f"{name}: expected exactly {broken} to have failed, with reasons")
        same = "yes" if table.equals(plain) else "NO"
        print(f"{name:12} {all_s:8.1f} {study_s:11.3f}  {len(broken):6}  {same}")
    (local_all_s, local_s), (ray_all_s, ray_s) = least["local"], least["ray"]
    once_s = ray_all_s - local_all_s - arguments.studies * (ray_s - local_s)
    print(f"Ray's overhead: {1000 * (ray_s - local_s):.0f} ms a study, and {once_s:.1f} s a run")
    print(f"local: {3600 / local_s:.0f} studies an hour by {arguments.workers} workers")
    print(f"files: {stored(folder / 'local') / arguments.studies / 1000:.1f} kB a study")


def commands(source: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, list[str]]:
    root = bundle_root("hematoma")
    config = ["--bundle_root", str(root), "--config_file", str(root / "configs/inference.yaml")]
    studies = ["--dataset_dir", str(source), "--output_dir", str(folder / "bundle")]
    cohort = [sys.executable, "-c", SLICEWEAVE, "cohort", "hematoma", str(source)]
    plane = ["--plane_size", str([min(arguments.size, 256)] * 2)]
    options = ["--workers", str(arguments.workers), "--", *plane]
    return {
        "bundle": [sys.executable, "-m", "monai.bundle", "run", *config, *studies, *plane],
        "local": [*cohort, str(folder / "local"), *options],
        "ray": [*cohort, str(folder / "ray"), "--engine", "ray", *options],
    }


def timed(command: list[str], out: Path) -> tuple[float, float]:
    """Seconds of it all, and of a study once all are under way."""
    began_s = time.perf_counter()
    environment = {**os.environ, "RAY_worker_niceness": "0"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    all_s = time.perf_counter() - began_s
    written_ns = sorted(path.stat().st_mtime_ns for path in (out / "records").glob("*.json"))
    return all_s, (written_ns[-1] - written_ns[0]) / 1e9 / (len(written_ns) - 1)


def rows(out: Path) -> pd.DataFrame:
    return read_table(out / "volumes.csv").drop(columns="seconds").set_index("study_id")


def stored(out: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def write_studies(folder: Path, arguments: argparse.Namespace) -> tuple[Path, list[str]]:
    """A CSV of studies, and the ids of the broken ones, spread among the others."""
    ways, studies, size, slices = list(broken_ways()), arguments.studies, arguments.size, arguments.slices
    count = max(studies // BROKEN_SHARE, min(len(ways), studies // 2))
    options = PhantomOptions(size=size, slices=slices, spacing_mm=(230 / size, 230 / size, 160 / slices))
    write_phantoms("hematoma", folder / "data", studies - count, 1, options, workers=os.cpu_count() or 1)
    good = sorted((folder / "data/images").glob("*.nii.gz"))
    names = [(path.name.removesuffix(".nii.gz"), path) for path in good]
    broken = [spoil(good[number], ways[number % len(ways)], number) for number in range(count)]
    for number, study in enumerate(broken):
        names.insert(number * (studies // count), study)
    with (folder / "studies.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("study_id", "image"), *names])
    return folder / "studies.csv", [name for name, _ in broken]


def spoil(good: Path, way: str, number: int) -> tuple[str, Path]:
    """Id and path of a copy of the study that is broken in this way."""
    path = good.with_name(f"{way}-{number}.nii.gz")
    content = broken_ways()[way](gzip.decompress(good.read_bytes()))
    if content is not None:
        path.write_bytes(content)
    return path.name.removesuffix(".nii.gz"), path


def broken_ways() -> dict[str, Callable[[bytes], bytes | None]]:
    """What becomes of the bytes of an uncompressed NIfTI file; None is no file at all."""
    return {
        "missing": lambda _: None,
        "empty": lambda _: b"",
        "text": lambda _: b"this is no image\n",
        "cut": lambda nifti: gzip.compress(nifti)[: len(nifti) // 20],
        "damaged": lambda nifti: gzip.compress(nifti)[:500] + b"\0" * 500,
        "colours": lambda nifti: gzip.compress(with_header(nifti, datatype=128, bitpix=24)),
        "huge": lambda nifti: gzip.compress(with_header(nifti, dim=(3, 10000, 10000, 10000, 1, 1, 1, 1))),
        "several": lambda nifti: gzip.compress(with_header(nifti, dim=(4, 64, 64, 3, 2, 1, 1, 1))),
        "flat": lambda nifti: gzip.compress(with_header(nifti, pixdim=(1, 0, 0, 0, 0, 0, 0, 0))),
        "nan": lambda nifti: gzip.compress(with_header(nifti, datatype=16, bitpix=32)[:352] + b"\xff" * 2 * len(nifti)),
    }


def with_header(nifti: bytes, **fields: object) -> bytes:
    """The file with other values in its header."""
    header = nib.Nifti1Header(nifti[:348], check=False)
    for name, value in fields.items():
        header[name] = np.asarray(value)
    return header.binaryblock + nifti[348:]


if __name__ == "__main__":
    main()
