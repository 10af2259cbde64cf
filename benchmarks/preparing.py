"""What converting one LiTS-sized study costs: python benchmarks/preparing.py [--slices 600] [--runs 3]

Each way of turning `volume-0.nii` and `segmentation-0.nii` (512×512, 16 bit, noise as a CT's) into images/ and labels/
runs in a process of its own, the ways taking turns; the table has medians. "reading + gzip" is the floor: the same
bytes read and compressed, nothing looked at. Only `sliceweave prepare` recodes the label, checks it against the image
and counts volumes. Seconds are those of the conversion, without the start of Python; peak memory is the process's.
"""

import argparse
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import nibabel as nib
import numpy as np
import pandas as pd

WAYS = {
    "reading + gzip": """
from isal import igzip
begin()
for name in NAMES:
    with open(source / name, "rb") as file, igzip.open(dest / (name + ".gz"), "wb", 1) as compressed:
        while block := file.read(1 << 23):
            compressed.write(block)
""",
    "sliceweave prepare": """
from sliceweave.pipelines.cases import PrepareOptions
from sliceweave.pipelines.patients import Drawing
from sliceweave.pipelines.prepare import prepare
from sliceweave.pipelines.prepare_tasks import prepare_task
from sliceweave.pipelines.splits import parse_shares
begin()
task, drawing = prepare_task("liver_tumor"), Drawing(parse_shares("8:1:1"))
assert not prepare(task, source, dest, PrepareOptions(), drawing).failed
""",
    "nibabel": """
import nibabel as nib
begin()
for name in NAMES:
    nib.save(nib.load(source / name), dest / (name + ".gz"))
""",
    "SimpleITK": """
import SimpleITK as sitk
begin()
for name in NAMES:
    sitk.WriteImage(sitk.ReadImage(str(source / name)), str(dest / (name + ".gz")), True, 1)
""",
    "MONAI LoadImage, SaveImage": """
from monai.transforms import LoadImage, SaveImage
begin()
for name in NAMES:
    SaveImage(dest, "", resample=False, separate_folder=False, print_log=False)(LoadImage()(source / name)[None])
""",
}
FRAME = """
import sys, time
from pathlib import Path
NAMES = ("volume-0.nii", "segmentation-0.nii")
source, dest = Path(sys.argv[1]), Path(sys.argv[2])
def begin():
    global began
    began = time.perf_counter()
{way}
took = time.perf_counter() - began
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print("RESULT", took, int(peak.split()[1]) / 1024)
"""


def write_study(folder: Path, slices: int) -> None:
    """A smooth body with noise of 12 HU, and a liver with a tumour; generated in slabs of one slice."""
    rng = np.random.default_rng(0)
    affine = np.diag([-0.77, -0.77, 0.8, 1])
    x, y = np.meshgrid(*(np.linspace(-1, 1, 512),) * 2)
    body = np.where(x**2 + (1.4 * y) ** 2 < 0.8, 60, -1000).astype(np.int16)
    image = np.empty((512, 512, slices), np.int16)
    label = np.zeros((512, 512, slices), np.uint8)
    for k in range(slices):
        image[..., k] = body + rng.normal(0, 12, body.shape).astype(np.int16)
        label[150:300, 200:320, k] = 1
        label[200:230, 240:280, k] = 2
    nib.save(nib.Nifti1Image(image, affine), folder / "volume-0.nii")
    nib.save(nib.Nifti1Image(label, affine), folder / "segmentation-0.nii")


def measured(way: str, source: Path) -> tuple[float, float]:
    """(seconds, peak memory in MiB) of one conversion in a process of its own."""
    with tempfile.TemporaryDirectory() as dest:
        command = [sys.executable, "-c", FRAME.format(way=WAYS[way]), str(source), dest]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, peak = next(line for line in output.splitlines() if line.startswith("RESULT")).split()[1:]
    return float(seconds), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_study(Path(folder), arguments.slices)
        runs = [{way: measured(way, Path(folder)) for way in WAYS} for _ in range(arguments.runs)]
    rows = []
    for way in WAYS:
        seconds, peak = (median(run[way][what] for run in runs) for what in (0, 1))
        floor = median(run[way][0] / run["reading + gzip"][0] for run in runs)
        rows.append((way, round(seconds, 2), round(floor, 2), round(peak)))
    table = pd.DataFrame(rows, columns=["way", "seconds", "over reading + gzip", "peak MiB"])
    print(f"512×512×{arguments.slices}, medians of {arguments.runs} runs; {platform.processor() or platform.machine()}")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
