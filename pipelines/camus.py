"""CAMUS: end-diastolic and end-systolic frames of two views, as MetaImage or NIfTI files beside their labels.

Leclerc et al. 2019, doi:10.1109/TMI.2019.2900516. The cine sequences are left out: the benchmark is on these
frames, and older copies have no labels for the others.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack, SourceFiles, broken
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.volume_pairs import by_study, open_named, paired

log = logging.getLogger(__name__)

_FRAME = r"(?P<study>(?P<patient>patient\d+)_[24]CH_E[DS])(?P<gt>_gt)?\.(?:mhd|nii(?:\.gz)?)"
_SEQUENCE = r"patient\d+_[24]CH_(?:half_)?sequence(?:_gt)?\.(?:mhd|nii(?:\.gz)?)"
_BESIDES = r"(?:patient\d+_[24]CH_\w+\.z?raw|Info_[24]CH\.cfg)"
_SPLIT_LIST = r"subgroup_(training|validation|testing)\.txt"
_SPLITS = {"training": "training", "validation": "validation", "testing": "test"}
_CAVITY = {0: 0, 1: 1, 2: 0, 3: 0}  # 1 cavity, 2 myocardium, 3 left atrium


def find_camus(files: SourceFiles, _options: PrepareOptions) -> list[Case]:
    """A case of one frame for each view and phase, with the cavity as label and the split of its patient."""
    frames, sequences = files.named(_FRAME), files.named(_SEQUENCE)
    splits = _splits(files) if frames else {}
    labels = [(match["study"], path) for path, match in frames if match["gt"]]
    images = _without_hidden_test_set(files.root, [(m["study"], path) for path, m in frames if not m["gt"]], labels)
    for pattern in (_FRAME, _SEQUENCE, *((_BESIDES, _SPLIT_LIST) if frames or sequences else ())):
        files.take(path for path, _ in files.named(pattern))
    if sequences:
        log.info("CAMUS: left out %d cine sequences", len(sequences))
    return [_with_patient(case, splits) for case in paired(by_study(images), by_study(labels), _case)]


def _without_hidden_test_set(
    root: Path, images: list[tuple[str, Path]], labels: list[tuple[str, Path]]
) -> list[tuple[str, Path]]:
    """The images but those of a folder `testing` that came without labels and names its patients as `training` does."""
    labelled = {path.parent for _, path in labels}
    hidden = [
        (study_id, path)
        for study_id, path in images
        if path.parent not in labelled and "testing" in path.relative_to(root).parts
    ]
    if hidden:
        log.info("CAMUS: left out %d images of the test set, which came without labels", len(hidden))
    return [image for image in images if image not in hidden]


def _splits(files: SourceFiles) -> dict[str, set[str]]:
    """The splits that the lists of the data set put each patient in."""
    splits: dict[str, set[str]] = defaultdict(set)
    for path, match in files.named(_SPLIT_LIST):
        try:
            patients = path.read_text("utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: expected a list of patients, but {error}; copy it again") from error
        for patient in patients:
            splits[patient.lower()].add(_SPLITS[match[1].lower()])
    return splits


def _case(study_id: str, image: Path, label: Path) -> Case:
    return Case(study_id, partial(_frame, image), partial(_frame, label), _CAVITY, files=(image, label))


def _with_patient(case: Case, splits: Mapping[str, set[str]]) -> Case:
    patient = case.study_id.split("_")[0]
    own = sorted(splits.get(patient.lower(), ()))
    if len(own) > 1:
        reason = f"expected {patient} in one split, found it in two splits ({' and '.join(own)}); correct the lists"
        return broken(case.study_id, reason, patient)
    return replace(case, patient=patient, split="".join(own))


def _frame(path: Path) -> SliceStack:
    """The one frame of a file, in its plane as the file says and with a time step of 1."""
    stack = open_named(path)
    if stack.geometry.shape[2] != 1:
        raise InputError(f"{path.name}: expected one frame, got {stack.geometry.shape[2]}; export the one frame")
    affine_ras = stack.geometry.affine_ras.copy()
    affine_ras[:3, 2] = stack.geometry.slice_normal_ras
    return replace(stack, geometry=Geometry(affine_ras, stack.geometry.shape), header=None)
