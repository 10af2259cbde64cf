"""Data sets that are pairs of NIfTI files under their own names: LiTS, MSD Task03_Liver and CT-ICH 1.3.1."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.volume_pairs import by_study, open_named, paired

_NIFTI = r"\.nii(?:\.gz)?"
_LIVER_AND_TUMOUR = {0: 0, 1: 0, 2: 1}
_HAEMORRHAGE = {0: 0, 1: 1, 255: 1}


def find_liver(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """LiTS (`volume-N.nii`, `segmentation-N.nii`) or MSD Task03 (`imagesTr/liver_N.nii.gz`, `labelsTr/`).

    In both 1 is liver and 2 tumour, each in one folder or several.

    Raises:
        InputError: both are there. Task03 is made of LiTS's studies, so patients would stand on two sides.
    """
    lits = rf"volume-(\d+){_NIFTI}", rf"segmentation-(\d+){_NIFTI}"
    msd = rf"imagesTr/(liver_\d+){_NIFTI}", rf"labelsTr/(liver_\d+){_NIFTI}"
    first, second = _pairs(files, lits, "volume-{}", _LIVER_AND_TUMOUR), _pairs(files, msd, "{}", _LIVER_AND_TUMOUR)
    if first and second:
        raise InputError(f"{files.root} holds LiTS and MSD Task03, which are the same patients; prepare one of them")
    return first + second


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
        return Case(name, partial(open_named, image), partial(open_named, label), coding, files=(image, label))

    return paired(images, labels, case)
