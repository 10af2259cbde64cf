import contextlib
import gzip
import json
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import NibabelReader
from monai.transforms import LoadImage
from scipy.spatial.transform import Rotation

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.reading import read_grid, read_scan, write_mask
from sliceweave.pipelines.studies import CONVERSION_ADVICE
from sliceweave.pipelines.study_reader import StudyReader

SHAPE = (20, 30, 12)
STEPS_MM = (0.5, 0.6, 3.0)
ORIGIN_RAS_MM = (10.0, 20.0, -30.0)
VOXELS = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)
ROTATION = Rotation.from_euler("xyz", [9, -7, 12], degrees=True).as_matrix()


def affine_of(columns):
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = ORIGIN_RAS_MM
    return affine


def tilted_columns():
    angle = np.radians(18.5)
    columns = np.diag(STEPS_MM)
    columns[:, 1] = 0.6 * np.array([0, np.cos(angle), np.sin(angle)])
    return columns


AFFINES = {
    "straight": affine_of(np.diag(STEPS_MM)),
    "flipped": affine_of(np.diag([-0.5, -0.6, 3.0])),
    "downwards": affine_of(np.diag([0.5, -0.6, -3.0])),
    "sagittal": affine_of(np.diag(STEPS_MM)[:, [2, 0, 1]]),
    "oblique": affine_of(ROTATION @ np.diag(STEPS_MM)),
    "sheared": affine_of(tilted_columns()),
}


def save(path, voxels=VOXELS, affine=AFFINES["oblique"], image_class=nib.Nifti1Image, **header):
    """Writes a NIfTI file, then puts raw values into its header, even impossible ones."""
    image = image_class(voxels, affine)
    image.header.set_xyzt_units("mm")
    content = bytearray(image.to_bytes())
    size = image.header.sizeof_hdr
    raw = type(image.header)(bytes(content[:size]), check=False)
    for name, value in header.items():
        raw[name] = value
    content[:size] = raw.binaryblock
    path.write_bytes(gzip.compress(bytes(content), 1) if path.name.lower().endswith(".gz") else bytes(content))
    return path


def nrrd(path, voxels=VOXELS, encoding="raw", **changes):
    """Writes an NRRD file with the standard's own field names (underscores for spaces); None leaves a field out."""
    fields = {
        "type": "short",
        "dimension": 3,
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, voxels.shape)),
        "space_directions": "(0.5,0,0) (0,0.6,0) (0,0,3)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": encoding,
        "space_origin": "(1,2,3)",
    } | changes
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in fields.items() if value is not None]
    data = voxels.tobytes(order="F")
    content = gzip.compress(data) if encoding == "gzip" else data
    path.write_bytes("\n".join(["NRRD0004", *lines, "", ""]).encode() + content)
    return path


def metaimage(path, voxels=VOXELS, compressed=False, **changes):
    """Writes a .mha file; None leaves a field out."""
    data = voxels.tobytes(order="F")
    content = zlib.compress(data) if compressed else data
    fields = {
        "ObjectType": "Image",
        "NDims": voxels.ndim,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": compressed,
        "CompressedDataSize": len(content) if compressed else None,
        "TransformMatrix": " ".join(f"{x:g}" for x in np.eye(voxels.ndim).ravel()),
        "Offset": " ".join(["0"] * voxels.ndim),
        "ElementSpacing": " ".join(map(str, [0.5, 0.6, 3.0, 1.0][: voxels.ndim])),
        "DimSize": " ".join(map(str, voxels.shape)),
        "ElementNumberOfChannels": None,
        "ElementType": "MET_SHORT",
        "ElementDataFile": "LOCAL",
    } | changes
    lines = [f"{name} = {value}" for name, value in fields.items() if value is not None]
    path.write_bytes("\n".join([*lines, ""]).encode() + content)
    return path


def cut(path, count):
    path.write_bytes(path.read_bytes()[:-count])
    return path


def damaged(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)
    return path


