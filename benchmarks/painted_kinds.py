"""What painting costs and gives: a table by kind, and the pictures of docs/painting.md, in generated heads.

    python benchmarks/painted_kinds.py [--studies 5] [--pictures docs]

Generated heads only, so that the pictures are nobody's. Machine, seconds and millilitres are printed.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.lettering import write
from sliceweave.pipelines.montage import write_png
from sliceweave.pipelines.phantom_grid import PhantomOptions, scan_grid
from sliceweave.pipelines.phantom_tasks import phantom_task
from sliceweave.transforms.appearance import APPEARANCES
from sliceweave.transforms.appearance_grey import Kernel, Windowed
from sliceweave.transforms.hard_negatives import HARD_NEGATIVES
from sliceweave.transforms.head_scan import HeadScan, Orientation
from sliceweave.transforms.hematoma import KINDS
from sliceweave.transforms.hematoma_tissue import bleed

WINDOW_HU = (0.0, 80.0)
CLIPPED_HU = (-20.0, 100.0)
TILE_PX = 128
PICTURED = 3


def generated_head(index: int) -> HeadScan:
    options = PhantomOptions(healthy_share=1.0)
    case = phantom_task("hematoma").make(7, 3 + index, options)
    affine_ras = scan_grid(options).affine_ras
    turn = Orientation.of(affine_ras)
    hu = turn.to_planes(case.image)
    return HeadScan(hu, np.zeros_like(hu), affine_ras @ turn.matrix(hu))


def tile(hu: NDArray[np.float32], share: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    """A slice as a radiologist sees it, the patient's right on the left; with the label's contour."""
    grey = np.clip((hu - WINDOW_HU[0]) / (WINDOW_HU[1] - WINDOW_HU[0]), 0, 1) * 255
    picture = np.repeat(grey[..., None], 3, -1).astype(np.uint8)
    if share is not None:
        contours, _ = cv2.findContours((share >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, contours, -1, (255, 70, 70), 2)
    lying = np.ascontiguousarray(picture.transpose(1, 0, 2)[::-1, ::-1])
    return np.asarray(cv2.resize(lying, (TILE_PX, TILE_PX), interpolation=cv2.INTER_AREA))


def row(name: str, tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    picture = np.hstack(tiles)
    write(picture, name, (6, 16), 13, (255, 255, 255))
    return picture


def busiest(before: HeadScan, after: HeadScan) -> int:
    if after.share.any():
        return int(after.share.sum((1, 2)).argmax())
    if after.hu.shape != before.hu.shape:
        return len(after.hu) // 2
    return int((np.abs(after.hu - before.hu) > 4).sum((1, 2)).argmax())


def kinds_sheet(heads: list[HeadScan], studies: int) -> NDArray[np.uint8]:
    rows = []
    print(f"{'kind':<18}{'seconds':>9}{'median ml':>11}{'smallest':>10}{'largest':>9}{'contrast HU':>13}")
    for kind, draw in KINDS.items():
        tiles, seconds, volumes_ml, contrasts_hu = [], [], [], []
        for seed in range(studies):
            scan, bleeding = heads[seed % len(heads)], draw(np.random.RandomState(seed + 10))
            start = time.perf_counter()
            painted = bleed(scan, [bleeding])
            seconds.append(time.perf_counter() - start)
            volumes_ml.append(painted.blood_ml)
            contrasts_hu.append(bleeding.blood.contrast_hu)
            if seed < PICTURED:
                k = busiest(scan, painted)
                tiles += [tile(painted.hu[k], None), tile(painted.hu[k], painted.share[k])]
        rows.append(row(kind, tiles))
        low, high = min(volumes_ml), max(volumes_ml)
        times = f"{np.median(seconds):>9.2f}{np.median(volumes_ml):>11.1f}{low:>10.2f}{high:>9.1f}"
        print(f"{kind:<18}{times}{min(contrasts_hu):>8.0f}…{max(contrasts_hu):.0f}")
    return np.vstack(rows)


def changes_sheet(heads: list[HeadScan]) -> NDArray[np.uint8]:
    """Hard negatives and appearances, five a row: each on a head with a round bleeding; bone's, in a clipped one, as a
    smooth kernel shows it.
    """
    tiles = []
    for number, (name, draw) in enumerate({**HARD_NEGATIVES, **APPEARANCES}.items()):
        scan = heads[0]
        if name in APPEARANCES:
            scan = bleed(scan, [KINDS["intraparenchymal"](np.random.RandomState(10))])
        if name == "bone":
            scan = Windowed(*CLIPPED_HU, False, None).apply(scan)
        after = draw(np.random.RandomState(number + 8)).apply(scan)
        if name == "bone":
            after = Kernel(1.2, 0).apply(after)
        picture = tile(after.hu[busiest(scan, after)], None)
        write(picture, name, (6, 16), 13, (255, 255, 255))
        tiles.append(picture)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 5)
    return np.vstack([np.hstack(tiles[first : first + 5]) for first in range(0, len(tiles), 5)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=5)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, 512 × 512 × 32 at 0.45 × 0.45 × 5 mm, its anatomy known")
    heads = [generated_head(index) for index in range(PICTURED)]
    start = time.perf_counter()
    found = [head.head is not None for head in heads]
    print(
        f"anatomy of a head: {(time.perf_counter() - start) / len(found):.2f} s, found in {sum(found)} of {len(found)}"
    )
    sheets = {"painting_kinds.png": kinds_sheet(heads, options.studies), "painting_looks.png": changes_sheet(heads)}
    if options.pictures:
        for name, sheet in sheets.items():
            write_png(sheet, options.pictures / name)


if __name__ == "__main__":
    main()
