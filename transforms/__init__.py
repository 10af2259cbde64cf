"""What happens to one case: array transforms and their dictionary twins, in MONAI's form."""

from sliceweave.transforms.head_hu import HeadHU, HeadHUd
from sliceweave.transforms.intensity import (
    CLAHE,
    WINDOWS_HU,
    CLAHEd,
    MedianDenoise,
    MedianDenoised,
    WindowHU,
    WindowHUd,
)
from sliceweave.transforms.regions import CropToRegiond
from sliceweave.transforms.slab import AdjacentSlices, AdjacentSlicesd, gather_slab

__all__ = [
    "CLAHE",
    "WINDOWS_HU",
    "AdjacentSlices",
    "AdjacentSlicesd",
    "CLAHEd",
    "CropToRegiond",
    "HeadHU",
    "HeadHUd",
    "MedianDenoise",
    "MedianDenoised",
    "WindowHU",
    "WindowHUd",
    "gather_slab",
]
