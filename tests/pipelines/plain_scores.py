"""The numbers of an evaluation worked out plainly with numpy and scipy, and nothing of the package: an oracle."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist

CLASS_METRICS = ("dice", "iou", "precision", "recall")


@dataclass(frozen=True)
class Study:
    """Two label maps and where their voxels are: `origins` (K, 3) of the slices, and the steps within a slice."""

    study_id: str
    prediction: NDArray
    truth: NDArray
    affine: NDArray
    origins: NDArray | None = None

    def points_mm(self, mask: NDArray) -> NDArray:
        i, j, k = np.nonzero(mask)
        shape = mask.shape
        stack = self.affine[:3, 3] + np.outer(np.arange(shape[2]), self.affine[:3, 2])
        starts = stack if self.origins is None else self.origins
        return np.outer(i, self.affine[:3, 0]) + np.outer(j, self.affine[:3, 1]) + starts[k]

    def thicknesses_mm(self) -> NDArray:
        normal = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        normal = normal / np.linalg.norm(normal)
        slices = self.truth.shape[2]
        if self.origins is None:
            return np.full(slices, abs(normal @ self.affine[:3, 2]))
        heights = self.origins @ normal
        gaps = np.abs(np.diff(heights))
        return np.array([np.mean([gaps[max(k - 1, 0)], gaps[min(k, slices - 2)]]) for k in range(slices)])

    def volume_ml(self, mask: NDArray) -> float:
        pixel_mm2 = np.linalg.norm(np.cross(self.affine[:3, 0], self.affine[:3, 1]))
        return float(mask.sum(axis=(0, 1)) @ self.thicknesses_mm() * pixel_mm2 / 1000)

    def diagonal_mm(self) -> float:
        sizes = self.truth.shape
        stack = self.affine[:3, 3] + np.outer([-0.5, sizes[2] - 0.5], self.affine[:3, 2])
        if self.origins is not None:
            first, last = self.origins[:2], self.origins[-2:]
            stack = np.array([first[0] - (first[1] - first[0]) / 2, last[1] + (last[1] - last[0]) / 2])
        corners = [
            start + i * self.affine[:3, 0] + j * self.affine[:3, 1]
            for start, i, j in product(stack, (-0.5, sizes[0] - 0.5), (-0.5, sizes[1] - 0.5))
        ]
        return float(cdist(corners, corners).max())


def overlap_metrics(prediction: NDArray, truth: NDArray) -> dict[str, float]:
    tp, fp = int((prediction & truth).sum()), int((prediction & ~truth).sum())
    fn, tn = int((~prediction & truth).sum()), int((~prediction & ~truth).sum())
    accuracy = (tp + tn) / (tp + fp + fn + tn)
    if tp + fp + fn == 0:
        return dict.fromkeys(CLASS_METRICS, 1.0) | {"accuracy": accuracy}
    if tp + fp == 0 or tp + fn == 0:
        return dict.fromkeys(CLASS_METRICS, 0.0) | {"accuracy": accuracy}
    return {
        "dice": 2 * tp / (2 * tp + fp + fn),
        "iou": tp / (tp + fp + fn),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "accuracy": accuracy,
    }


def surface(mask: NDArray) -> NDArray:
    cross = ndimage.generate_binary_structure(3, 1)
    return mask & ~ndimage.binary_erosion(mask, cross, border_value=0)


def distances(study: Study, prediction: NDArray, truth: NDArray) -> dict[str, float]:
    if not prediction.any() and not truth.any():
        return dict.fromkeys(("hd_mm", "hd95_mm", "assd_mm"), 0.0)
    if not prediction.any() or not truth.any():
        return dict.fromkeys(("hd_mm", "hd95_mm", "assd_mm"), study.diagonal_mm())
    pairs = cdist(study.points_mm(surface(prediction)), study.points_mm(surface(truth)))
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    return {
        "hd_mm": max(there.max(), back.max()),
        "hd95_mm": max(np.percentile(there, 95), np.percentile(back, 95)),
        "assd_mm": (there.sum() + back.sum()) / (len(there) + len(back)),
    }


def lesions(prediction: NDArray, truth: NDArray) -> dict[str, float]:
    true_lesions, count = ndimage.label(truth, np.ones((3, 3, 3)))
    predicted, predicted_count = ndimage.label(prediction, np.ones((3, 3, 3)))
    detected = sum(bool(prediction[true_lesions == n].any()) for n in range(1, count + 1))
    false = sum(not truth[predicted == n].any() for n in range(1, predicted_count + 1))
    sensitivity = detected / count if count else (0.0 if false else 1.0)
    return {
        "reference_lesions": count,
        "detected_lesions": detected,
        "lesion_sensitivity": sensitivity,
        "false_positive_lesions": false,
    }


def case_metrics(study: Study, value: int) -> dict[str, float]:
    prediction, truth = study.prediction == value, study.truth == value
    ml, reference_ml = study.volume_ml(prediction), study.volume_ml(truth)
    rvd = (ml - reference_ml) / reference_ml if reference_ml else (1.0 if ml else 0.0)
    volumes = {"volume_error_ml": ml - reference_ml, "volume_ml": ml, "reference_volume_ml": reference_ml}
    return (
        {**overlap_metrics(prediction, truth), "rvd": rvd, "abs_rvd": abs(rvd)}
        | distances(study, prediction, truth)
        | volumes
        | lesions(prediction, truth)
    )


def mean_iou(prediction: NDArray, truth: NDArray, classes: int) -> float:
    ious = []
    for value in range(classes):
        both, either = (prediction == value) & (truth == value), (prediction == value) | (truth == value)
        ious.append(both.sum() / either.sum() if either.any() else 1.0)
    return float(np.mean(ious))


def statistics(values: list[float]) -> dict[str, float]:
    """Of one metric over the cases; the bootstrap drawn by hand, from the seed that the tables name."""
    x = np.array(values, float)
    drawn = np.random.default_rng(0).integers(0, len(x), (2000, len(x)))
    low, high = np.percentile(x[drawn].mean(axis=1), [2.5, 97.5])
    return {
        "mean": x.sum() / len(x),
        "sd": np.sqrt(((x - x.mean()) ** 2).sum() / (len(x) - 1)),
        "median": np.median(x),
        "low": x.min(),
        "high": x.max(),
        "cases": len(x),
        "q1": np.percentile(x, 25),
        "q3": np.percentile(x, 75),
        "ci95_low": low,
        "ci95_high": high,
    }


def volume_agreement(measured: NDArray, reference: NDArray) -> dict[str, float]:
    errors = measured - reference
    sd = np.sqrt(((errors - errors.mean()) ** 2).sum() / (len(errors) - 1))
    mx, my = measured.mean(), reference.mean()
    sxx, syy = ((measured - mx) ** 2).sum(), ((reference - my) ** 2).sum()
    sxy = ((measured - mx) * (reference - my)).sum()
    n = len(errors)
    return {
        "volume_rmse_ml": np.sqrt((errors**2).sum() / n),
        "volume_mae_ml": np.abs(errors).sum() / n,
        "volume_bias_ml": errors.sum() / n,
        "volume_limit_low_ml": errors.mean() - 1.96 * sd,
        "volume_limit_high_ml": errors.mean() + 1.96 * sd,
        "volume_pearson_r": sxy / np.sqrt(sxx * syy),
        "volume_ccc": 2 * sxy / n / (sxx / n + syy / n + (mx - my) ** 2),
        "volume_icc21": icc21(np.column_stack([measured, reference])),
    }


def icc21(ratings: NDArray) -> float:
    """From the sums of squares of a two-way analysis of variance without replication."""
    n, k = ratings.shape
    grand = ratings.mean()
    total = ((ratings - grand) ** 2).sum()
    rows = k * ((ratings.mean(axis=1) - grand) ** 2).sum()
    columns = n * ((ratings.mean(axis=0) - grand) ** 2).sum()
    residual = (total - rows - columns) / ((n - 1) * (k - 1))
    rows, columns = rows / (n - 1), columns / (k - 1)
    return (rows - residual) / (rows + (k - 1) * residual + k * (columns - residual) / n)
