import numpy as np
import pytest
from miniature_dicom import datasets, miniature, save, stack_of_files, tilted_miniature

from sliceweave.pipelines.errors import InputError

GE_GAPS_MM = [4.0] * 13 + [1.08] + [7.0] * 13


def without(slices, missing, renumbered=False):
    kept = [dataset for index, dataset in enumerate(slices) if index not in missing]
    for index, dataset in enumerate(kept if renumbered else ()):
        dataset.InstanceNumber = index + 1
    return kept


@pytest.mark.parametrize(
    "gaps_mm",
    [
        [5.0] * 8,
        GE_GAPS_MM,
        [5.0] * 6 + [10.0] * 6,
        [10.0] * 3 + [5.0] * 3,
        [4.0, 4.0, 4.0, 7.0],
        [4.9, 5.1, 5.0, 5.2],
        [5.0, 5.0],
        [5.0],
        [],
    ],
)
@pytest.mark.parametrize("is_numbered", [True, False])
def test_a_series_complete_by_its_protocol_has_no_missing_slices(gaps_mm, is_numbered, tmp_path):
    slices = datasets(miniature(gaps_mm))
    for dataset in slices:
        dataset.InstanceNumber = dataset.InstanceNumber if is_numbered else None
    stack = stack_of_files(save(slices, tmp_path))
    assert stack.flags == stack.warnings == ()


@pytest.mark.parametrize("step", [3, -1, 2])
def test_instance_numbers_may_count_in_steps_or_downwards(step, tmp_path):
    slices = datasets(tilted_miniature(GE_GAPS_MM))
    for index, dataset in enumerate(slices):
        dataset.InstanceNumber = 100 + step * index
    assert stack_of_files(save(slices, tmp_path)).flags == ()


@pytest.mark.parametrize("renumbered", [True, False])
@pytest.mark.parametrize(
    ("gaps_mm", "missing", "counts"),
    [
        ([5.0] * 8, {4}, [1]),
        ([5.0] * 8, {3, 4}, [2]),
        ([5.0] * 8, {1}, [1]),
        ([5.0] * 8, {7}, [1]),
        ([5.0] * 12, {4, 6}, [1, 1]),
        ([5.0] * 12, {3, 9}, [1, 1]),
        ([5.0] * 12, {3, 4, 6}, [2, 1]),
        (GE_GAPS_MM, {5}, [1]),
        (GE_GAPS_MM, {20}, [1]),
        ([5.0] * 3, {1}, [1]),
    ],
)
def test_missing_slices_are_flagged_and_the_others_keep_their_places(gaps_mm, missing, counts, renumbered, tmp_path):
    series = miniature(gaps_mm)
    stack = stack_of_files(save(without(datasets(series), missing, renumbered), tmp_path))
    assert stack.flags == ("missing_slices",)
    assert [int(line.split()[0]) for line in stack.warnings] == counts
    kept = [index for index in range(len(series.stored)) if index not in missing]
    np.testing.assert_allclose(
        stack.geometry.to_ras_mm([(0, 0, k) for k in range(len(kept))]), series.origins_ras_mm[kept], atol=1e-5
    )
    np.testing.assert_array_equal(np.concatenate(list(stack.blocks()), axis=2), series.voxels[..., kept])


@pytest.mark.parametrize("missing", [{13}, {14}])
def test_numbers_tell_of_a_slice_missing_where_the_distance_changes(missing, tmp_path):
    stack = stack_of_files(save(without(datasets(tilted_miniature(GE_GAPS_MM)), missing), tmp_path))
    assert stack.flags == ("missing_slices",)


def test_the_warning_names_files_numbers_and_places(tmp_path):
    slices = without(datasets(miniature([5.0] * 6)), {2})
    (warning,) = stack_of_files(save(slices, tmp_path)).warnings
    assert warning.startswith(
        "1 slice seems to be missing between 002.dcm (instance 2) and 003.dcm (instance 4), "
        "a gap of 10.00 mm from -35.00 to -25.00 mm along the normal"
    )


def test_a_slice_that_comes_twice_is_kept_once(tmp_path):
    series = miniature([5.0] * 5)
    slices = datasets(series)
    stack = stack_of_files(save([*slices, slices[2]], tmp_path))
    assert stack.flags == ("doubled_slices",)
    assert stack.warnings == ("1 of 7 slices come twice (007.dcm is 003.dcm again); one of each was kept",)
    np.testing.assert_array_equal(np.concatenate(list(stack.blocks()), axis=2), series.voxels)
    assert stack.geometry.slice_origins_ras_mm is None


def test_different_slices_at_one_place_are_refused(tmp_path):
    first, second = miniature(), miniature(seed=1)
    slices = datasets(first) + datasets(second)
    with pytest.raises(InputError, match=r"^005.dcm: .*another than 001.dcm .* has 8 slices at 4 positions"):
        stack_of_files(save(slices, tmp_path))


def test_the_same_pixels_beside_each_other_are_no_double(tmp_path):
    slices = datasets(miniature())
    again = datasets(miniature())[2]
    again.ImagePositionPatient[0] += 40
    with pytest.raises(InputError, match="expected one slice at each position"):
        stack_of_files(save([*slices, again], tmp_path))
