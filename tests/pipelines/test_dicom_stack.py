from pathlib import Path

import numpy as np
import pytest
from miniature_dicom import SAGITTAL, compressed_by_gdcm, datasets, miniature, save, stack_of_files, tilted_miniature
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.errors import InputError

SLOPES = ((1.0, -1024.0), (2.0, -1000.0), (1.0, -1024.0), (3.0, 7.0))
GE_GAPS_MM = [4.0] * 13 + [1.08] + [7.0] * 13


def voxels_of(stack):
    return np.concatenate(list(stack.blocks()), axis=2)


def oblique(degrees=(12.0, -7.0, 20.0)):
    row, column, _ = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix().T
    return tuple(row), tuple(column)


def check_places(geometry, series):
    """Every slice's first pixel, and the steps in it, are where the miniature has them."""
    k = np.arange(len(series.origins_ras_mm))
    np.testing.assert_allclose(geometry.to_ras_mm([(0, 0, n) for n in k]), series.origins_ras_mm, rtol=0, atol=1e-5)
    np.testing.assert_allclose(geometry.affine_ras[:3, :2], series.in_plane_ras_mm, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    "series",
    [
        miniature(),
        miniature(pixel_mm=(0.9, 0.4)),
        miniature(directions=SAGITTAL),
        miniature(directions=oblique()),
        tilted_miniature([5.0, 5.0, 5.0]),
        tilted_miniature(GE_GAPS_MM),
        miniature([4.0, 2.5, 7.0, 7.0], directions=SAGITTAL),
        miniature(modality="MR"),
        miniature(rescale=SLOPES),
    ],
    ids=["straight", "pixels", "sagittal", "oblique", "tilted", "uneven", "uneven sagittal", "MR", "slopes"],
)
def test_voxels_and_places_come_out_as_the_generator_put_them_in(series, tmp_path):
    stack = stack_of_files(save(datasets(series), tmp_path))
    voxels = voxels_of(stack)
    assert voxels.dtype == stack.dtype == np.int16
    assert voxels.shape == stack.geometry.shape == (11, 13, len(series.stored))
    np.testing.assert_array_equal(voxels, series.voxels)
    check_places(stack.geometry, series)
    assert stack.flags == stack.warnings == ()


def test_even_slices_are_their_affine_alone_and_a_tilt_stays_a_shear(tmp_path):
    geometry = stack_of_files(save(datasets(tilted_miniature([5.0, 5.0, 5.0])), tmp_path)).geometry
    assert geometry.slice_origins_ras_mm is None
    assert geometry.slice_thickness_mm is None
    assert geometry.flags == ("sheared", "oblique")
    assert geometry.voxel_ml == pytest.approx(0.7 * 0.5 * 5.0 / 1000, rel=1e-9)


def test_uneven_slices_keep_every_position_and_the_headers_thickness(tmp_path):
    slices = datasets(miniature([4.0, 4.0, 7.0, 7.0]))
    for dataset in slices[3:]:
        dataset.SliceThickness = 7.0
    geometry = stack_of_files(save(slices, tmp_path)).geometry
    assert geometry.slice_thickness_mm.tolist() == [5.0, 5.0, 5.0, 7.0, 7.0]
    np.testing.assert_allclose(geometry.slice_gaps_mm, [4.0, 4.0, 7.0, 7.0], atol=1e-6)
    np.testing.assert_allclose(geometry.slice_thicknesses_mm, [4.0, 4.0, 5.5, 7.0, 7.0], atol=1e-6)


@pytest.mark.parametrize(("off_mm", "is_kept"), [(0.004, False), (0.02, True)])
def test_positions_are_kept_from_five_thousandths_of_a_millimetre_on(off_mm, is_kept, tmp_path):
    slices = datasets(miniature([5.0] * 6))
    slices[3].ImagePositionPatient[0] += off_mm
    geometry = stack_of_files(save(slices, tmp_path)).geometry
    assert (geometry.slice_origins_ras_mm is not None) == is_kept


def test_file_names_and_instance_numbers_do_not_decide_the_order(tmp_path):
    series = miniature([5.0] * 5)
    slices = datasets(series)
    for dataset, instance in zip(slices, (4, 1, 6, 2, 5, 3), strict=True):
        dataset.InstanceNumber = instance
    stack = stack_of_files(save(slices, tmp_path, ["c", "a.dcm", "f.IMA", "1.2.840", "007", "b"]))
    np.testing.assert_array_equal(voxels_of(stack), series.voxels)
    check_places(stack.geometry, series)


def test_slices_stored_from_the_head_down_come_out_from_the_feet_up(tmp_path):
    series = miniature([4.0, 5.0, 6.0])
    stack = stack_of_files(save(datasets(series)[::-1], tmp_path))
    np.testing.assert_array_equal(voxels_of(stack), series.voxels)
    assert np.linalg.det(stack.geometry.affine_ras) > 0


def test_blocks_can_be_read_again(tmp_path):
    stack = stack_of_files(save(datasets(miniature()), tmp_path))
    assert [block.shape for block in stack.blocks()] == [(11, 13, 1)] * 4
    np.testing.assert_array_equal(voxels_of(stack), voxels_of(stack))


def test_a_single_slice_takes_its_thickness_from_the_header(tmp_path):
    (dataset,) = datasets(miniature([]))
    geometry = stack_of_files(save([dataset], tmp_path)).geometry
    assert geometry.slice_thicknesses_mm.tolist() == [5.0]
    assert geometry.voxel_ml == pytest.approx(0.7 * 0.5 * 5.0 / 1000)
    assert geometry.slice_thickness_mm.tolist() == [5.0]


