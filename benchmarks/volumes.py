"""Time and memory of `sliceweave volumes` on one mask: python benchmarks/volumes.py MASK [--rounds 3]

Each round runs, in fresh processes one after the other, the command over all labels (all tables written), and the least
anybody could do: SimpleITK and a comparison per label in numpy. Processor time is what a busy machine leaves as it is.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

MEASURED = """
import atexit, resource
def say():
    used = resource.getrusage(resource.RUSAGE_SELF)
    print("used", used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
atexit.register(say)
"""
CONTENDERS = {
    "sliceweave volumes": "from sliceweave.pipelines.cli import main; main()",
    "numpy, volumes only": """
import sys, numpy as np, SimpleITK as sitk
image = sitk.ReadImage(sys.argv[2])
labels = sitk.GetArrayFromImage(image)
voxel_ml = np.prod(image.GetSpacing()) / 1000
print({int(value): float((labels == value).sum() * voxel_ml) for value in np.unique(labels) if value})
""",
}


class Usage(NamedTuple):
    """What one process took."""

    wall_s: float
    processor_s: float
    peak_mb: float


def run(code: str, mask: Path, out: str) -> Usage:
    """Runs the code in a fresh process."""
    began = time.perf_counter()
    command = [sys.executable, "-c", MEASURED + code, "volumes", str(mask), "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    processor_s, peak_mb = map(float, done.stdout.split("used ")[-1].split())
    return Usage(time.perf_counter() - began, processor_s, peak_mb)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mask", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found: dict[str, list[Usage]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as out:
        for _ in range(arguments.rounds):
            for name, code in CONTENDERS.items():
                found[name].append(run(code, arguments.mask, out))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"{arguments.mask.name} on {machine}; best of {arguments.rounds}")
    print(f"{'':22}{'wall s':>9}{'processor s':>13}{'ratio':>7}{'peak MB':>9}")
    base_s = min(usage.processor_s for usage in found["sliceweave volumes"])
    for name, rounds in found.items():
        wall_s, processor_s = min(usage.wall_s for usage in rounds), min(usage.processor_s for usage in rounds)
        peak_mb = max(usage.peak_mb for usage in rounds)
        print(f"{name:22}{wall_s:9.2f}{processor_s:13.2f}{processor_s / base_s:7.2f}{peak_mb:9.0f}")


if __name__ == "__main__":
    main()
