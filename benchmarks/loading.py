"""What feeding a network costs: python benchmarks/loading.py [STUDIES] [--slices 32] [--size 512] [--epochs 3]

Generated head CTs are windowed and handed out, flipped and shifted, in batches of four: by `SampleDataset` (volumes
preprocessed once, mapped from disk, one slice or slab read at a time), and by the plain MONAI ways to such samples,
`CacheDataset` (whole preprocessed volumes in memory) and `PersistentDataset` (one file a volume, read whole each time),
each followed by `RandCropByPosNegLabeld` with half of the crops on a lesion; "+ indices" keeps the lists of marked and
other voxels with the volume, where the crop would else make them for every sample. All hand out as many samples an
epoch. Each way runs in a process of its own, one thread, and begins without a cache.

"first epoch" has the preprocessing in it; "warm start" is the first epoch of another process that finds the cache.
"MiB" is the largest proportional set size of the process and its workers together, pages they share counted once, the
imports (in the heading) left out.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from monai.data import CacheDataset, DataLoader, Dataset, PersistentDataset
from monai.transforms import (
    Compose,
    FgBgToIndicesd,
    LoadImaged,
    Orientationd,
    RandAffined,
    RandCropByPosNegLabeld,
    RandFlipd,
)

from sliceweave.pipelines.cuts import Slabs
from sliceweave.pipelines.datasets import SampleDataset, datalist
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.sampling import Draw, SeededSampler
from sliceweave.pipelines.study_reader import StudyReader
from sliceweave.transforms import WindowHUd

KEYS = ["image", "label"]
BATCH = 4
WAYS = ("sliceweave", "CacheDataset", "CacheDataset + indices", "PersistentDataset", "PersistentDataset + indices")


def preprocessing() -> list[Any]:
    reading = LoadImaged(KEYS, reader=StudyReader, ensure_channel_first=True)
    return [reading, Orientationd(KEYS, axcodes="RAS", labels=None), WindowHUd("image", "head")]


def augmentation() -> list[Any]:
    shift = RandAffined(KEYS, prob=0.5, translate_range=[40, 40], mode="nearest", padding_mode="zeros")
    return [*(RandFlipd(KEYS, prob=0.5, spatial_axis=axis) for axis in (0, 1)), shift]


def slices_as_channels(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The slices of a crop (C, H, W, slab) as channels, and the label of the one in the middle."""
    image, label = sample["image"], sample["label"]
    return {"image": image.movedim(-1, 1).flatten(0, 1), "label": label[..., label.shape[-1] // 2]}


def plain_dataset(options: argparse.Namespace) -> Dataset:
    """MONAI's: whole volumes, then one crop of adjacent slices."""
    size = (options.size, options.size, options.slab)
    steps, given = preprocessing(), {}
    if "indices" in options.way:
        steps.append(FgBgToIndicesd("label"))
        given = {"fg_indices_key": "label_fg_indices", "bg_indices_key": "label_bg_indices"}
    crop = RandCropByPosNegLabeld(KEYS, "label", size, pos=1, neg=1, num_samples=1, **given)
    chain = Compose([*steps, crop, slices_as_channels, *augmentation()])
    cases = datalist(options.studies, labelled=True)
    if options.way.startswith("Cache"):
        return CacheDataset(cases, chain, progress=False)
    return PersistentDataset(cases, chain, cache_dir=options.cache)


class ManyTimes:
    """Indices of an epoch of so many samples from fewer studies, in random order."""

    def __init__(self, studies: int, samples: int) -> None:
        self.studies = studies
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __iter__(self) -> Iterator[int]:
        return iter((torch.randperm(self.samples) % self.studies).tolist())


def epochs_of(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of each epoch of one way, from nothing, in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    began, seconds = time.perf_counter(), []
    sampler: Any
    if options.way == "sliceweave":
        cases = datalist(options.studies, labelled=True)
        cut, chains = Slabs(options.slab), (Compose(preprocessing()), Compose(augmentation()))
        dataset: Dataset = SampleDataset(cases, chains[0], cut, Draw(), options.cache, chains[1])
        sampler = SeededSampler(dataset)
    else:
        dataset = plain_dataset(options)
        sampler = ManyTimes(len(dataset), options.samples)
    loader = DataLoader(dataset, options.workers, batch_size=BATCH, sampler=sampler)
    for epoch in range(options.epochs):
        if options.way == "sliceweave":
            sampler.set_epoch(epoch)
        shapes = {tuple(batch[key].shape[1:]) for batch in loader for key in KEYS}
        if shapes != {(channels, options.size, options.size) for channels in (options.slab, 1)}:
            raise RuntimeError(f"{options.way} hands out {shapes}")
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
    return {"samples": len(sampler), "seconds": seconds}


def measured(options: argparse.Namespace, **changes: Any) -> dict[str, Any]:
    """`epochs_of` in a process of its own, with the peak memory in MiB of that and its workers."""
    settings = {**vars(options), **changes}
    names = ("studies", "size", "epochs", "slab", "workers", "way", "cache", "samples")
    command = [sys.executable, __file__, "--child", *(f"--{name}={settings[name]}" for name in names)]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, stdout=output, stderr=errors, env=os.environ | {"OMP_NUM_THREADS": "1"})
        peak = 0.0
        while child.poll() is None:
            peak = max(peak, family_mib(child.pid))
            time.sleep(0.05)
        for stream in (output, errors):
            stream.seek(0)
        if child.returncode:
            raise RuntimeError(errors.read()[-2000:])
        return {**json.loads(output.read().splitlines()[-1]), "peak": peak}


def family_mib(pid: int) -> float:
    """Proportional set size of a process and all it started; what has ended meanwhile counts nothing."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = next((int(line.split()[1]) / 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0.0)
    return own + sum(family_mib(int(child)) for child in children)


def compared(options: argparse.Namespace, imports_mib: float, **changes: Any) -> pd.DataFrame:
    rows: dict[str, dict[str, float | None]] = {}
    samples = 0
    for way in WAYS:
        with tempfile.TemporaryDirectory() as cache:
            settings = {**changes, "way": way, "cache": cache, "samples": samples}
            cold = measured(options, **settings)
            samples = cold["samples"]
            disk_mib = sum(path.stat().st_size for path in Path(cache).rglob("*")) / 2**20
            warm = measured(options, **{**settings, "epochs": 1}) if disk_mib else {"seconds": [None]}
        later = median(cold["seconds"][1:])
        rows[way] = {
            "first epoch s": cold["seconds"][0],
            "warm start s": warm["seconds"][0],
            "later epochs s": later,
            "samples/s": samples / later,
            "s per batch": later * BATCH / samples,
            "times ours": later / (rows["sliceweave"]["later epochs s"] if rows else later),
            "MiB": cold["peak"] - imports_mib,
            "MiB on disk": disk_mib,
        }
    return pd.DataFrame(rows).T


def write_studies(options: argparse.Namespace) -> None:
    pixel_mm, gap_mm = 230 / options.size, 160 / options.slices
    grid = PhantomOptions(size=options.size, slices=options.slices, spacing_mm=(pixel_mm, pixel_mm, gap_mm))
    write_phantoms("hematoma", Path(options.studies), studies=options.count, seed=0, options=grid)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", metavar="STUDIES", type=int, nargs="?", default=8)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3)
    for name in ("slab", "workers", "samples"):
        parser.add_argument(f"--{name}", type=int, default=0, help=argparse.SUPPRESS)
    for name in ("studies", "way", "cache"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.child:
        print(json.dumps(epochs_of(options) if options.epochs else {}))
        return
    with tempfile.TemporaryDirectory() as options.studies:
        write_studies(options)
        imports_mib = measured(options, epochs=0)["peak"]
        print(
            f"{options.count} studies of {options.size}×{options.size}×{options.slices}, imports {imports_mib:.0f} MiB"
        )
        print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
        for slab in (1, 5):
            for workers in (0, 2):
                table = compared(options, imports_mib, slab=slab, workers=workers)
                print(f"\nslab {slab}, num_workers {workers}")
                print(table.to_string(float_format="{:.3g}".format, na_rep="–"), flush=True)


if __name__ == "__main__":
    main()
