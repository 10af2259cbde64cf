"""What `prepare` knows about each task: what its bundle says, and the data sets that come with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sliceweave.pipelines.bundles import labels_of
from sliceweave.pipelines.camus import find_camus
from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles
from sliceweave.pipelines.covid_ct import find_covid
from sliceweave.pipelines.ct_ich import find_ct_ich_jpg
from sliceweave.pipelines.dicom_series import find_dicom
from sliceweave.pipelines.echonet import find_echonet
from sliceweave.pipelines.eight_bit_ct import CHEST_WINDOW_HU, find_plain_ct
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.labelme_studies import find_labelme_ct, find_labelme_echo
from sliceweave.pipelines.nifti_sets import find_ct_ich_nifti, find_liver
from sliceweave.pipelines.oai_zib import find_oai_zib
from sliceweave.pipelines.plain_volumes import find_plain
from sliceweave.pipelines.study_kind import StudyKind, study_kind

Finder = Callable[[SourceFiles, PrepareOptions], list[Case]]


@dataclass(frozen=True)
class PrepareTask:
    """One task: its labels' names by value, its studies, and the formats in the order in which they claim files."""

    name: str
    labels: Mapping[int, str]
    kind: StudyKind
    finders: tuple[Finder, ...]


_FINDERS: Mapping[str, tuple[Finder, ...]] = {
    "hematoma": (find_ct_ich_jpg, find_ct_ich_nifti, find_labelme_ct, find_dicom, find_plain_ct),
    "lung_infection": (find_covid, find_dicom, partial(find_plain_ct, window_hu=CHEST_WINDOW_HU)),
    "liver_tumor": (find_liver, find_dicom, find_plain_ct),
    "knee_cartilage": (find_oai_zib, find_dicom, find_plain),
    "echo_left_ventricle": (find_echonet, find_camus, find_labelme_echo, find_plain),
}
TASK_NAMES = tuple(_FINDERS)


def prepare_task(name: str) -> PrepareTask:
    """The task of that name. Raises InputError where there is none."""
    if name not in _FINDERS:
        raise InputError(f"task '{name}': expected one of {', '.join(TASK_NAMES)}")
    return PrepareTask(name, labels_of(name), study_kind(name), _FINDERS[name])