def reason(path):
    with pytest.raises(InputError) as caught:
        read_scan(path)
    text = str(caught.value)
    assert text.startswith(f"{path.name}: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
@pytest.mark.parametrize("orientation", AFFINES)
def test_nifti_gives_the_voxels_and_the_affine_nibabel_gives(tmp_path, orientation, suffix):
    path = save(tmp_path / f"a{suffix}", affine=AFFINES[orientation])
    scan = read_scan(path)
    assert scan.voxels.dtype == np.float32
    np.testing.assert_array_equal(scan.voxels, VOXELS)
    np.testing.assert_array_equal(scan.geometry.affine_ras, nib.Nifti1Image.from_bytes(_content(path)).affine)
    assert ("sheared" in scan.geometry.flags) == (orientation == "sheared")


def _content(path):
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("orientation", ["straight", "flipped", "oblique"])
def test_nrrd_and_metaimage_give_the_affine_in_ras(tmp_path, suffix, compressed, orientation):
    path, affine = tmp_path / f"a{suffix}", AFFINES[orientation]
    lps = np.diag([-1, -1, 1]) @ affine[:3]
    image = sitk.GetImageFromArray(VOXELS.T)
    image.SetSpacing(STEPS_MM)
    image.SetDirection((lps[:, :3] / STEPS_MM).ravel().tolist())
    image.SetOrigin(lps[:, 3].tolist())
    sitk.WriteImage(image, path, compressed)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.voxels, VOXELS)
    np.testing.assert_allclose(scan.geometry.affine_ras, affine, atol=1e-6)
    assert int(scan.header["sform_code"]) == 1


def test_a_sheared_nrrd_is_sheared_in_ras(tmp_path):
    scan = read_scan(nrrd(tmp_path / "a.nrrd", space_directions="(0.5,0,0) (0,0.6,0) (0,1,3)"))
    np.testing.assert_allclose(scan.geometry.affine_ras[:3, 2], [0, -1, 3])
    assert "sheared" in scan.geometry.flags
    assert int(scan.header["qform_code"]) == 0


def test_slope_and_intercept_are_applied(tmp_path):
    scan = read_scan(save(tmp_path / "a.nii.gz", scl_slope=2, scl_inter=-1024))
    np.testing.assert_array_equal(scan.voxels, 2.0 * VOXELS - 1024)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", ">i2", "i4", "i8", "f4", ">f4", "f8"])
