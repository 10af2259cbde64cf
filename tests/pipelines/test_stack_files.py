"""Slice stacks written as NIfTI block by block."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray

from sliceweave.pipelines.cases import SliceStack, whole_block
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.stack_files import Coding, write_image, write_label
from sliceweave.pipelines.volume_stacks import open_volume

SHAPE = (5, 4, 7)
SHEARED = np.array([[-0.7, 0, 0, 3], [0, -0.8, 1.2, 5], [0, 0.1, 2.5, -7], [0, 0, 0, 1]])


def stack(voxels: NDArray[Any], step: int = 3) -> SliceStack:
    """The volume in blocks of `step` slices."""

    def blocks() -> Iterator[NDArray[Any]]:
        for first in range(0, voxels.shape[2], step):
            yield voxels[..., first : first + step]

    return SliceStack(Geometry(SHEARED, SHAPE), voxels.dtype, blocks)


def save_image(volume: SliceStack, path: Path) -> None:
    with path.open("wb") as file:
        write_image(volume, file)


def save_label(volume: SliceStack, coding: Coding, path: Path) -> NDArray[np.intp]:
    with path.open("wb") as file:
        return write_label(volume, coding, file)


def random(dtype: DTypeLike) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 200, SHAPE).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_an_image_comes_back_to_the_bit_in_its_own_type_on_its_own_grid(dtype: DTypeLike, tmp_path: Path) -> None:
    voxels = random(dtype)
    save_image(stack(voxels), tmp_path / "x.nii.gz")
    image = nib.load(tmp_path / "x.nii.gz")
    np.testing.assert_array_equal(np.asarray(image.dataobj), voxels)
    assert image.get_data_dtype() == dtype
    np.testing.assert_allclose(image.affine, SHEARED, atol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_the_same_volume_gives_the_same_bytes_whatever_its_blocks(tmp_path: Path) -> None:
    voxels = random(np.int16)
    for step in (1, 3, 7):
        save_image(stack(voxels, step), tmp_path / f"{step}.nii.gz")
    contents = {gzip.decompress((tmp_path / f"{step}.nii.gz").read_bytes()) for step in (1, 3, 7)}
    assert len(contents) == 1


def test_codes_and_qform_of_a_nifti_source_are_kept_and_its_text_is_not(tmp_path: Path) -> None:
    source = nib.Nifti1Image(random(np.int16), np.diag([-0.7, -0.8, 2.5, 1]))
    source.set_qform(np.diag([-0.7, -0.8, 2.5, 1]), code=2)
    source.set_sform(np.diag([0.7, 0.8, 2.5, 1]), code=4)
    source.header["descrip"], source.header["db_name"] = b"DOE^JANE", b"DOE"
    nib.save(source, tmp_path / "source.nii")
    save_image(open_volume(tmp_path / "source.nii"), tmp_path / "x.nii.gz")
    written = nib.load(tmp_path / "x.nii.gz").header
    assert (int(written["qform_code"]), int(written["sform_code"])) == (2, 4)
    np.testing.assert_array_equal(written.get_qform(), source.header.get_qform())
    assert b"DOE" not in written.binaryblock


def test_a_slope_is_applied_and_big_endian_double_precision_becomes_float32(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    raw = random(np.int16)
    image = nib.Nifti1Image(raw, SHEARED, header)
    image.header.set_slope_inter(0.5, -1024)
    image.to_filename(tmp_path / "scaled.nii")
    save_image(open_volume(tmp_path / "scaled.nii"), tmp_path / "x.nii.gz")
    made = nib.load(tmp_path / "x.nii.gz")
    np.testing.assert_allclose(made.get_fdata(), nib.load(tmp_path / "scaled.nii").get_fdata(), atol=1e-3)
    assert made.get_data_dtype() == np.float32


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_itk_volumes_keep_whole_numbers_small(suffix: str, tmp_path: Path) -> None:
    from miniature_volumes import AFFINE, numbers, write_itk

    voxels, _ = numbers(0, 2)
    write_itk(tmp_path / f"x{suffix}", voxels, AFFINE)
    opened = open_volume(tmp_path / f"x{suffix}")
    assert opened.dtype == np.int16
    np.testing.assert_array_equal(np.concatenate(list(opened.blocks()), axis=2), voxels)
    np.testing.assert_allclose(opened.geometry.affine_ras, AFFINE, atol=1e-6)


def test_labels_are_recoded_and_counted_by_slice(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(0, 5, SHAPE).astype(np.float32)
    counts = save_label(stack(voxels), Coding({0: 0, 1: 0, 2: 1, 3: 0, 4: 2}, [1, 2]), tmp_path / "x.nii.gz")
    label = np.asarray(nib.load(tmp_path / "x.nii.gz").dataobj)
    np.testing.assert_array_equal(label == 1, voxels == 2)
    np.testing.assert_array_equal(label == 2, voxels == 4)
    np.testing.assert_array_equal(counts, [(voxels == 2).sum((0, 1)), (voxels == 4).sum((0, 1))])
    assert label.dtype == np.uint8


def test_an_empty_label_counts_nothing() -> None:
    counts = write_label(stack(np.zeros(SHAPE, np.int16)), Coding({1: 1}, [1]), None)
    np.testing.assert_array_equal(counts, np.zeros((1, 7)))


@pytest.mark.parametrize("value", [3, -1, 255, 4000])
def test_a_value_without_meaning_is_refused(value: int) -> None:
    voxels = np.zeros(SHAPE, np.int16)
    voxels[1, 2, 6] = value
    with pytest.raises(InputError, match=f"expected the label values 0, 1, got {value}; say what they mean"):
        write_label(stack(voxels), Coding({1: 1}, [1]), None)


def test_other_values_take_the_label_they_are_given() -> None:
    voxels = np.arange(-2, 5, dtype=np.int16)[None, None] * np.ones(SHAPE, np.int16)
    np.testing.assert_array_equal(Coding({2: 1}, [1], others=0).apply(voxels), voxels == 2)


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e9])
def test_what_is_no_label_is_refused(value: float) -> None:
    voxels = np.zeros(SHAPE, np.float32)
    voxels[0, 0, 0] = value
    with pytest.raises(InputError, match="expected whole label values, got numbers"):
        Coding({1: 1}, [1], others=0).apply(voxels)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_with_no_number_in_a_voxel_is_refused(value: float, tmp_path: Path) -> None:
    voxels = random(np.float32)
    voxels[1, 2, 6] = value
    with pytest.raises(InputError, match="got at least 1 NaN or infinite"):
        save_image(stack(voxels), tmp_path / "x.nii.gz")


def test_a_source_that_ends_early_or_breaks_is_one_line(tmp_path: Path) -> None:
    short = SliceStack(Geometry(SHEARED, SHAPE), np.int16, whole_block(random(np.int16)[..., :5]))
    with pytest.raises(InputError, match="expected 7 slices, got 5"):
        save_image(short, tmp_path / "x.nii.gz")

    def failing() -> Iterator[NDArray[Any]]:
        raise OSError("Input/output error")
        yield

    with pytest.raises(InputError, match="expected a source that can be read to its end, got: Input/output error"):
        save_image(SliceStack(Geometry(SHEARED, SHAPE), np.int16, failing), tmp_path / "x.nii.gz")


def test_memory_does_not_grow_with_the_number_of_slices(tmp_path: Path) -> None:
    import tracemalloc

    def peak(slices: int) -> int:
        def blocks() -> Iterator[NDArray[Any]]:
            for _ in range(slices):
                yield np.zeros((256, 256, 1), np.int16)

        volume = SliceStack(Geometry(np.diag([1, 1, 2.0, 1]), (256, 256, slices)), np.int16, blocks)
        tracemalloc.start()
        save_image(volume, tmp_path / "x.nii.gz")
        save_label(volume, Coding({1: 1}, [1]), tmp_path / "y.nii.gz")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(200) < 1.2 * peak(20)
