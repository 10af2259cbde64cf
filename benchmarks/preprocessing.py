"""Which library for CLAHE and for the median filter: python benchmarks/preprocessing.py [--slices 32] [--runs 5]

Times whole 512×512 studies side by side in one run (alternating, medians), and prints for CLAHE how it agrees with
OpenCV's 8-bit result on 8-bit input, and how many grey values of one 8-bit step it keeps apart.
"""

import argparse
import platform
import time
from collections.abc import Callable
from statistics import median

import cv2
import numpy as np
import pandas as pd
import torch
from monai.transforms import MedianSmooth
from numpy.typing import NDArray
from scipy import ndimage
from skimage import exposure

from sliceweave.transforms import CLAHE, MedianDenoise

Volume = NDArray[np.float32]


def opencv_clahe(kind: type[np.unsignedinteger]) -> Callable[[Volume], Volume]:
    def equalise(volume: Volume) -> Volume:
        top = np.iinfo(kind).max
        grey = np.ascontiguousarray(np.moveaxis(np.round(volume * top).astype(kind), 2, 0))
        done = np.stack([cv2.createCLAHE(2.0, (8, 8)).apply(plane) for plane in grey], axis=2)
        return (done / top).astype(np.float32)

    return equalise


def skimage_clahe(volume: Volume) -> Volume:
    kernel = (volume.shape[0] // 8, volume.shape[1] // 8)
    planes = [exposure.equalize_adapthist(volume[..., k], kernel, clip_limit=2 / 256) for k in range(volume.shape[2])]
    return np.stack(planes, axis=2).astype(np.float32)


def tensor_transform(transform: Callable[[Volume], torch.Tensor]) -> Callable[[Volume], Volume]:
    return lambda volume: transform(volume[None])[0].numpy()


CLAHES = {
    "sliceweave CLAHE": tensor_transform(CLAHE()),
    "OpenCV 8-bit": opencv_clahe(np.uint8),
    "OpenCV 16-bit": opencv_clahe(np.uint16),
    "scikit-image": skimage_clahe,
}
MEDIANS = {
    "sliceweave MedianDenoise (OpenCV)": tensor_transform(MedianDenoise()),
    "scipy median_filter": lambda volume: ndimage.median_filter(volume, (3, 3, 1)),
    "MONAI MedianSmooth": lambda volume: MedianSmooth([1, 1, 0])(volume[None])[0].numpy(),
}


def study(slices: int) -> Volume:
    """Head-like grey values on 256 levels."""
    noise = np.random.default_rng(0).normal(size=(512, 512, slices)).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, (12, 12, 1)) + 0.02 * noise
    grey = (smooth - smooth.min()) / np.ptp(smooth)
    return np.round(grey * 255).astype(np.float32) / 255


def milliseconds(tools: dict[str, Callable[[Volume], Volume]], volume: Volume, runs: int) -> pd.DataFrame:
    times: dict[str, list[float]] = {name: [] for name in tools}
    for _ in range(runs):
        for name, tool in tools.items():
            start = time.perf_counter()
            tool(volume)
            times[name].append(1000 * (time.perf_counter() - start))
    table = pd.DataFrame({"ms": {name: median(values) for name, values in times.items()}})
    table["times the first"] = table["ms"] / table["ms"].iloc[0]
    return table


def levels_kept(clahe: Callable[[Volume], Volume]) -> int:
    """How many of 64 grey values within one 8-bit step, stripes of a flat image, are different afterwards."""
    stripes = np.tile(np.linspace(0.501, 0.504, 64, dtype=np.float32), (512, 8))[..., None]
    middle = clahe(stripes)[256, :64, 0]
    return len(np.unique(np.round(middle, 6)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    volume = study(arguments.slices)
    reference = CLAHES["OpenCV 8-bit"](volume)

    clahe = milliseconds(CLAHES, volume, arguments.runs)
    clahe["r with OpenCV 8-bit"] = [
        np.corrcoef(tool(volume).ravel(), reference.ravel())[0, 1] for tool in CLAHES.values()
    ]
    clahe["largest difference, of 255"] = [255 * np.abs(tool(volume) - reference).max() for tool in CLAHES.values()]
    clahe["levels kept of one 8-bit step"] = [levels_kept(tool) for tool in CLAHES.values()]
    print(clahe.to_string(float_format="{:.4g}".format))
    print(milliseconds(MEDIANS, volume, arguments.runs).to_string(float_format="{:.4g}".format))
    print(f"{volume.shape} on {platform.machine()}, {torch.get_num_threads()} cores, torch {torch.__version__}")


if __name__ == "__main__":
    main()
