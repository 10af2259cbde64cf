import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from sliceweave.pipelines.lesion_detection import Detection, detect_lesions

SHAPE = (9, 8, 7)


def mask(*boxes: tuple[slice, ...]) -> np.ndarray:
    found = np.zeros(SHAPE, bool)
    for box in boxes:
        found[box] = True
    return found


FIRST, SECOND, THIRD = np.s_[0:2, 0:2, 0:2], np.s_[4:6, 4:6, 4:6], np.s_[7:9, 0:2, 5:7]


def test_one_voxel_is_enough_and_one_lesion_may_find_two() -> None:
    truth = mask(FIRST, SECOND)
    assert detect_lesions(mask(np.s_[1:2, 1:2, 1:2]), truth) == Detection(2, 1, 0)
    assert detect_lesions(mask(FIRST, THIRD), truth) == Detection(2, 1, 1)
    assert detect_lesions(np.ones(SHAPE, bool), truth) == Detection(2, 2, 0)


def test_touching_without_overlap_finds_nothing() -> None:
    assert detect_lesions(mask(np.s_[2:3, 0:2, 0:2]), mask(FIRST)) == Detection(1, 0, 1)


def test_voxels_that_share_a_corner_are_one_lesion() -> None:
    assert detect_lesions(mask(), mask(FIRST, np.s_[2:3, 2:3, 2:3])) == Detection(1, 0, 0)


@pytest.mark.parametrize(("found", "sensitivity"), [((0, 0, 0), 1), ((0, 0, 2), 0), ((2, 0, 0), 0), ((4, 1, 5), 0.25)])
def test_sensitivity_without_lesions_is_that_of_recall(found: tuple[int, ...], sensitivity: float) -> None:
    assert Detection(*found).sensitivity == sensitivity


def test_scans_are_counted_together() -> None:
    assert Detection(4, 1, 5) + Detection(2, 2, 0) == Detection(6, 3, 5)


@settings(deadline=None, max_examples=40)
@given(arrays(bool, (2, *SHAPE), elements=st.booleans()), st.sampled_from("CF"), st.floats(0, 1))
def test_any_masks_have_the_lesions_that_scipy_counts(masks: np.ndarray, order: str, share: float) -> None:
    masks &= np.random.default_rng(0).random(masks.shape) < 0.3 * share
    labels = [ndimage.label(one, np.ones((3, 3, 3))) for one in masks]
    detected = set(labels[1][0][masks[0]].tolist()) - {0}
    right = set(labels[0][0][masks[1]].tolist()) - {0}
    expected = Detection(labels[1][1], len(detected), labels[0][1] - len(right))
    assert detect_lesions(*(np.asarray(one, order=order) for one in masks)) == expected
