"""How often the kind of a real head CT is recognised from its voxels: whole scans and each of their slices alone."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from real_heads import KINDS, Head, healthy, healthy_paths, labelled_slices, labelled_volume
from tqdm import tqdm

from sliceweave.transforms.head_hu import BRAIN_WINDOW_HU, grey_to_hu, grey_window_hu
from sliceweave.transforms.skull import inside_skull

Voxels = NDArray[np.float32]


def guess_row(voxels: Voxels, head: Head, kind: str, part: str) -> dict[str, object]:
    """Whether the guess is right, and how far what it gives lies from the scan's HU in the window."""
    window_hu = grey_window_hu(voxels, head.affine_ras)
    right = window_hu == (BRAIN_WINDOW_HU if kind == "8-bit" else None)
    return {"kind": kind, "part": part, "right": right}


def rows_of(head: Head) -> list[dict[str, object]]:
    """Guesses on a scan as each kind, and on each of its slices as if there were no others."""
    rows = []
    for kind, make in KINDS.items():
        voxels = make(head.hu)
        is_slice = voxels.shape[2] == 1
        if not is_slice:
            rows.append(guess_row(voxels, head, kind, "scans"))
        for k in range(voxels.shape[2]):
            plane = voxels[..., k : k + 1]
            enclosed = len(inside_skull(plane, head.affine_ras)) > 0
            rows.append(guess_row(plane, head, kind, "slices, brain enclosed" if enclosed else "slices, others"))
    return rows


def largest_error_hu(head: Head) -> float:
    """Between a scan in HU and as it comes back from 8 bits, within the window."""
    grey = KINDS["8-bit"](head.hu)
    window_hu = grey_window_hu(grey, head.affine_ras)
    back = grey_to_hu(grey, window_hu) if window_hu else grey
    return float(np.abs(back - KINDS["clipped"](head.hu)).max())


def kind_table(data: Path, tilted: Head) -> str:
    """Right guesses of all, by kind, over every CT-ICH scan and slice and the tilted series."""
    paths = healthy_paths(data)
    rows, errors_hu = [], []
    with tqdm(total=len(paths) + 2, desc="recognising kinds", unit="scan", disable=None) as bar:
        for head in (*healthy(paths), labelled_volume(data), tilted):
            rows += rows_of(head)
            errors_hu.append(largest_error_hu(head))
            bar.update()
    for head in labelled_slices(data):
        rows += rows_of(head)
    counts = pd.DataFrame(rows).pivot_table(index="kind", columns="part", values="right", aggfunc=["sum", "count"])
    text = counts["sum"].astype(int).astype(str) + " of " + counts["count"].astype(str)
    return f"{text.loc[list(KINDS)].to_string()}\nlargest error of a scan that came in 8 bits: {max(errors_hu):.2f} HU"
