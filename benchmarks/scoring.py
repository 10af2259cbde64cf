"""Scores of a case, ours beside MONAI's: python benchmarks/scoring.py [--slices 130] [--runs 3]

Times the three surface distances of one label of a 512×512 study side by side in one run (alternating, medians), and
prints what each says: on a straight grid, where all should agree, and on a gantry-tilted one, where only patient space
is right. Then the time for all metrics of a case.
"""

import argparse
import platform
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pandas as pd
import torch
from monai.metrics import HausdorffDistanceMetric, SurfaceDistanceMetric
from numpy.typing import NDArray
from scipy import ndimage

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.scoring import score_case
from sliceweave.pipelines.surface_distances import surface_distances

Mask = NDArray[np.bool_]
Distances = tuple[float, float, float]
Tool = Callable[[Mask, Mask, Geometry], Distances]

PIXEL_MM, GAP_MM, TILT_DEG = 0.75, 2.5, 20.0
OURS = "sliceweave"


def monai_metrics(prediction: Mask, truth: Mask, geometry: Geometry) -> Distances:
    """As three metrics over the whole volume, which is how an evaluation engine would hold them."""
    metrics = (
        HausdorffDistanceMetric(include_background=True),
        HausdorffDistanceMetric(include_background=True, percentile=95),
        SurfaceDistanceMetric(include_background=True, symmetric=True),
    )
    pair = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, truth)]
    hd, hd95, assd = (float(metric(*pair, spacing=geometry.spacing_mm.tolist())) for metric in metrics)
    return hd, hd95, assd


def distance_transform(prediction: Mask, truth: Mask, geometry: Geometry) -> Distances:
    """Distances to one surface in every voxel of the joint box, read off at the other."""
    box = ndimage.find_objects((prediction | truth).view(np.uint8))[0]
    surfaces = [mask[box] & ~ndimage.binary_erosion(mask[box]) for mask in (prediction, truth)]
    fields = [ndimage.distance_transform_edt(~surface, geometry.spacing_mm) for surface in surfaces]
    there, back = fields[1][surfaces[0]], fields[0][surfaces[1]]
    both = np.concatenate([there, back])
    return both.max(), max(np.percentile(there, 95), np.percentile(back, 95)), both.mean()


TOOLS: dict[str, Tool] = {OURS: surface_distances, "MONAI": monai_metrics, "scipy EDT": distance_transform}


def lesions(shape: tuple[int, int, int]) -> dict[str, tuple[Mask, Mask]]:
    """Prediction and truth as ellipsoids a little apart: as large as a haematoma and as a liver."""
    places = np.ogrid[: shape[0], : shape[1], : shape[2]]

    def ellipsoid(centre: tuple[float, ...], radii: tuple[float, ...]) -> Mask:
        sides = zip(places, centre, radii, shape, strict=True)
        return sum(((at - c * size) / (r * size)) ** 2 for at, c, r, size in sides) < 1

    return {
        "haematoma": (ellipsoid((0.4, 0.5, 0.47), (0.08, 0.07, 0.1)), ellipsoid((0.41, 0.5, 0.48), (0.075, 0.07, 0.1))),
        "liver": (ellipsoid((0.4, 0.5, 0.47), (0.3, 0.26, 0.4)), ellipsoid((0.41, 0.5, 0.48), (0.3, 0.26, 0.4))),
    }


def grids(shape: tuple[int, int, int]) -> dict[str, Geometry]:
    straight = np.diag([PIXEL_MM, PIXEL_MM, GAP_MM, 1.0])
    tilted = straight.copy()
    tilted[1, 2] = GAP_MM * np.tan(np.radians(TILT_DEG))
    return {"straight": Geometry(straight, shape), "tilted": Geometry(tilted, shape)}


def comparison(pair: tuple[Mask, Mask], geometry: Geometry, runs: int) -> pd.DataFrame:
    times: dict[str, list[float]] = {name: [] for name in TOOLS}
    found: dict[str, Distances] = {}
    for _ in range(runs):
        for name, tool in TOOLS.items():
            start = time.perf_counter()
            found[name] = tool(*pair, geometry)
            times[name].append(1000 * (time.perf_counter() - start))
    table = pd.DataFrame(found, index=["hd_mm", "hd95_mm", "assd_mm"]).T
    table.insert(0, "ms", [median(values) for values in times.values()])
    table.insert(1, "times ours", table["ms"] / table.loc[OURS, "ms"])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=130)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    shape = (512, 512, arguments.slices)
    for name, pair in lesions(shape).items():
        for grid, geometry in grids(shape).items():
            print(f"{name}, {grid} grid")
            print(comparison(pair, geometry, arguments.runs).to_string(float_format="{:.5g}".format))
        masks = [mask.astype(np.uint8) for mask in pair]
        start = time.perf_counter()
        score_case(*masks, geometry, {1: name})
        print(f"all metrics of the case: {1000 * (time.perf_counter() - start):.0f} ms\n")
    print(f"{shape} on {platform.machine()}, {torch.get_num_threads()} cores, torch {torch.__version__}")


if __name__ == "__main__":
    main()
