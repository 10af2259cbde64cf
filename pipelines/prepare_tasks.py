"""What `prepare` knows about each task: its labels, and the data sets that come with them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

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

Finder = Callable[[SourceFiles, PrepareOptions], list[Case]]


@dataclass(frozen=True)
class PrepareTask:
    """One task: its labels, the formats in the order in which they claim files, and how its pictures are shown.

    Attributes:
        labels: name by value.
        has_volume: whether the third axis is a length; in a video it is time, and the largest area is what counts.
        ras_axis: patient axis along which slices are looked at.
        window_hu: lowest and highest value shown; None takes the image's own 1st and 99th percentile.
    """

    name: str
    labels: Mapping[int, str]
    finders: tuple[Finder, ...]
    has_volume: bool = True
    ras_axis: int = 2
    window_hu: tuple[float, float] | None = None


_TASKS = (
    PrepareTask(
        "hematoma",
        {1: "hematoma"},
        (find_ct_ich_jpg, find_ct_ich_nifti, find_labelme_ct, find_dicom, find_plain_ct),
        window_hu=(0, 100),
    ),
    PrepareTask(
        "lung_infection",
        {1: "infection"},
        (find_covid, find_dicom, partial(find_plain_ct, window_hu=CHEST_WINDOW_HU)),
        window_hu=CHEST_WINDOW_HU,
    ),
    PrepareTask("liver_tumor", {1: "tumor"}, (find_liver, find_dicom, find_plain_ct), window_hu=(-20, 140)),
    PrepareTask(
        "knee_cartilage",
        {1: "femoral_cartilage", 2: "tibial_cartilage"},
        (find_oai_zib, find_dicom, find_plain),
        ras_axis=0,
    ),
    PrepareTask(
        "echo_left_ventricle",
        {1: "left_ventricle"},
        (find_echonet, find_camus, find_labelme_echo, find_plain),
        has_volume=False,
        window_hu=(0, 255),
    ),
)
TASK_NAMES = tuple(task.name for task in _TASKS)


def prepare_task(name: str) -> PrepareTask:
    """The task of that name. Raises InputError where there is none."""
    for task in _TASKS:
        if task.name == name:
            return task
    raise InputError(f"task '{name}': expected one of {', '.join(TASK_NAMES)}")
