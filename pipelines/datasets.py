"""Studies as PyTorch data sets: whole for inference, slice by slice for training."""

import json
import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import CacheDataset, Dataset, load_decathlon_datalist
from monai.transforms import Compose, Randomizable, Transform

from sliceweave.pipelines.errors import InputError, reason_of
from sliceweave.pipelines.studies import find_studies
from sliceweave.transforms import gather_slab

Case = dict[Hashable, Any]
logger = logging.getLogger(__name__)


def datalist(dataset_dir: str | None, labelled: bool = False) -> list[dict[str, str]]:
    """MONAI's list of cases, `study_id`, `image` and, where there is one, `label`, from whatever `find_studies` takes.

    Args:
        labelled: leave out studies without a label, and complain if none is left.

    Raises:
        InputError: nothing to work on.
    """
    if dataset_dir is None:
        raise InputError("no studies given: pass --dataset_dir FOLDER, FILE, 'GLOB' or TABLE.csv")
    studies = find_studies(str(dataset_dir))
    cases = [
        {"study_id": s.study_id, "image": str(s.image)} | ({"label": str(s.label)} if s.label else {}) for s in studies
    ]
    if not labelled:
        return cases
    if not (pairs := [case for case in cases if "label" in case]):
        raise InputError(
            f"{dataset_dir}: none of {len(cases)} studies has a label: expected images/ and labels/ beside it"
        )
    return pairs


def split(dataset_dir: str | None, validation_share: float, seed: int) -> dict[str, list[dict[str, str]]]:
    """The labelled cases as `{"train", "validation"}`.

    A folder that `sliceweave prepare` made has its patients split already, and its test patients take no part. Other
    studies are drawn by seed, at least one for validation. A share of 1 validates on whatever is there.

    Raises:
        InputError: nothing to work on, or nothing left to train on.
    """
    if not 0 < validation_share <= 1:
        raise InputError(f"--validation_share is above 0 and at most 1, got {validation_share}")
    cases = datalist(dataset_dir, labelled=True)
    prepared = Path(str(dataset_dir), "datalist.json")
    if validation_share < 1 and is_prepared(prepared):
        return {part: _prepared(prepared, key) for part, key in (("train", "training"), ("validation", "validation"))}
    order = np.random.default_rng(seed).permutation(len(cases))
    count = math.ceil(validation_share * len(cases))
    parts = {
        "validation": [cases[i] for i in sorted(order[:count])],
        "train": [cases[i] for i in sorted(order[count:])],
    }
    if validation_share < 1 and not parts["train"]:
        raise InputError(f"{dataset_dir}: {len(cases)} labelled studies are too few to train and to validate on")
    return parts


def is_prepared(path: Path) -> bool:
    """Whether a file is the list of studies that `sliceweave prepare` writes."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "prepared" in content


def _prepared(path: Path, split_name: str) -> list[dict[str, str]]:
    """The cases of one split of a list that `sliceweave prepare` wrote."""
    try:
        items = load_decathlon_datalist(str(path), is_segmentation=True, data_list_key=split_name)
        cases = [{key: item[key] for key in ("study_id", "image", "label")} for item in items]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected the list that prepare wrote ({error}); prepare the folder again") from error
    if not cases:
        raise InputError(f"{path}: expected {split_name} studies, got none; prepare the folder with a --split that has")
    return cases


class CheckLabeld(Transform):
    """A case as it is, once its label is known to lie on its image's grid and to hold only known values.

    Args:
        values: what the label may hold, 0 among them.

    Raises:
        InputError: it does not; says which file and why.
    """

    def __init__(self, values: Sequence[int]) -> None:
        self.values = list(values)

    def __call__(self, data: Mapping[Hashable, Any]) -> Mapping[Hashable, Any]:
        image, label = data["image"], data["label"]
        name = label.meta["filename_or_obj"]
        if image.shape != label.shape or not np.allclose(image.affine, label.affine, rtol=0, atol=0.01):
            raise InputError(f"{name}: does not lie on the grid of {image.meta['filename_or_obj']}: resample the label")
        if unknown := sorted(set(np.unique(label).tolist()) - set(self.values)):
            raise InputError(f"{name}: holds the values {unknown[:5]}, expected {self.values}: recode the label")
        return data


class StudyDataset(Dataset):
    """Each study transformed; one that fails becomes `{"study_id", "image", "reason"}` instead of ending the run."""

    def __getitem__(self, index: Any) -> Any:
        try:
            return super().__getitem__(index)
        except Exception as error:  # whatever is wrong with one study, the others go on
            logger.debug("study failed", exc_info=error)
            case = self.data[index]
            return {"study_id": case["study_id"], "image": case["image"], "reason": reason_of(error)}


class SlabDataset(Randomizable, Dataset):
    """Training samples: every slice with a lesion and a drawn share of the others, cut from cached volumes.

    A sample is `{"image": (C·slab, *plane), "label": (C, *plane)}`.

    Args:
        data: cases with `image` and `label`.
        transform: deterministic preprocessing of a whole volume; runs once per study.
        augmentation: random transforms of one sample.
        slab: slices per sample, odd.
        axis: spatial axis along which slices are stacked.
        empty_share: slices without label drawn per slice with one; drawn once, by `seed`.
    """

    def __init__(
        self,
        data: Sequence[Case],
        transform: Callable[..., Any],
        augmentation: Callable[..., Any] | None = None,
        slab: int = 1,
        axis: int = 2,
        empty_share: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.volumes = CacheDataset(data, transform, progress=True)
        super().__init__(data, augmentation if augmentation is not None else Compose([]))
        self.slab = slab
        self.axis = axis
        self.set_random_state(seed)
        self.samples = self.draw(empty_share)

    def draw(self, empty_share: float) -> list[tuple[int, int]]:
        """(study, slice) of every slice with a label, then of the drawn ones without."""
        marked = [self.marked_slices(study) for study in range(len(self.volumes))]
        full = [(study, index) for study, marks in enumerate(marked) for index in np.flatnonzero(marks)]
        empty = [(study, index) for study, marks in enumerate(marked) for index in np.flatnonzero(~marks)]
        count = min(len(empty), round(empty_share * max(len(full), 1)))
        picks = np.sort(self.R.permutation(len(empty))[:count])
        return full + [empty[i] for i in picks]

    def marked_slices(self, study: int) -> np.ndarray:
        label = self.volumes[study]["label"]
        return np.asarray(label.movedim(self.axis + 1, 0).flatten(1).any(1))

    def __len__(self) -> int:
        return len(self.samples)

    def _transform(self, index: int) -> Any:
        study, position = self.samples[index]
        case = self.volumes[study]
        sample = {
            "image": gather_slab(case["image"], int(position), self.slab, self.axis),
            "label": gather_slab(case["label"], int(position), 1, self.axis),
        }
        return self.transform(sample)
