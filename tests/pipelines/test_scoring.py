import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sliceweave.pipelines.columns import METRICS
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.scoring import CaseScore, Overlap, score_case

SHAPE = (7, 6, 5)
GEOMETRY = Geometry(np.diag([2.0, 0.5, 3.0, 1.0]), SHAPE)  # 0.003 ml a voxel
TUMOR = {1: "tumor"}
CARTILAGE = {1: "femoral", 2: "tibial"}


def volume(**boxes: tuple[slice, ...]) -> np.ndarray:
    """A mask of classes; `c1=...` is where class 1 lies."""
    mask = np.zeros(SHAPE, np.uint8)
    for name, box in boxes.items():
        mask[box] = int(name[1:])
    return mask


def metrics(prediction: np.ndarray, truth: np.ndarray, **options: bool) -> dict[str, float | None]:
    return score_case(prediction, truth, GEOMETRY, TUMOR, **options).labels["tumor"].metrics


def test_the_metrics_of_a_box_one_row_too_long_are_those_worked_out_by_hand() -> None:
    truth, prediction = volume(c1=np.s_[1:3, 1:4, 1:3]), volume(c1=np.s_[1:4, 1:4, 1:3])  # 12 and 18 voxels
    assert metrics(prediction, truth) == pytest.approx(
        {
            "dice": 24 / 30,
            "iou": 12 / 18,
            "rvd": 0.5,
            "abs_rvd": 0.5,
            "precision": 12 / 18,
            "recall": 1,
            "accuracy": 1 - 6 / 210,
            "hd_mm": 2.0,
            "hd95_mm": 2.0,
            "assd_mm": 6 * 2 / (12 + 18),  # all voxels of such a thin box are surface
            "volume_error_ml": 6 * 0.003,
            "volume_ml": 18 * 0.003,
            "reference_volume_ml": 12 * 0.003,
            "reference_lesions": 1,
            "detected_lesions": 1,
            "lesion_sensitivity": 1,
            "false_positive_lesions": 0,
        }
    )


def test_the_metrics_stand_in_the_order_of_the_columns() -> None:
    assert tuple(metrics(volume(), volume())) == METRICS


def test_two_empty_masks_agree_perfectly() -> None:
    perfect = dict.fromkeys(("dice", "iou", "precision", "recall", "accuracy", "lesion_sensitivity"), 1)
    assert metrics(volume(), volume()) == dict.fromkeys(METRICS, 0) | perfect


@pytest.mark.parametrize(("is_missed", "rvd"), [(True, -1), (False, 1)])
def test_a_missed_lesion_and_a_false_alarm_are_the_worst_there_is(is_missed: bool, rvd: int) -> None:
    lesion = volume(c1=np.s_[1:3, 1:4, 1:3])
    diagonal_mm = np.linalg.norm([7 * 2.0, 6 * 0.5, 5 * 3.0])
    pair = (volume(), lesion) if is_missed else (lesion, volume())
    assert metrics(*pair) == pytest.approx(
        dict.fromkeys(METRICS, 0)
        | {"rvd": rvd, "abs_rvd": 1, "accuracy": 1 - 12 / 210, "volume_error_ml": rvd * 12 * 0.003}
        | dict.fromkeys(["reference_volume_ml" if is_missed else "volume_ml"], 12 * 0.003)
        | dict.fromkeys(["reference_lesions" if is_missed else "false_positive_lesions"], 1)
        | dict.fromkeys(("hd_mm", "hd95_mm", "assd_mm"), diagonal_mm)
    )


def test_volumes_count_each_slice_with_its_own_thickness() -> None:
    origins = np.array([[0.0, 0, z] for z in (0.0, 2.0, 5.0, 10.0, 12.0)])  # thicknesses 2, 2.5, 4, 3.5, 2 mm
    affine = np.array([[2.0, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 3.2, -0.6], [0, 0, 0, 1]])
    geometry = Geometry(affine, SHAPE, origins)
    prediction, truth = volume(c1=np.s_[0:2, 0:2, 2:4]), volume(c1=np.s_[0:2, 0:2, 0:2])
    score = score_case(prediction, truth, geometry, TUMOR).labels["tumor"]
    assert score.volume_error_ml == pytest.approx(4 * (7.5 - 4.5) * 1.0 / 1000)
    assert score.rvd == pytest.approx(3 / 4.5)


def test_a_video_has_no_millilitres_and_distances_within_its_frames() -> None:
    prediction, truth = volume(c1=np.s_[1:3, 1:4, 1]), volume(c1=np.s_[1:3, 1:4, 1:3])
    found = metrics(prediction, truth, has_volume=False)
    assert {name for name, value in found.items() if value is None} == {
        *("volume_error_ml", "volume_ml", "reference_volume_ml", "reference_lesions", "detected_lesions"),
        *("lesion_sensitivity", "false_positive_lesions"),
    }
    assert found["rvd"] == pytest.approx(-0.5)
    assert found["hd_mm"] == pytest.approx(np.hypot(7 * 2.0, 6 * 0.5))
    assert metrics(prediction, truth)["hd_mm"] == pytest.approx(3.0)


