"""Data sets that are pairs of NIfTI files under their own names: LiTS, MSD Task03_Liver and CT-ICH 1.3.1."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles
from sliceweave.pipelines.volume_pairs import by_study, open_named, paired

_NIFTI = r"\.nii(?:\.gz)?"
_LIVER_AND_TUMOUR = {0: 0, 1: 0, 2: 1}
_HAEMORRHAGE = {0: 0, 1: 1, 255: 1}


def find_lits(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """LiTS: `volume-N.nii` and `segmentation-N.nii`, in one folder or several; 1 liver, 2 tumour."""
    patterns = rf"volume-(\d+){_NIFTI}", rf"segmentation-(\d+){_NIFTI}"
    return _pairs(files, patterns, "volume-{}", _LIVER_AND_TUMOUR)


def find_msd_liver(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """MSD Task03: `imagesTr/liver_N.nii.gz` and `labelsTr/liver_N.nii.gz`; 1 liver, 2 tumour."""
    patterns = rf"imagesTr/(liver_\d+){_NIFTI}", rf"labelsTr/(liver_\d+){_NIFTI}"
    return _pairs(files, patterns, "{}", _LIVER_AND_TUMOUR)


def find_ct_ich_nifti(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """CT-ICH 1.3.1: `ct_scans/NNN.nii` and `masks/NNN.nii`, haemorrhage 1 or 255."""
    patterns = rf"ct_scans/(\d+){_NIFTI}", rf"masks/(\d+){_NIFTI}"
    return _pairs(files, patterns, "patient{}", _HAEMORRHAGE)


def _pairs(files: SourceFiles, patterns: tuple[str, str], study_id: str, coding: Mapping[int, int]) -> list[Case]:
    """The cases of the files that the image's and the label's pattern catch the same key of; each is a patient."""
    found = [files.named(pattern) for pattern in patterns]
    if not all(found):
        return []
    files.take(path for matches in found for path, _ in matches)
    images, labels = (by_study((study_id.format(match[1]), path) for path, match in matches) for matches in found)

    def case(name: str, image: Path, label: Path) -> Case:
        return Case(name, partial(open_named, image), partial(open_named, label), coding)

    return paired(images, labels, case)
