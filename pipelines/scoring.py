"""How well a predicted mask agrees with the true one: the metrics of one case, as pure functions.

Nothing is ever left out of a mean because a mask is empty. Both empty is perfect: dice, iou, precision and recall 1,
rvd and distances 0. If exactly one is empty, dice, iou, precision and recall are 0, rvd is -1 (missed) or +1 (false
alarm), and distances are the diagonal of the scan. Where the truth has no lesion, lesion_sensitivity is 1, or 0 if
something is predicted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.lesion_detection import Detection, detect_lesions
from sliceweave.pipelines.surface_distances import SurfaceDistances, surface_distances
from sliceweave.pipelines.volumetry import volume_ml

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Overlap:
    """Voxels of one class: how many are predicted, are true, are both, and how many the scan has.

    The sum of two overlaps is that of two scans taken together (pooled).
    """

    predicted: int
    true: int
    both: int
    voxels: int

    def __add__(self, other: "Overlap") -> "Overlap":
        return Overlap(
            self.predicted + other.predicted, self.true + other.true, self.both + other.both, self.voxels + other.voxels
        )

    @property
    def dice(self) -> float:
        return _share(2 * self.both, self.predicted + self.true)

    @property
    def iou(self) -> float:
        return _share(self.both, self.predicted + self.true - self.both)

    @property
    def precision(self) -> float:
        return _share(self.both, self.predicted, other=self.true)

    @property
    def recall(self) -> float:
        return _share(self.both, self.true, other=self.predicted)

    @property
    def accuracy(self) -> float:
        """Share of the scan's voxels on which it is right whether they belong to the class."""
        return 1 - (self.predicted + self.true - 2 * self.both) / self.voxels


@dataclass(frozen=True)
class LabelScore:
    """One label of one case.

    `rvd` is (predicted - true) / true volume. Volumes and `detection` are None for a video; `distances` are None where
    nobody knows how long a pixel is.
    """

    overlap: Overlap
    rvd: float
    volume_ml: float | None
    reference_volume_ml: float | None
    distances: SurfaceDistances | None
    detection: Detection | None

    @classmethod
    def of_nothing(cls, voxels: int) -> "LabelScore":
        """The score of a label that neither mask of a scan of so many voxels holds."""
        return cls(Overlap(0, 0, 0, voxels), 0.0, 0.0, 0.0, SurfaceDistances(0.0, 0.0, 0.0), Detection(0, 0, 0))

    @property
    def volume_error_ml(self) -> float | None:
        """Predicted - true volume."""
        if self.volume_ml is None or self.reference_volume_ml is None:
            return None
        return self.volume_ml - self.reference_volume_ml

    @property
    def metrics(self) -> dict[str, float | None]:
        """All metrics by name, in the order of the tables' columns."""
        overlap = {name: getattr(self.overlap, name) for name in ("precision", "recall", "accuracy")}
        found = self.detection
        return {
            "dice": self.overlap.dice,
            "iou": self.overlap.iou,
            "rvd": self.rvd,
            "abs_rvd": abs(self.rvd),
            **overlap,
            **(self.distances._asdict() if self.distances else dict.fromkeys(SurfaceDistances._fields)),
            "volume_error_ml": self.volume_error_ml,
            "volume_ml": self.volume_ml,
            "reference_volume_ml": self.reference_volume_ml,
            "reference_lesions": found.lesions if found else None,
            "detected_lesions": found.detected if found else None,
            "lesion_sensitivity": found.sensitivity if found else None,
            "false_positive_lesions": found.false_positives if found else None,
        }


@dataclass(frozen=True)
class CaseScore:
    """One case: its labels by name, and the background, which only counts where all classes do."""

    labels: Mapping[str, LabelScore]
    background: Overlap

    @property
    def classes(self) -> list[Overlap]:
        """The background, then each label."""
        return [self.background, *(score.overlap for score in self.labels.values())]

    def without_distances(self) -> "CaseScore":
        """The scores of a case of which nobody knows how long a pixel is."""
        return replace(self, labels={name: replace(score, distances=None) for name, score in self.labels.items()})

    def with_labels(self, names: Sequence[str]) -> "CaseScore":
        """The scores of these labels, in this order; one that neither mask of a scan holds is found perfectly."""
        nothing = LabelScore.of_nothing(self.background.voxels)
        for like in self.labels.values():  # what is not known of a video is not known of this label either
            unknown: dict[str, Any] = {field.name: None for field in fields(like) if getattr(like, field.name) is None}
            nothing = replace(nothing, **unknown)
        return replace(self, labels={name: self.labels.get(name, nothing) for name in names})

    @property
    def mean_iou(self) -> float:
        return mean_iou(self.classes)

    @property
    def accuracy(self) -> float:
        return pixel_accuracy(self.classes)


def mean_iou(classes: list[Overlap]) -> float:
    """Mean IoU of all classes, background included; a class that neither mask holds counts as 1."""
    return sum(overlap.iou for overlap in classes) / len(classes)


def pixel_accuracy(classes: list[Overlap]) -> float:
    """Share of all voxels with the right class."""
    return sum(overlap.both for overlap in classes) / classes[0].voxels


def score_case(
    prediction: NDArray[Any],
    truth: NDArray[Any],
    geometry: Geometry,
    labels: Mapping[int, str],
    has_volume: bool = True,
) -> CaseScore:
    """The metrics of one case from two masks (I, J, K) of class indices on the scan's own grid, 0 the background.

    Overlap counts voxels; volumes use the true thickness of each slice; distances are taken between voxel centres where
    they lie in the patient, so tilt and uneven slices count in full.

    Args:
        labels: names by class index.
        has_volume: False for a video, whose third axis is time: no millilitres and no lesions, rvd of the pixel counts,
            and distances within each frame (see `surface_distances`).

    Raises:
        InputError: a mask does not have the scan's shape.
    """
    for name, mask in (("prediction", prediction), ("label", truth)):
        if mask.shape != geometry.shape:
            raise InputError(f"the {name}'s shape is {mask.shape}, expected its scan's {geometry.shape}")
    scores = {
        name: _label_score(prediction == value, truth == value, geometry, has_volume) for value, name in labels.items()
    }
    return CaseScore(scores, _overlap(prediction == 0, truth == 0))


def _label_score(prediction: Mask, truth: Mask, geometry: Geometry, has_volume: bool) -> LabelScore:
    overlap = _overlap(prediction, truth)
    sizes = float(overlap.predicted), float(overlap.true)
    if has_volume:
        sizes = volume_ml(prediction, geometry), volume_ml(truth, geometry)
    predicted, true = sizes
    return LabelScore(
        overlap=overlap,
        rvd=(predicted - true) / true if true else float(predicted > 0),
        volume_ml=predicted if has_volume else None,
        reference_volume_ml=true if has_volume else None,
        distances=surface_distances(prediction, truth, geometry, in_plane=not has_volume),
        detection=detect_lesions(prediction, truth) if has_volume else None,
    )


def _overlap(prediction: Mask, truth: Mask) -> Overlap:
    predicted, true, both = (int(np.count_nonzero(mask)) for mask in (prediction, truth, prediction & truth))
    return Overlap(predicted, true, both, prediction.size)


def _share(part: int, whole: int, other: int = 0) -> float:
    """The part of a whole; of an empty whole 1, or 0 if the other mask is not empty too."""
    return part / whole if whole else float(not other)
