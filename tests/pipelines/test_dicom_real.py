"""A real head CT of 28 slices: gantry tilt, slices first 4 mm thick, then 7 mm, and the two blocks overlapping."""

import numpy as np
import pytest
from pydicom import dcmread

from sliceweave.pipelines.cases import PrepareOptions, SourceFiles
from sliceweave.pipelines.dicom_series import find_dicom

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def ge_folder(real_data):
    folder = real_data / "head_ct" / "ge_tilt_dicom"
    if not folder.is_dir():
        pytest.skip(f"no GE series in {folder}")
    return folder


@pytest.fixture(scope="module")
def files(ge_folder):
    return [dcmread(path) for path in sorted(ge_folder.glob("*.dcm"))]


@pytest.fixture(scope="module")
def stack(ge_folder):
    (case,) = find_dicom(SourceFiles(ge_folder), PrepareOptions())
    assert case.study_id == "ge_tilt_dicom"
    return case.image()


def test_every_slice_of_the_ge_series_lies_where_its_header_says(stack, files):
    true_ras_mm = np.array([dataset.ImagePositionPatient for dataset in files], dtype=float) * LPS_TO_RAS
    got_ras_mm = stack.geometry.to_ras_mm([(0, 0, k) for k in range(28)])
    assert np.linalg.norm(got_ras_mm - true_ras_mm, axis=1).max() < 0.01
    far_corner = np.array([511, 511]) @ np.reshape([*files[9].ImageOrientationPatient], (2, 3)).astype(float)
    far_ras_mm = true_ras_mm[9] + far_corner * 0.4882812 * LPS_TO_RAS
    assert np.linalg.norm(stack.geometry.to_ras_mm((511, 511, 9)) - far_ras_mm) < 0.01


def test_a_box_in_the_ge_series_has_its_exact_volume(stack):
    tilt = np.arccos(0.9483237)
    gaps_mm = np.array([4.22] * 13 + [1.14] + [7.38] * 13) * np.cos(tilt)
    thickness_mm = (np.append(gaps_mm[0], gaps_mm) + np.append(gaps_mm, gaps_mm[-1])) / 2
    box_ml = 100 * 100 * 0.4882812**2 * thickness_mm.sum() / 1000
    geometry = stack.geometry
    got_ml = 100 * 100 * geometry.pixel_area_mm2 * geometry.slice_thicknesses_mm.sum() / 1000
    assert got_ml == pytest.approx(box_ml, rel=1e-6)


def test_the_ge_series_is_complete_and_its_padding_air(stack, files):
    assert stack.flags == stack.warnings == ()
    assert set(stack.geometry.flags) == {"uneven_slices", "sheared", "oblique"}
    voxels = np.concatenate(list(stack.blocks()), axis=2)
    stored = np.stack([dataset.pixel_array.T for dataset in files], axis=2)
    assert voxels.dtype == np.int16
    np.testing.assert_array_equal(voxels, np.where(stored == -1500, -1024, stored))
    assert (stored == -1500).any()
