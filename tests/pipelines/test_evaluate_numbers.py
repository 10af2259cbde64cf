"""Every number that `evaluate` writes for 40 studies beside a plain calculation of it."""

import numpy as np
import pandas as pd
import plain_scores as plain
import pytest
from miniature_masks import oblique_affine, uneven_origins, write_map, write_sidecar
from plain_scores import Study
from scipy import ndimage

from sliceweave.pipelines.mask_evaluation import evaluate_masks, find_pairs
from sliceweave.pipelines.mask_measuring import MaskOptions
from sliceweave.pipelines.score_tables import ScoreTables
from sliceweave.pipelines.tables import read_table

LABELS = {1: "femoral", 2: "tibial"}
SUFFIXES = (".nii.gz", "_mask.nii.gz", "-label.nrrd", "_seg.mha", ".nii")
AS_WRITTEN = {"rel": 1e-5, "abs": 2e-9}  # six significant digits, nine decimals


def blobs(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """A label map of smooth blobs, some of which touch the border and some each other."""
    labels = np.zeros(shape, np.uint8)
    for value in LABELS:
        smooth = ndimage.gaussian_filter(rng.normal(size=shape), rng.uniform(1.2, 2.5), mode="wrap")
        labels[(smooth > np.quantile(smooth, rng.uniform(0.8, 0.97))) & (labels == 0)] = value
    return labels


def perturbed(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shifted, grown or shrunk, with salt on it."""
    found = np.roll(truth, rng.integers(-2, 3, 3), (0, 1, 2))
    choice = rng.integers(3)
    if choice == 0:
        found = ndimage.grey_dilation(found, (3, 3, 1))
    elif choice == 1:
        found = ndimage.grey_erosion(found, (1, 3, 1))
    salt = rng.random(truth.shape) < 0.004
    return np.where(salt, rng.integers(0, 3, truth.shape), found).astype(np.uint8)


def degenerate(kind: str, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and truth of the cases in which metrics go wrong."""
    prediction, truth = np.zeros((2, *shape), np.uint8)
    if kind == "truth_empty":
        prediction = blobs(shape, rng)
    elif kind == "prediction_empty":
        truth = blobs(shape, rng)
    elif kind == "single_voxels":
        prediction[2, 3, 4], truth[5, 3, 1] = 1, 1
        prediction[7, 7, 2] = truth[7, 7, 2] = 2
    elif kind == "border":
        truth[0, :, :3] = prediction[:2, :, 2:] = 1
        truth[:, -1, -1] = prediction[-1, -1, :] = 2
    elif kind == "one_label_only":
        truth[3:6, 3:6, 3:6], prediction[3:6, 4:8, 3:6] = 1, 2
    elif kind == "all_of_it":
        prediction[:], truth[:] = 1, 1
    return prediction, truth


KINDS = ("truth_empty", "prediction_empty", "both_empty", "single_voxels", "border", "one_label_only", "all_of_it")


def grid(number: int, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Affine and slice origins: oblique everywhere, tilted now and then, and for NIfTI uneven now and then."""
    affine = oblique_affine(tuple(rng.uniform(0.4, 4.0, 3)))
    if number % 8 == 3:
        affine[:3, 2] += 0.4 * affine[:3, 1]
    if number % 10 == 5:  # a .nii.gz
        origins, affine = uneven_origins(affine, shape[2])
        return affine, origins
    return affine, None


def study(number: int) -> Study:
    rng = np.random.default_rng(number)
    shape = tuple(int(size) for size in rng.integers((9, 9, 6), (16, 15, 10)))
    affine, origins = grid(number, shape, rng)
    truth = blobs(shape, rng)
    prediction = perturbed(truth, rng)
    if number >= 40 - 2 * len(KINDS):
        prediction, truth = degenerate(KINDS[number % len(KINDS)], shape, rng)
    return Study(f"s{number:02}", prediction, truth, affine, origins)


STUDIES = [study(number) for number in range(40)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("evaluate")
    for number, one in enumerate(STUDIES):
        truth_suffix, suffix = SUFFIXES[number % 5], SUFFIXES[(number + number // 5) % 5]
        write_map(folder / "truth" / f"{one.study_id}{truth_suffix}", one.truth, one.affine)
        write_map(folder / "pred" / f"{one.study_id}{suffix}", one.prediction, one.affine)
        if one.origins is not None:
            write_sidecar(folder / "truth", one.study_id, one.origins)
    written = ScoreTables(folder / "out", "--out")
    evaluate_masks(find_pairs(f"{folder}/pred", f"{folder}/truth"), written, MaskOptions(names=LABELS))
    assert written.failed == {}
    return read_table(folder / "out/cases.csv"), read_table(folder / "out/summary.csv")


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    """The rows of the cases by the oracle."""
    rows = [
        {"study_id": one.study_id, "label": name, "mean_iou": plain.mean_iou(one.prediction, one.truth, 3)}
        | plain.case_metrics(one, value)
        for one in STUDIES
        for value, name in LABELS.items()
    ]
    return pd.DataFrame(rows)


def test_the_studies_are_of_all_kinds(expected: pd.DataFrame) -> None:
    empty = expected["volume_ml"] == 0, expected["reference_volume_ml"] == 0
    assert {(bool(a), bool(b)) for a, b in zip(*empty, strict=True)} == {(a, b) for a in (0, 1) for b in (0, 1)}
    assert expected["false_positive_lesions"].max() > 2
    assert expected["lesion_sensitivity"].between(0.01, 0.99).any()
    assert sum(one.origins is not None for one in STUDIES) == 4


def test_every_number_of_every_case_is_that_of_a_plain_calculation(
    tables: tuple[pd.DataFrame, pd.DataFrame], expected: pd.DataFrame
) -> None:
    cases = tables[0]
    assert set(cases.columns) == set(expected.columns)
    assert cases[["study_id", "label"]].to_numpy().tolist() == expected[["study_id", "label"]].to_numpy().tolist()
    for metric in cases.columns[2:]:
        assert cases[metric].tolist() == pytest.approx(expected[metric].tolist(), **AS_WRITTEN), metric


def check_rows(summary: pd.DataFrame, label: str, metric: str, values: list[float]) -> None:
    found = summary.loc[(label, metric)].to_dict()
    assert found == pytest.approx(plain.statistics(values), **AS_WRITTEN), (label, metric)


def check_value(summary: pd.DataFrame, label: str, metric: str, value: float) -> None:
    row = summary.loc[(label, metric)]
    assert row["mean"] == pytest.approx(value, **AS_WRITTEN), (label, metric)
    assert row["cases"] == 40
    assert row.drop(["mean", "cases"]).isna().all()


def pooled(name: str | None) -> dict[str, float]:
    """Of the voxels of all studies, laid one after the other."""
    values = [value for value, given in LABELS.items() if given == name]
    masks = [np.concatenate([getattr(one, key).ravel() for one in STUDIES]) for key in ("prediction", "truth")]
    found = plain.overlap_metrics(*(np.isin(mask, values) for mask in masks))
    return {f"pooled_{metric}": found[metric] for metric in plain.CLASS_METRICS}


def test_every_number_of_the_summary_is_that_of_a_plain_calculation(
    tables: tuple[pd.DataFrame, pd.DataFrame], expected: pd.DataFrame
) -> None:
    summary = tables[1].set_index(["label", "metric"])
    metrics = [column for column in expected.columns[2:] if column != "mean_iou"]
    checked = set()
    for label, rows in expected.groupby("label"):
        for metric in metrics:
            check_rows(summary, label, metric, rows[metric].tolist())
        check_rows(summary, label, "abs_volume_error_ml", rows["volume_error_ml"].abs().tolist())
        values = plain.volume_agreement(rows["volume_ml"].to_numpy(), rows["reference_volume_ml"].to_numpy())
        values |= pooled(label) | {
            "pooled_lesion_sensitivity": rows["detected_lesions"].sum() / rows["reference_lesions"].sum(),
            "false_positives_per_study": rows["false_positive_lesions"].sum() / 40,
        }
        for metric, value in values.items():
            check_value(summary, label, metric, value)
        checked |= {(label, metric) for metric in (*metrics, "abs_volume_error_ml", *values)}
    by_case = expected.groupby("study_id")
    for metric in metrics:
        if metric != "accuracy":
            check_rows(summary, "all", metric, by_case[metric].mean().tolist())
    right = [np.mean(one.prediction == one.truth) for one in STUDIES]
    check_rows(summary, "all", "accuracy", right)
    check_rows(summary, "all", "mean_iou", by_case["mean_iou"].first().tolist())
    masks = [np.concatenate([getattr(one, key).ravel() for one in STUDIES]) for key in ("prediction", "truth")]
    check_value(summary, "all", "pooled_mean_iou", plain.mean_iou(*masks, 3))
    check_value(summary, "all", "pooled_accuracy", np.mean(masks[0] == masks[1]))
    checked |= {("all", metric) for metric in (*metrics, "mean_iou", "pooled_mean_iou", "pooled_accuracy")}
    assert set(summary.index) == checked