def test_every_real_voxel_type_becomes_float32(tmp_path, dtype):
    voxels = (VOXELS % 100).astype(dtype)
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(voxels.dtype)
    nib.Nifti1Image(voxels, AFFINES["straight"], header).to_filename(tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii")
    assert scan.voxels.dtype == np.dtype(np.float32)
    np.testing.assert_array_equal(scan.voxels, voxels)


@pytest.mark.parametrize("shape", [(*SHAPE, 1), (*SHAPE, 1, 1), (20, 30), (20, 30, 1)])
def test_one_volume_or_one_slice_becomes_three_axes(tmp_path, shape):
    voxels = VOXELS[..., 0].reshape(shape) if np.prod(shape) == 600 else VOXELS.reshape(shape)
    scan = read_scan(save(tmp_path / "a.nii.gz", voxels))
    assert scan.voxels.shape == scan.geometry.shape == (*shape, 1)[:3]
    write_mask(scan.voxels > 0, scan, tmp_path / "a_mask.nii.gz")
    assert nib.load(tmp_path / "a_mask.nii.gz").shape == scan.geometry.shape


def test_a_plain_file_named_gz_is_read_by_its_content(tmp_path):
    save(tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(read_scan(tmp_path / "a.nii.gz").voxels, VOXELS)


def test_a_header_without_orientation_is_accepted(tmp_path):
    scan = read_scan(save(tmp_path / "a.nii", qform_code=0, sform_code=0))
    np.testing.assert_allclose(scan.geometry.spacing_mm, STEPS_MM, rtol=1e-6)


def test_spacing_may_be_the_distance_between_leaning_planes(tmp_path):
    pixdim = [1, 0.5, 0.6 * np.cos(np.radians(18.5)), 3.0 * np.cos(np.radians(18.5)), 0, 0, 0, 0]
    save(tmp_path / "a.nii", affine=AFFINES["sheared"], pixdim=pixdim)
    assert read_scan(tmp_path / "a.nii").geometry.voxel_ml == pytest.approx(0.0009 * np.cos(np.radians(18.5)), rel=1e-6)


@pytest.mark.parametrize("name", ["a.geometry.json", "patient%2F1.geometry.json"])
def test_slice_positions_come_from_the_file_beside_the_image(tmp_path, name):
    gaps_mm = np.array([2.0, 4.0] * 6)[: SHAPE[2] - 1]
    heights_mm = np.concatenate([[0], np.cumsum(gaps_mm)])
    step, first = np.polyfit(np.arange(SHAPE[2]), heights_mm, 1)
    affine = np.diag([0.5, 0.6, step, 1.0])
    affine[2, 3] = first
    (tmp_path / name).write_text(json.dumps({"slice_origins_ras_mm": [[0, 0, height] for height in heights_mm]}))
    scan = read_scan(save(tmp_path / "a.nii.gz", affine=affine), "patient/1")
    assert scan.geometry.flags == ("uneven_slices", "missing_slices")
    grid, _ = read_grid(tmp_path / "a.nii.gz", "patient/1")
    np.testing.assert_array_equal(grid.slice_thicknesses_mm, scan.geometry.slice_thicknesses_mm)


def test_a_broken_file_of_slice_positions_is_named(tmp_path):
    (tmp_path / "a.geometry.json").write_text("{")
    assert "a.geometry.json" in reason(save(tmp_path / "a.nii"))


def test_the_grid_alone_is_that_of_the_scan_and_needs_no_voxels(tmp_path):
    for path in (save(tmp_path / "a.nii.gz"), nrrd(tmp_path / "a.nrrd")):
        scan, (grid, header) = read_scan(path), read_grid(path)
        np.testing.assert_array_equal(grid.affine_ras, scan.geometry.affine_ras)
        assert grid.shape == scan.geometry.shape
        assert header.binaryblock == scan.header.binaryblock
    whole = save(tmp_path / "whole.nii.gz")
    assert read_grid(cut(whole, 1000))[0].shape == SHAPE
    with pytest.raises(InputError, match=r"nowhere\.nii: expected a file that can be read"):
        read_grid(tmp_path / "nowhere.nii")


@pytest.mark.parametrize("count", [1, 8, 9, 1000, 10_000])
def test_a_truncated_nii_gz_fails_and_is_not_read_as_zeros(tmp_path, count):
    assert "cut short or damaged" in reason(cut(save(tmp_path / "a.nii.gz"), count))


@pytest.mark.parametrize("count", [1, 352, 10_000])
def test_a_truncated_nii_fails(tmp_path, count):
    assert "cut short" in reason(cut(save(tmp_path / "a.nii"), count))


@pytest.mark.parametrize("at", [-2, -6, -3000])
def test_a_nii_gz_with_a_wrong_byte_fails(tmp_path, at):
    assert "damaged" in reason(damaged(save(tmp_path / "a.nii.gz"), at))


def test_a_file_that_is_no_nifti_says_what_it_is(tmp_path):
    text, path = b"study_id,image\n" * 100, tmp_path / "a.nii.gz"
    path.write_bytes(text)
    assert "expected a NIfTI file, got a text file" in reason(path)
    path.write_bytes(gzip.compress(text))
    assert "got a text file" in reason(path)
    path.write_bytes(b"")
    assert "got a file of 0 bytes" in reason(path)
    path.write_bytes(save(tmp_path / "b.nii").read_bytes()[:300])
    assert "got a file of 300 bytes" in reason(path)
    path.write_bytes(bytes(128) + b"DICM" + bytes(1000))
    assert "got a DICOM file" in reason(path)
    path.write_bytes(bytes(2000))
    assert "got something else" in reason(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd"])
def test_a_file_that_cannot_be_opened_says_why(tmp_path, suffix):
    assert "No such file" in reason(tmp_path / f"missing{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    assert "got a folder" in reason(tmp_path / f"folder{suffix}")


def test_another_format_is_answered_with_what_to_do(tmp_path):
    (tmp_path / "a.dcm").touch()
    assert "expected one of .nii.gz, .nii" in reason(tmp_path / "a.dcm")
    assert CONVERSION_ADVICE in reason(tmp_path / "a.dcm")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_voxels_that_are_no_number_are_counted(tmp_path, bad):
    voxels = VOXELS.astype(np.float64)
    voxels[1:3, 4, 5] = bad
    assert "got 2 that are NaN or infinite" in reason(save(tmp_path / "a.nii.gz", voxels))


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (np.stack([VOXELS] * 3, -1), "expected one volume, got 3 in shape 20x30x12x3"),
        (np.stack([VOXELS[..., :1]] * 7, -1), "expected one volume, got 7"),
        (VOXELS.astype(np.complex64), "got complex numbers"),
        (np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), "got colours"),
        (VOXELS[:, 0, 0], "expected a 3D image, got the shape 20"),
    ],
)
def test_what_is_not_one_volume_of_numbers_fails(tmp_path, voxels, words):
    assert words in reason(save(tmp_path / "a.nii.gz", voxels))


def pixdim(*steps):
    return [1, *steps, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (
            {"pixdim": pixdim(0.5, 0.6, 0)},
            "expected a voxel size above zero on each axis, got spacing 0.5 x 0.6 x 0",
        ),
        ({"pixdim": pixdim(0.5, np.nan, 3)}, "got spacing 0.5 x nan x 3 mm"),
        ({"pixdim": pixdim(0.5, 0.6, 5)}, "got pixdim 0.5 x 0.6 x 5 mm but affine 0.5 x 0.6 x 3 mm"),
        ({"pixdim": pixdim(0.5, 0.6, 3.04)}, "but affine"),
        ({"xyzt_units": 1}, "expected spacing in mm, got a header in metres"),
        ({"xyzt_units": 3}, "expected spacing in mm, got a header in micrometres"),
        ({"sform_code": 6}, "expected sform_code 0 to 5, got 6; repair the header"),
        ({"qform_code": -1}, "expected qform_code 0 to 5, got -1; repair the header"),
        ({"srow_x": np.nan}, "finite"),
        ({"srow_x": 0}, "singular"),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": 5}, "damaged"),
        ({"datatype": 999}, "expected a known voxel type, got code 999"),
        ({"dim": [3, -20, 30, 12, 1, 1, 1, 1]}, "expected a 3D image, got the shape -20x30x12"),
        ({"dim": [3, 20, 0, 12, 1, 1, 1, 1]}, "got the shape 20x0x12"),
        ({"dim": [0, 20, 30, 12, 1, 1, 1, 1]}, "expected a 3D image"),
        ({"dim": [9, 20, 30, 12, 1, 1, 1, 1]}, "expected a 3D image"),
        ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "claims 30000x30000x30000 voxels"),
        ({"dim": [3, 500, 500, 500, 1, 1, 1, 1]}, "expected 250000000 bytes of voxels, got a file of"),
        ({"vox_offset": 1e6}, "cut short or damaged"),
        ({"vox_offset": np.nan}, "damaged"),
        ({"scl_slope": 2, "scl_inter": np.nan}, "damaged"),
        ({"vox_offset": 0.5}, "vox offset 0.5 too low"),
        ({"magic": b"ni1"}, "expected a NIfTI file, got something else"),
        ({"magic": b"n+1x"}, "expected a NIfTI file, got something else"),
    ],
)
def test_an_impossible_header_fails_with_its_reason(tmp_path, header, words):
    for name in ("a.nii", "a.nii.gz"):
        assert words in reason(save(tmp_path / name, affine=AFFINES["straight"], **header))


