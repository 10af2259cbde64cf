"""What happens to one case: array transforms and their dictionary twins, in MONAI's form."""

from sliceweave.transforms.appearance import APPEARANCE_CHANCES, RandomizeAppearance, RandomizeAppearanced
from sliceweave.transforms.bone import MarkBoned, NoBloodInBoned
from sliceweave.transforms.hard_negatives import (
    HARD_NEGATIVE_CHANCES,
    SynthesizeHardNegatives,
    SynthesizeHardNegativesd,
)
from sliceweave.transforms.head_hu import HeadHU, HeadHUd
from sliceweave.transforms.hematoma import KIND_ODDS, SynthesizeHematoma, SynthesizeHematomad
from sliceweave.transforms.intensity import (
    CLAHE,
    WINDOWS_HU,
    CLAHEd,
    MedianDenoise,
    MedianDenoised,
    WindowHU,
    WindowHUd,
)
from sliceweave.transforms.lean import LeanCompose
from sliceweave.transforms.neck import NoBloodInNeckd
from sliceweave.transforms.regions import CropToRegiond
from sliceweave.transforms.scan_mask import MaskOnScand
from sliceweave.transforms.slab import AdjacentSlices, AdjacentSlicesd, gather_slab
from sliceweave.transforms.slice_scores import SliceScoresd
from sliceweave.transforms.sure_lesions import KeepSureLesions, KeepSureLesionsd

__all__ = [
    "APPEARANCE_CHANCES",
    "CLAHE",
    "HARD_NEGATIVE_CHANCES",
    "KIND_ODDS",
    "WINDOWS_HU",
    "AdjacentSlices",
    "AdjacentSlicesd",
    "CLAHEd",
    "CropToRegiond",
    "HeadHU",
    "HeadHUd",
    "KeepSureLesions",
    "KeepSureLesionsd",
    "LeanCompose",
    "MarkBoned",
    "MaskOnScand",
    "MedianDenoise",
    "MedianDenoised",
    "NoBloodInBoned",
    "NoBloodInNeckd",
    "RandomizeAppearance",
    "RandomizeAppearanced",
    "SliceScoresd",
    "SynthesizeHardNegatives",
    "SynthesizeHardNegativesd",
    "SynthesizeHematoma",
    "SynthesizeHematomad",
    "WindowHU",
    "WindowHUd",
    "gather_slab",
]