def test_a_single_slice_without_thickness_is_refused(tmp_path):
    (dataset,) = datasets(miniature([]))
    dataset.SliceThickness = None
    with pytest.raises(InputError, match=r"^001.dcm: expected a SliceThickness above 0 mm .* got none"):
        stack_of_files(save([dataset], tmp_path))


def test_values_that_are_no_whole_numbers_become_float32(tmp_path):
    series = miniature(rescale=((0.25, -100.5),) * 4, modality="MR")
    stack = stack_of_files(save(datasets(series), tmp_path))
    assert voxels_of(stack).dtype == stack.dtype == np.float32
    np.testing.assert_array_equal(voxels_of(stack), series.voxels)


@pytest.mark.parametrize(("largest", "dtype"), [(30000, np.int16), (40000, np.float32)])
def test_sixteen_unsigned_bits_become_int16_where_the_values_fit(largest, dtype, tmp_path):
    stored = np.arange(4 * 13 * 11, dtype=np.uint16).reshape(4, 13, 11)
    stored[2, 3, 4] = largest
    series = miniature(stored=stored, rescale=((1.0, -1024.0),) * 4)
    stack = stack_of_files(save(datasets(series), tmp_path))
    assert voxels_of(stack).dtype == stack.dtype == dtype
    np.testing.assert_array_equal(voxels_of(stack), series.voxels)


def test_twelve_bits_in_sixteen_are_read_with_their_sign(tmp_path):
    series = miniature()
    slices = datasets(series)
    for dataset, stored in zip(slices, series.stored, strict=True):
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.PixelData = (stored & 0x0FFF).astype(np.uint16).tobytes()
    np.testing.assert_array_equal(voxels_of(stack_of_files(save(slices, tmp_path))), series.voxels)


@pytest.mark.parametrize(("modality", "filled"), [("CT", -1024), ("MR", 0)])
def test_padding_becomes_air_in_ct_and_nothing_elsewhere(modality, filled, tmp_path):
    series = miniature(modality=modality, rescale=((1.0, 24.0),) * 4)
    series.stored[:, :2, :3] = -1500
    slices = datasets(series)
    for dataset in slices:
        dataset.add_new("PixelPaddingValue", "SS", -1500)
    voxels = voxels_of(stack_of_files(save(slices, tmp_path)))
    assert (voxels[:3, :2] == filled).all()
    np.testing.assert_array_equal(voxels[3:], series.voxels[3:])


def test_a_padding_range_is_padding_from_end_to_end(tmp_path):
    series = miniature()
    series.stored[:, 0, :4] = (-2000, -1990, -1981, -1980)
    slices = datasets(series)
    for dataset in slices:
        dataset.add_new("PixelPaddingValue", "SS", -2000)
        dataset.add_new("PixelPaddingRangeLimit", "SS", -1981)
    voxels = voxels_of(stack_of_files(save(slices, tmp_path)))
    assert voxels[:4, 0, 1].tolist() == [-1024, -1024, -1024, -1980]


def test_padding_written_with_the_other_sign_is_the_same_bits(tmp_path):
    series = miniature()
    series.stored[:, :2, :3] = -2000
    slices = datasets(series)
    for dataset in slices:
        dataset.add_new("PixelPaddingValue", "US", 63536)
    voxels = voxels_of(stack_of_files(save(slices, tmp_path)))
    assert (voxels[:3, :2] == -1024).all()
    np.testing.assert_array_equal(voxels[3:], series.voxels[3:])


def test_padding_that_tissue_has_too_is_warned_of(tmp_path):
    slices = datasets(miniature())
    for dataset in slices:
        dataset.add_new("PixelPaddingValue", "SS", 0)
    (warning,) = stack_of_files(save(slices, tmp_path)).warnings
    assert warning.startswith("001.dcm: PixelPaddingValue (0, 0) is a number that tissue has")


def test_run_length_coded_pixels_are_read(tmp_path):
    series = miniature(rescale=SLOPES)
    slices = datasets(series)
    for dataset in slices:
        dataset.compress(RLELossless)
    np.testing.assert_array_equal(voxels_of(stack_of_files(save(slices, tmp_path))), series.voxels)


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_pixels_compressed_without_loss_are_rescaled_once(compressor, modality, kind, tmp_path):
    stored = (miniature().stored + (1000 if kind is np.uint16 else 0)).astype(kind)
    series = miniature(stored=stored, modality=modality, rescale=SLOPES)
    slices = [compressed_by_gdcm(dataset, compressor, tmp_path) for dataset in datasets(series)]
    assert {dataset.file_meta.TransferSyntaxUID.is_compressed for dataset in slices} == {True}
    np.testing.assert_array_equal(voxels_of(stack_of_files(save(slices, tmp_path))), series.voxels)


def test_jpeg_ls_gives_what_the_uncompressed_slice_gives():
    compressed, plain = (
        stack_of_files([Path(get_testdata_file(name, download=False))])
        for name in ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm")
    )
    np.testing.assert_array_equal(voxels_of(compressed), voxels_of(plain))


def test_a_file_without_preamble_is_read_when_its_name_says_dicom(tmp_path):
    series = miniature()
    paths = [tmp_path / f"{index}.dcm" for index in range(4)]
    for dataset, path in zip(datasets(series), paths, strict=True):
        bare = Dataset()
        bare.update({element.tag: element for element in dataset})
        bare.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    np.testing.assert_array_equal(voxels_of(stack_of_files(paths)), series.voxels)