def test_a_file_copied_as_text_is_refused(tmp_path):
    path = save(tmp_path / "a.nii", image_class=nib.Nifti2Image, eol_check=[10, 10, 26, 10])
    assert "expected a whole file, got one with converted line ends" in reason(path)


@pytest.mark.parametrize("factor", [0.01, 100])
def test_a_spacing_that_no_scanner_has_fails(tmp_path, factor):
    affine = AFFINES["straight"] * [factor, factor, factor, 1]
    assert "expected 0.05 to 30" in reason(save(tmp_path / "a.nii", affine=affine))


def test_a_header_of_absurd_size_fails_before_memory_is_taken(tmp_path):
    def bomb(shape):
        return save(tmp_path / "a.nii.gz", dim=[3, *shape, 1, 1, 1, 1])

    assert "claims 30000x30000x10000 voxels" in reason(bomb((30000, 30000, 10000)))
    assert "bytes of voxels, got a file of" in reason(bomb((1000, 1000, 400)))
    huge = nrrd(tmp_path / "a.nrrd", sizes="30000 30000 10000")
    assert "claims 30000x30000x10000 voxels" in reason(huge)


@pytest.mark.parametrize("count", [1, 5, 2000, 10_000])
@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_nrrd_and_metaimage_fail(tmp_path, count, compressed):
    assert "cut short" in reason(cut(nrrd(tmp_path / "a.nrrd", encoding="gzip" if compressed else "raw"), count))
    assert "cut short" in reason(cut(metaimage(tmp_path / "a.mha", compressed=compressed), count))


