"""COVID-19 CT: the three public sets of labelled lung CT.

Set 1 (medicalsegmentation.com: 100 slices of unknown patients in one file), set 2 of the same source (Radiopaedia
volumes, numbered) and the 20 cases of Ma et al. 2021, doi:10.1002/mp.14676, under the names of Zenodo and of Kaggle.
"""

import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack, SourceFiles, broken
from sliceweave.pipelines.eight_bit_ct import in_hu
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.loose_pages import LoosePages
from sliceweave.pipelines.volume_pairs import by_study, mismatch, open_named, paired

log = logging.getLogger(__name__)

_PAGES = r"(?P<kind>tr_im|tr_mask|val_im|tr_lung\w*)\.nii(?:\.gz)?"
_NUMBERED = r"(?P<kind>rp_im|rp_msk|rp_lung_msk)/(?P<number>\d+)\.nii(?:\.gz)?"
_CORONACASE = r"coronacases_(?:org_)?(?:case)?(?P<corona>\d+)"
_RADIOPAEDIA = r"radiopaedia_(?:org_covid-19-pneumonia-)?(?P<case>\d+)_(?P<series>\d+_\d+)(?:-dcm)?"
_TWENTY = rf"(?:{_CORONACASE}|{_RADIOPAEDIA})\.nii(?:\.gz)?"
_LUNG_FOLDERS = ("lung_mask", "lung_and_infection_mask")
_INFECTION_FOLDER = "infection_mask"
_LESIONS = {0: 0, 1: 1, 2: 1, 3: 0}  # 1 ground glass, 2 consolidation, 3 pleural effusion
_INFECTION = {0: 0, 1: 1}
_SET_1 = "covid_set1"

OpenImage = Callable[[Path], SliceStack]


def find_covid(files: SourceFiles, options: PrepareOptions) -> list[Case]:
    """Cases of all three sets; volumes of 8-bit grey come out in HU."""
    open_image = partial(_image, window_hu=options.window_hu)
    numbered, twenty = _numbered(files, open_image), _twenty(files, open_image)
    if numbered and any(case.patient.startswith("radiopaedia") for case in twenty):
        log.warning("set 2 (rp_im) and the 20 cases may share Radiopaedia patients; prepare one of them to be sure")
    return [*_single_slices(files, open_image), *numbered, *twenty]


def _image(path: Path, window_hu: tuple[float, float] | None) -> SliceStack:
    return in_hu(open_named(path), window_hu)


def _single_slices(files: SourceFiles, open_image: OpenImage) -> list[Case]:
    """The pages of set 1, a study each; as nobody knows which are of one patient, all stay on the training side."""
    found = files.named(_PAGES)
    files.take(path for path, _ in found)
    by_kind = by_study((match["kind"].lower(), path) for path, match in found)
    if "val_im" in by_kind:
        log.info("COVID-19 CT: left out val_im, whose slices have no labels")
    images, labels = by_kind.get("tr_im", []), by_kind.get("tr_mask", [])
    if not images and not labels:
        return []
    reason = mismatch(images, labels)
    return [broken(_SET_1, reason, _SET_1)] if reason else _pages(images[0], labels[0], open_image)


def _pages(image: Path, label: Path, open_image: OpenImage) -> list[Case]:
    try:
        shapes = [open_named(path).geometry.shape for path in (image, label)]
    except InputError as error:
        return [broken(_SET_1, str(error), _SET_1)]
    if shapes[0] != shapes[1]:
        texts = " and ".join("x".join(map(str, shape)) for shape in shapes)
        reason = f"expected the same pages in {image.name} and {label.name}, got {texts}; copy both again"
        return [broken(_SET_1, reason, _SET_1)]
    files = (image, label)
    images, labels = LoosePages(partial(open_image, image)), LoosePages(partial(open_named, label))
    return [
        Case(f"{_SET_1}_{n:03d}", partial(images.page, n), partial(labels.page, n), _LESIONS, _SET_1, "training", files)
        for n in range(shapes[0][2])
    ]


def _numbered(files: SourceFiles, open_image: OpenImage) -> list[Case]:
    """The volumes of set 2, each taken for a patient."""
    found = files.named(_NUMBERED)
    files.take(path for path, _ in found)
    by_kind = {
        kind: by_study((f"covid_rp_{m['number']}", path) for path, m in found if m["kind"].lower() == kind)
        for kind in ("rp_im", "rp_msk")
    }
    make = partial(_volume_case, open_image=open_image, coding=_LESIONS)
    return paired(by_kind["rp_im"], by_kind["rp_msk"], make)


def _twenty(files: SourceFiles, open_image: OpenImage) -> list[Case]:
    """The 20 cases; two series of one Radiopaedia case are one patient's."""
    found = files.named(_TWENTY)
    files.take(path for path, _ in found)
    kept = [(_twenty_id(match), path) for path, match in found if path.parent.name.lower() not in _LUNG_FOLDERS]
    images = by_study(pair for pair in kept if not _is_infection(pair[1]))
    labels = by_study(pair for pair in kept if _is_infection(pair[1]))
    return paired(images, labels, partial(_volume_case, open_image=open_image, coding=_INFECTION))


def _is_infection(path: Path) -> bool:
    return path.parent.name.lower() == _INFECTION_FOLDER


def _twenty_id(match: re.Match[str]) -> str:
    """The name that Zenodo gives the case, whichever it has here."""
    if match["corona"]:
        return f"coronacases_{match['corona']}"
    return f"radiopaedia_{match['case']}_{match['series']}"


def _volume_case(study_id: str, image: Path, label: Path, open_image: OpenImage, coding: Mapping[int, int]) -> Case:
    patient = "_".join(study_id.split("_")[:2]) if study_id.startswith("radiopaedia") else study_id
    return Case(study_id, partial(open_image, image), partial(open_named, label), coding, patient, files=(image, label))
