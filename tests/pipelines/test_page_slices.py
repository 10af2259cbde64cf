import io
import re
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from miniature_report import AFFINE_RAS, head
from PIL import Image

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.page_slices import MAX_SIDE_PX, MAX_SLICES, kept_slices, page_pictures
from sliceweave.pipelines.reading import Scan
from sliceweave.pipelines.study_kind import StudyKind, study_kind


def scan_of(voxels: np.ndarray, affine_ras: np.ndarray = AFFINE_RAS) -> Scan:
    return Scan(voxels.astype(np.float32), Geometry(affine_ras, voxels.shape), nib.Nifti1Header())


def points(path: str) -> np.ndarray:
    return np.array([[float(x) for x in pair.split()] for pair in re.split("[MLZ]", path) if pair])


def test_every_slice_has_its_picture_in_true_proportion() -> None:
    voxels, mask = head(6)
    pictures = page_pictures(scan_of(voxels), mask, study_kind("hematoma"), {1: "hematoma"})
    said = pictures.described
    assert [slice_["file"] for slice_ in said["slices"]] == [f"{index:03d}.jpg" for index in range(9)]
    sizes = {Image.open(io.BytesIO(pictures.files[slice_["file"]])).size for slice_ in said["slices"]}
    assert sizes == {tuple(said["size"])}
    # The head is 2 * 16 columns of 4.5 mm and 2 * 19 rows of 4 mm, with 4 pixels around it or the edge of the scan.
    width, height = said["size"]
    assert width / height == pytest.approx((40 * 4.5) / (46 * 4), rel=0.03)
    assert max(sizes.pop()) <= MAX_SIDE_PX


def test_a_head_of_grey_levels_looks_as_it_does_in_hu() -> None:
    voxels, mask = head(6)
    greys = np.rint((voxels.clip(-20, 100) + 20) * (255 / 120))
    kind = replace(study_kind("hematoma"), grey_window=(-20.0, 100.0))
    looks = [
        np.asarray(
            Image.open(io.BytesIO(page_pictures(scan_of(shown), mask, kind_of, {1: "hematoma"}).files["004.jpg"]))
        )
        for shown, kind_of in ((voxels, study_kind("hematoma")), (greys, kind))
    ]
    assert np.abs(looks[0].astype(int) - looks[1]).mean() < 3


def test_a_large_slice_is_reduced_to_384_pixels() -> None:
    voxels = np.full((600, 500, 2), 40)
    pictures = page_pictures(scan_of(voxels, np.eye(4)), np.zeros(voxels.shape, np.uint8), StudyKind("RAS"), {})
    assert pictures.described["size"] == (384, 320)


def test_a_contour_runs_around_the_masks_pixels_on_the_picture() -> None:
    voxels = np.full((30, 20, 3), 50)
    mask = np.zeros(voxels.shape, np.uint8)
    mask[10:14, 5:15, 1] = 1
    affine_ras = np.diag([-1.0, -1.0, 5.0, 1.0])  # columns to the left, rows to posterior: as on the screen
    said = page_pictures(scan_of(voxels, affine_ras), mask, StudyKind("RAS", (0, 100)), {1: "a"}).described
    assert [[*slice_["paths"]] for slice_ in said["slices"]] == [[], ["1"], []]
    outline = points(said["slices"][1]["paths"]["1"])
    zoom = said["size"][0] / 30
    np.testing.assert_allclose(outline.min(axis=0), np.array([10, 5]) * zoom, atol=0.55 * zoom)
    np.testing.assert_allclose(outline.max(axis=0), np.array([14, 15]) * zoom, atol=0.55 * zoom)
    np.testing.assert_allclose((outline.min(axis=0) + outline.max(axis=0)) / 2, np.array([12, 10]) * zoom, atol=0.11)


def test_the_patients_right_is_on_the_left_however_the_file_is_ordered() -> None:
    voxels, mask = head(5)
    straight = scan_of(voxels)
    flipped_affine = AFFINE_RAS.copy()
    flipped_affine[:3, 3] += 39 * AFFINE_RAS[:3, 0]
    flipped_affine[:3, 0] *= -1
    flipped = scan_of(voxels[::-1], flipped_affine)
    kind = study_kind("hematoma")
    one = page_pictures(straight, mask, kind, {1: "a"})
    other = page_pictures(flipped, mask[::-1], kind, {1: "a"})
    assert one.described == other.described
    assert one.files == other.files
    assert one.described["sides"] == ("R", "L")


def test_an_empty_mask_has_no_contours_and_begins_in_the_middle() -> None:
    voxels, _ = head(5)
    said = page_pictures(scan_of(voxels), np.zeros(voxels.shape, np.uint8), study_kind("hematoma"), {}).described
    assert said["start"] == 4
    assert said["labels"] == {}
    assert all(slice_["paths"] == {} for slice_ in said["slices"])


def test_a_study_begins_on_its_largest_slice_and_each_label_has_a_colour() -> None:
    voxels, mask = head(6)
    mask[20:23, 30:33, 2] = 2
    said = page_pictures(scan_of(voxels), mask, study_kind("hematoma"), {1: "bleeding"}).described
    assert said["start"] == 5
    assert {value: label["name"] for value, label in said["labels"].items()} == {"1": "bleeding", "2": "label 2"}
    assert len({label["colour"] for label in said["labels"].values()}) == 2


@pytest.mark.parametrize("count", [1, 2, 159, 160])
def test_all_of_160_slices_are_kept(count: int) -> None:
    assert kept_slices(np.zeros(count)) == [*range(count)]


def test_of_many_slices_those_with_lesion_and_their_neighbours_are_kept() -> None:
    areas_mm2 = np.zeros(1000)
    areas_mm2[500:520] = 3.0
    kept = kept_slices(areas_mm2)
    assert len(kept) == MAX_SLICES
    assert kept == sorted(set(kept))
    assert set(range(498, 522)) <= set(kept)
    assert max(np.diff([0, *kept, 999])) < 15


def test_of_more_lesion_slices_than_there_is_room_for_the_largest_stays() -> None:
    areas_mm2 = np.ones(700)
    areas_mm2[333] = 2.0
    kept = kept_slices(areas_mm2)
    assert len(kept) == MAX_SLICES
    assert 333 in kept