def test_compressed_nrrd_and_metaimage_with_a_wrong_byte_fail(tmp_path):
    assert "damaged" in reason(damaged(nrrd(tmp_path / "a.nrrd", encoding="gzip"), -3000))
    assert "damaged" in reason(damaged(metaimage(tmp_path / "a.mha", compressed=True), -3000))


def test_a_mhd_without_its_voxels_or_with_too_few_fails(tmp_path):
    metaimage(tmp_path / "a.mhd", ElementDataFile="a.raw")
    assert "expected the voxels in 'a.raw' beside it, got no such file" in reason(tmp_path / "a.mhd")
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes()[:-100])
    assert "expected 14400 bytes of voxels, got 14300" in reason(tmp_path / "a.mhd")
    (tmp_path / "a.raw").write_bytes(VOXELS.tobytes(order="F"))
    np.testing.assert_array_equal(read_scan(tmp_path / "a.mhd").voxels, VOXELS)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("content", [b"", b"hello\n" * 100])
def test_text_named_as_an_image_fails(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert f"expected the header of a {suffix} file" in reason(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space_directions": None, "space": None, "space_origin": None}, "expected a spacing in the header, got none"),
        ({"space_directions": "(0.5,0,0) (0,0.6,0) (0,0,0)"}, "expected a voxel size above zero"),
        ({"space_directions": "(0.5,0,0) (1,0,0) (0,0,3)"}, "determinant"),
        ({"space_directions": "(0.5,0,0) (0,0.6,0) (0,0,300)"}, "expected 0.05 to 30"),
        ({"space_units": '"um" "um" "um"'}, 'got space units "um"'),
        ({"type": "complex"}, "damaged"),
        (
            {
                "dimension": 4,
                "sizes": "3 20 30 4",
                "space_directions": "none (1,0,0) (0,1,0) (0,0,1)",
                "kinds": "vector domain domain domain",
            },
            "got 3 (colours or volumes)",
        ),
    ],
)
def test_an_impossible_nrrd_fails_with_its_reason(tmp_path, changes, words):
    assert words in reason(nrrd(tmp_path / "a.nrrd", **changes))


@pytest.mark.parametrize(
    ("voxels", "changes", "words"),
    [
        (VOXELS, {"ElementSpacing": None}, "expected a spacing in the header, got none"),
        (VOXELS, {"ElementSpacing": "0.5 0.6 0"}, "expected a voxel size above zero"),
        (VOXELS, {"ElementType": "MET_STRANGE"}, "damaged"),
        (VOXELS, {"ElementNumberOfChannels": 3, "DimSize": "20 10 12"}, "got 3 (colours or volumes)"),
        (VOXELS[..., 0], {}, "got a 2D one without a slice thickness"),
        (VOXELS.reshape(20, 30, 4, 3), {}, "expected one volume, got 3"),
    ],
)
def test_an_impossible_metaimage_fails_with_its_reason(tmp_path, voxels, changes, words):
    assert words in reason(metaimage(tmp_path / "a.mha", voxels, **changes))