def confusion(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(3, 3) voxels by predicted and true class."""
    return np.array([[np.sum((prediction == p) & (truth == t)) for t in range(3)] for p in range(3)])


@settings(deadline=None, max_examples=50)
@given(arrays(np.uint8, (2, *SHAPE), elements=st.integers(0, 2)))
def test_all_classes_together_are_those_of_the_confusion_matrix(masks: np.ndarray) -> None:
    counts = confusion(*masks)
    either = counts.sum(axis=0) + counts.sum(axis=1) - counts.diagonal()
    ious = np.where(either > 0, counts.diagonal() / np.maximum(either, 1), 1)
    score = score_case(*masks, GEOMETRY, CARTILAGE)
    assert score.mean_iou == pytest.approx(ious.mean())
    assert score.accuracy == pytest.approx(np.trace(counts) / 210)
    assert [label.overlap.iou for label in score.labels.values()] == pytest.approx(ious[1:])


@settings(deadline=None, max_examples=50)
@given(arrays(np.uint8, (2, *SHAPE), elements=st.integers(0, 1)), st.booleans(), st.booleans())
def test_overlap_keeps_its_laws(masks: np.ndarray, empty_first: bool, empty_second: bool) -> None:
    masks[0] *= not empty_first
    masks[1] *= not empty_second
    there, back = metrics(*masks), metrics(*masks[::-1])
    assert there["dice"] == back["dice"]
    assert there["iou"] == pytest.approx(there["dice"] / (2 - there["dice"]))
    assert there["precision"] == back["recall"]
    assert there["abs_rvd"] == abs(there["rvd"])
    assert all(0 <= there[name] <= 1 for name in ("dice", "iou", "precision", "recall", "accuracy"))
    assert there["volume_error_ml"] == pytest.approx(-back["volume_error_ml"])
    assert [there[name] for name in ("hd_mm", "hd95_mm", "assd_mm")] == pytest.approx(
        [back[name] for name in ("hd_mm", "hd95_mm", "assd_mm")]
    )


def scores(score: CaseScore) -> list[float | None]:
    return [value for label in score.labels.values() for value in label.metrics.values()]


@settings(deadline=None, max_examples=30)
@given(arrays(np.uint8, (2, *SHAPE), elements=st.integers(0, 2)), st.permutations(range(3)), st.integers(0, 2))
def test_scores_are_unchanged_by_turning_and_flipping(masks: np.ndarray, axes: list[int], flip: int) -> None:
    turned = np.flip(masks, flip + 1).transpose(0, *(axis + 1 for axis in axes))
    found = score_case(*turned, GEOMETRY.permuted(tuple(axes)), CARTILAGE)
    assert scores(found) == pytest.approx(scores(score_case(*masks, GEOMETRY, CARTILAGE)), abs=1e-9)


@settings(deadline=None, max_examples=30)
@given(arrays(np.uint8, (2, *SHAPE), elements=st.integers(0, 2)))
def test_classes_can_be_numbered_otherwise(masks: np.ndarray) -> None:
    renumbered = np.array([0, 2, 1], np.uint8)[masks]
    found = score_case(*renumbered, GEOMETRY, {2: "femoral", 1: "tibial"})
    expected = score_case(*masks, GEOMETRY, CARTILAGE)
    assert found == expected


def test_a_case_can_be_given_labels_that_neither_mask_holds() -> None:
    masks = np.random.default_rng(4).integers(0, 2, (2, *SHAPE), np.uint8)
    expected = score_case(*masks, GEOMETRY, {2: "tibial", 1: "femoral"})
    assert score_case(*masks, GEOMETRY, {1: "femoral"}).with_labels(["tibial", "femoral"]) == expected


def test_what_is_not_known_of_a_video_is_not_known_of_a_label_it_is_given() -> None:
    scored = score_case(volume(), volume(), GEOMETRY, TUMOR, has_volume=False).without_distances()
    first, second = scored.with_labels(["tumor", "edema"]).labels.values()
    assert first == second


def test_two_overlaps_added_are_those_of_both_scans() -> None:
    pooled = Overlap(10, 20, 5, 100) + Overlap(30, 10, 10, 300)
    assert (pooled.dice, pooled.precision, pooled.recall) == pytest.approx((30 / 70, 15 / 40, 15 / 30))
    assert pooled.accuracy == pytest.approx(1 - 40 / 400)


@pytest.mark.parametrize(("cut", "name"), [(np.s_[:, :, :4], "prediction"), (np.s_[:5], "label")])
def test_a_mask_on_another_grid_is_refused(cut: tuple[slice, ...], name: str) -> None:
    masks = {"prediction": volume(), "label": volume()}
    masks[name] = masks[name][cut]
    with pytest.raises(InputError, match=rf"the {name}'s shape is .*, expected its scan's \(7, 6, 5\)"):
        score_case(masks["prediction"], masks["label"], GEOMETRY, TUMOR)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_order_in_memory_does_not_matter(order: str) -> None:
    masks = np.random.default_rng(0).integers(0, 3, (2, *SHAPE), np.uint8)
    ordered = [np.asarray(mask, order=order) for mask in masks]
    assert score_case(*ordered, GEOMETRY, CARTILAGE) == score_case(*masks, GEOMETRY, CARTILAGE)
