"""Data sets that are pairs of NIfTI files under their own names: LiTS, MSD Task03_Liver and CT-ICH 1.3.1."""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles, broken
from sliceweave.pipelines.volume_stacks import open_volume

_NIFTI = r"\.nii(?:\.gz)?"
_LIVER_AND_TUMOUR = {0: 0, 1: 0, 2: 1}


def find_lits(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """LiTS: `volume-N.nii` and `segmentation-N.nii`, in one folder or several; 1 liver, 2 tumour."""
    return _pairs(files, (rf"(volume-\d+){_NIFTI}", rf"segmentation-(\d+){_NIFTI}"), "volume-{}", _LIVER_AND_TUMOUR)


def find_msd_liver(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """MSD Task03: `imagesTr/liver_N.nii.gz` and `labelsTr/liver_N.nii.gz`; `imagesTs` has no labels."""
    patterns = rf"imagesTr/(liver_\d+){_NIFTI}", rf"labelsTr/(liver_\d+){_NIFTI}"
    return _pairs(files, patterns, "{}", _LIVER_AND_TUMOUR)


def find_ct_ich_nifti(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """CT-ICH 1.3.1: `ct_scans/NNN.nii` and `masks/NNN.nii`, haemorrhage 1 or 255."""
    patterns = rf"ct_scans/(\d+){_NIFTI}", rf"masks/(\d+){_NIFTI}"
    return _pairs(files, patterns, "{}", {0: 0, 1: 1, 255: 1}, prefix="ct_ich_")


def _pairs(
    files: SourceFiles, patterns: tuple[str, str], label_key: str, coding: Mapping[int, int], prefix: str = ""
) -> list[Case]:
    """The cases of image and label files whose patterns catch the same key; the key is the patient."""
    images, labels = (_by_key(files, pattern, key) for pattern, key in zip(patterns, ("{}", label_key), strict=True))
    if not images:
        return []
    files.take(path for found in (images, labels) for paths in found.values() for path in paths)
    return [_pair(prefix + key, images[key], labels[key], coding) for key in sorted(images.keys() | labels.keys())]


def _by_key(files: SourceFiles, pattern: str, key: str) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path, match in files.named(pattern):
        found[key.format(match[1])].append(path)
    return found


def _pair(study_id: str, images: list[Path], labels: list[Path], coding: Mapping[int, int]) -> Case:
    for what, paths in (("image", images), ("label", labels)):
        if len(paths) != 1:
            got = ", ".join(path.parent.name + "/" + path.name for path in paths) or "none"
            return broken(study_id, f"expected one {what}, got {got}; copy the missing one or remove the others")
    return Case(study_id, partial(open_volume, images[0]), partial(open_volume, labels[0]), coding)