def test_nan_in_an_nrrd_fails(tmp_path):
    voxels = VOXELS.astype(np.float32)
    voxels[3, 4, 5] = np.nan
    assert "got 1 that are NaN or infinite" in reason(nrrd(tmp_path / "a.nrrd", voxels, type="float"))


def test_a_metaimage_of_four_axes_and_one_volume_is_read(tmp_path):
    scan = read_scan(metaimage(tmp_path / "a.mha", VOXELS[..., None]))
    np.testing.assert_array_equal(scan.voxels, VOXELS)


def test_the_voxels_of_an_nrrd_outlive_what_read_them(tmp_path):
    scans = [read_scan(nrrd(tmp_path / "a.nrrd")) for _ in range(20)]
    assert all(np.array_equal(scan.voxels, VOXELS) for scan in scans)


@pytest.mark.parametrize("orientation", AFFINES)
@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (1, 4), (3, 1)])
def test_a_mask_has_the_grid_of_its_scan_to_the_bit(tmp_path, orientation, codes):
    image = nib.Nifti1Image(VOXELS, AFFINES[orientation])
    image.set_qform(AFFINES[orientation], codes[0])
    image.set_sform(AFFINES[orientation], codes[1])
    image.to_filename(tmp_path / "a.nii.gz")
    scan = read_scan(tmp_path / "a.nii.gz")
    write_mask(VOXELS > 0, scan, tmp_path / "a_mask.nii.gz")
    mask, image = nib.load(tmp_path / "a_mask.nii.gz"), nib.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), VOXELS > 0)
    assert mask.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(mask.affine, image.affine)
    for field in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y"):
        assert mask.header[field] == image.header[field]
    np.testing.assert_array_equal(mask.header["pixdim"][:4], image.header["pixdim"][:4])


def test_a_mask_of_a_nifti2_scan_is_nifti2_and_keeps_double_precision(tmp_path):
    path = save(tmp_path / "a.nii.gz", affine=AFFINES["oblique"], image_class=nib.Nifti2Image)
    write_mask(VOXELS > 0, read_scan(path), tmp_path / "mask.nii")
    np.testing.assert_array_equal(nib.load(tmp_path / "mask.nii").affine, AFFINES["oblique"])


