"""Which studies take part in what, and studies as PyTorch data sets: for inference, training and validation."""

import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import Dataset
from monai.transforms import Randomizable, Transform
from monai.utils import MAX_SEED, convert_to_tensor

from sliceweave.pipelines.cuts import Cut, Sample
from sliceweave.pipelines.errors import InputError, logged_reason
from sliceweave.pipelines.geometry import lie_together
from sliceweave.pipelines.prepared_folder import PreparedList
from sliceweave.pipelines.sampling import Draw
from sliceweave.pipelines.splits import SPLITS
from sliceweave.pipelines.studies import find_studies, id_of
from sliceweave.pipelines.volume_cache import Case, Chain, VolumeCache

logger = logging.getLogger(__name__)

_LEFT_OUT_NAMED = 3


def datalist(dataset_dir: str | None, labelled: bool = False) -> list[dict[str, str]]:
    """MONAI's list of cases, `study_id`, `image` and, where there is one, `label`, from whatever `find_studies` takes.

    Args:
        labelled: leave out studies without a label, say which, and complain if none is left.

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
    if left_out := [case["study_id"] for case in cases if "label" not in case]:
        named = ", ".join(left_out[:_LEFT_OUT_NAMED]) + (", …" if len(left_out) > _LEFT_OUT_NAMED else "")
        logger.warning("%d of %d studies have no label and are left out: %s", len(left_out), len(cases), named)
    return pairs


def split(dataset_dir: str | None, validation_share: float, seed: int) -> dict[str, list[dict[str, str]]]:
    """The labelled cases as `{"train", "validation"}`.

    A folder that `sliceweave prepare` made has its patients split already, and its test patients take no part. Other
    studies are drawn by seed, at least one for validation. A share of 1 validates on whatever is there.

    Raises:
        InputError: nothing to work on, or nothing left to train on.
    """
    if validation_share is True or not isinstance(validation_share, int | float) or not 0 < validation_share <= 1:
        raise InputError(f"--validation_share is a number above 0 and at most 1, got {validation_share!r}")
    cases = datalist(dataset_dir, labelled=True)
    prepared = PreparedList.found_in(str(dataset_dir))
    if prepared and validation_share < 1:
        return {"train": prepared.cases("training"), "validation": prepared.cases("validation")}
    order = np.random.default_rng(seed).permutation(len(cases))
    count = math.ceil(validation_share * len(cases))
    parts = {
        "validation": [cases[i] for i in sorted(order[:count])],
        "train": [cases[i] for i in sorted(order[count:])],
    }
    if validation_share < 1 and not parts["train"]:
        raise InputError(f"{dataset_dir}: {len(cases)} labelled studies are too few to train and to validate on")
    return parts


def chosen(dataset_dir: str | None, split: str | None = None) -> list[dict[str, str]]:
    """The labelled cases to evaluate.

    Args:
        split: `training`, `validation` or `test` of a folder that `sliceweave prepare` made, or `all`. Left out, the
            test patients of such a folder if it has any, and all studies of anything else.

    Raises:
        InputError: nothing to work on, an unknown split, or studies that are not split.
    """
    if split not in (None, "all", *SPLITS):
        raise InputError(f"--split is one of {', '.join(SPLITS)}, all; got {split!r}")
    cases = datalist(dataset_dir, labelled=True)
    prepared = PreparedList.found_in(str(dataset_dir))
    if split == "all" or (split is None and not (prepared and prepared.content.get("test"))):
        return cases
    if prepared is None:
        raise InputError(f"{dataset_dir}: --split {split} needs a folder that sliceweave prepare made; leave it out")
    return prepared.cases(split or "test")


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
        if image.shape != label.shape or not lie_together(image.affine.numpy(), label.affine.numpy(), image.shape[1:]):
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
            case = self.data[index]
            name = case.get("study_id") or id_of(Path(case["image"]))
            return {"study_id": name, "image": case["image"], "reason": logged_reason(error)}


class SampleDataset(Dataset):
    """Samples `{"image", "label"}`, float32 in the cut's shape, from volumes that are preprocessed once and kept.

    An epoch has every position with a marked pixel and a drawn share of the others. Which these are, how sample `i` is
    cropped and how it is augmented depend on seed, epoch and `i` alone: an epoch can be repeated, on any number of
    worker processes, persistent ones too.

    Args:
        data: cases with `image` and `label`.
        transform: deterministic preprocessing of a whole volume.
        cut: how a sample is made from a volume.
        draw: how many empty samples, and the seed.
        cache_dir: folder for the preprocessed volumes.
        augmentation: random transforms of one sample, in the plane.

    Raises:
        InputError: cases that cannot be used, or none with a marked pixel: there is nothing to learn.
    """

    def __init__(
        self,
        data: Sequence[Case],
        transform: Chain,
        cut: Cut,
        draw: Draw,
        cache_dir: str | Path,
        augmentation: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(data, transform)
        self.volumes = VolumeCache(data, transform, cache_dir)
        self.cut = cut
        self.draw = draw
        self.augmentation = augmentation
        self.full, self.empty = self._places()
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that are already running
        self._picked = (-1, np.empty(0, np.int64))

    def set_epoch(self, epoch: int) -> None:
        """Draws from now on as this epoch does."""
        self.epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.full) + self.draw.count(len(self.full), len(self.empty))

    def _transform(self, index: int) -> Sample:
        index = range(len(self))[index]
        study, slices = self._place(index)
        rng = self.draw.rng(int(self.epoch), index + 1)
        augmentation_seed = int(rng.integers(MAX_SEED))
        sample: Any = self.cut.cut(self.volumes[study], slices, rng)
        if isinstance(self.augmentation, Randomizable):
            self.augmentation.set_random_state(augmentation_seed)
        if self.augmentation is not None:
            sample = self.augmentation(sample)
        return self.cut.finish({key: convert_to_tensor(sample[key], dtype=torch.float32) for key in ("image", "label")})

    def _place(self, index: int) -> tuple[int, range]:
        if index < len(self.full):
            return self.full[index]
        epoch = int(self.epoch)
        if self._picked[0] != epoch:
            self._picked = epoch, self.draw.picks(len(self.full), len(self.empty), epoch)
        return self.empty[self._picked[1][index - len(self.full)]]

    def _places(self) -> tuple[list[tuple[int, range]], list[tuple[int, range]]]:
        """(study, slices) of the positions with a marked pixel, and of those without."""
        places: dict[bool, list[tuple[int, range]]] = {True: [], False: []}
        for study, volume in enumerate(self.volumes):
            for slices in self.cut.positions(len(volume.marked)):
                places[bool(volume.marked[slices.start : slices.stop].any())].append((study, slices))
        if not places[True]:
            raise InputError(
                f"none of {len(self.volumes)} training studies has a marked pixel: "
                "expected labels that mark something; check labels/ and the task"
            )
        return places[True], places[False]


class VolumeDataset(Dataset):
    """Whole preprocessed cases for validation: each as the chain left it, but for float16's rounding of the image.

    `image` and `label` are MetaTensors (C, H, W, slices) float32 with affine and metadata; what else a case has, such
    as its `study_id`, stays. Arguments and errors as `VolumeCache`.
    """

    def __init__(self, data: Sequence[Case], transform: Chain, cache_dir: str | Path) -> None:
        super().__init__(data, transform)
        self.volumes = VolumeCache(data, transform, cache_dir)

    def _transform(self, index: int) -> dict[Hashable, Any]:
        volume = self.volumes[index]
        return {**self.data[index], "image": volume.whole("image"), "label": volume.whole("label")}
