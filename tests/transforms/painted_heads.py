"""Generated heads without blood, of unequal sizes and spacings, for the tests of painting."""

from functools import cache

import numpy as np
import torch
from monai.data import MetaTensor

from sliceweave.pipelines.phantom_grid import PhantomOptions, scan_grid
from sliceweave.pipelines.phantom_tasks import phantom_task
from sliceweave.transforms.head_scan import HeadScan, open_scan

GRIDS = {
    "thick": PhantomOptions(size=(150, 172), slices=26, spacing_mm=(1.3, 1.25, 6.5), healthy_share=1.0),
    "thin": PhantomOptions(size=(124, 140), slices=60, spacing_mm=(1.6, 1.55, 2.8), healthy_share=1.0),
    "uneven_pixels": PhantomOptions(size=(196, 128), slices=33, spacing_mm=(1.0, 1.7, 5.0), healthy_share=1.0),
}


@cache
def head_image(grid: str = "thick", seed: int = 1) -> MetaTensor:
    """A healthy head `(1, I, J, K)` in HU, in axes that run left, back and up."""
    options = GRIDS[grid]
    case = phantom_task("hematoma").make(seed, 3, options)
    affine = torch.from_numpy(scan_grid(options).affine_ras)
    image = torch.from_numpy(case.image.astype(np.float32))[None]
    return MetaTensor(image, affine=affine, meta={"filename_or_obj": "head.nii.gz"})


@cache
def head_scan(grid: str = "thick", seed: int = 1) -> HeadScan:
    """The same with its anatomy, blood's share 0 everywhere."""
    scan = open_scan(head_image(grid, seed))[0]
    assert scan.head is not None
    return scan


def clipped(image: MetaTensor) -> MetaTensor:
    """As a brain window of −20…100 HU shows it."""
    return image.clamp(-20, 100)