@pytest.mark.parametrize("affine", [AFFINES["oblique"], AFFINES["sheared"]])
def test_a_mask_of_an_nrrd_scan_lies_where_the_scan_lies(tmp_path, affine):
    lps = np.diag([-1, -1, 1]) @ affine[:3]
    directions = " ".join("({:.17g},{:.17g},{:.17g})".format(*column) for column in lps[:, :3].T)
    origin = "({:.17g},{:.17g},{:.17g})".format(*lps[:, 3])
    scan = read_scan(nrrd(tmp_path / "a.nrrd", space_directions=directions, space_origin=origin))
    write_mask(VOXELS > 0, scan, tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(nib.load(tmp_path / "mask.nii.gz").affine, affine, atol=1e-5)
    assert int(nib.load(tmp_path / "mask.nii.gz").header["sform_code"]) == 1
    read_scan(tmp_path / "mask.nii.gz")


def test_a_mask_holds_nothing_of_the_patient(tmp_path):
    path = save(tmp_path / "a.nii", descrip=b"Jane Roe 1970", db_name=b"Jane Roe", intent_name=b"Jane Roe")
    write_mask(VOXELS > 0, read_scan(path), tmp_path / "mask.nii")
    assert b"Jane" not in (tmp_path / "mask.nii").read_bytes()


def test_a_mask_is_the_same_file_each_time(tmp_path):
    scan = read_scan(save(tmp_path / "a.nii"))
    for name in ("one.nii.gz", "two.nii.gz"):
        write_mask(VOXELS > 0, scan, tmp_path / name)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()


def test_a_mask_of_another_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a mask of shape \(20, 30, 12\)"):
        write_mask(VOXELS[..., 1:] > 0, read_scan(save(tmp_path / "a.nii")), tmp_path / "mask.nii")


def test_a_full_disk_leaves_no_half_mask(tmp_path, largest_file_bytes):
    scan, path = read_scan(save(tmp_path / "a.nii")), tmp_path / "mask.nii.gz"
    write_mask(VOXELS > 0, scan, path)
    before = path.read_bytes()
    with largest_file_bytes(500), pytest.raises(InputError, match=r"mask\.nii\.gz"):
        write_mask(VOXELS > 100, scan, path)
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.nii", "mask.nii.gz"]


@pytest.mark.parametrize("orientation", AFFINES)
def test_monai_loads_the_same_through_our_reader_as_through_its_own(tmp_path, orientation):
    path = save(tmp_path / "a.nii.gz", affine=AFFINES[orientation], scl_slope=0.5, scl_inter=-10)
    loaders = [LoadImage(reader=reader, ensure_channel_first=True) for reader in (StudyReader(), NibabelReader())]
    ours, theirs = (load(path) for load in loaders)
    assert ours.shape == theirs.shape == (1, *SHAPE)
    assert ours.dtype == torch.float32
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    for key in ("affine", "original_affine", "spatial_shape", "filename_or_obj"):
        np.testing.assert_array_equal(ours.meta[key], theirs.meta[key])
    assert ours.meta["space"] == theirs.meta["space"]


def test_monai_fails_where_our_reading_fails(tmp_path):
    path = cut(save(tmp_path / "a.nii.gz"), 100)
    with pytest.raises(InputError, match=r"a\.nii\.gz: expected a whole file"):
        LoadImage(reader=StudyReader())(path)
    with pytest.raises(InputError, match="expected one file per image, got 2"):
        StudyReader().get_data(StudyReader().read([path, path]))


def test_the_reader_accepts_the_suffixes_it_reads():
    reader = StudyReader()
    assert reader.verify_suffix("a.nii.gz")
    assert reader.verify_suffix([Path("a.MHA"), "b.nrrd"])
    assert not reader.verify_suffix("a.dcm")


def test_random_damage_to_a_header_never_gives_another_error(tmp_path):
    rng = np.random.default_rng(0)
    for good, header_bytes in ((save(tmp_path / "a.nii"), 352), (nrrd(tmp_path / "a.nrrd"), 280)):
        content = good.read_bytes()
        for _ in range(150):
            broken = bytearray(content)
            broken[rng.integers(header_bytes)] = rng.integers(256)
            good.write_bytes(broken)
            with contextlib.suppress(InputError):
                read_scan(good)


def test_real_scans_are_read_as_nibabel_reads_them(real_data):
    for path in sorted(real_data.glob("*_ct/**/*_ct.nii.gz"))[:4] + sorted(real_data.glob("knee_mr/**/*.nii.gz"))[:1]:
        scan, image = read_scan(path), nib.load(path)
        np.testing.assert_array_equal(scan.voxels, np.asanyarray(image.dataobj))
        np.testing.assert_array_equal(scan.geometry.affine_ras, image.affine)


def test_a_real_nrrd_lies_where_simpleitk_says(real_data):
    path = next(real_data.glob("knee_mr/**/*.nrrd"))
    scan, image = read_scan(path), sitk.ReadImage(path)
    indices = [(0, 0, 0), (100, 20, 3), (5, 200, 100)]
    expected = [np.array(image.TransformIndexToPhysicalPoint(index)) * [-1, -1, 1] for index in indices]
    np.testing.assert_allclose(scan.geometry.to_ras_mm(indices), expected, atol=1e-3)
    np.testing.assert_array_equal(scan.voxels, sitk.GetArrayViewFromImage(image).T)
