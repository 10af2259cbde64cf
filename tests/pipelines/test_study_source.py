from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from typer.testing import CliRunner

from sliceweave.pipelines.cli import app
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.reading import read_grid, read_scan, write_mask
from sliceweave.pipelines.study_source import GENERATED, PAINTED, REAL, mark, source_of

SMALL = PhantomOptions(size=32, slices=6, spacing_mm=(7.0, 7.0, 26.0))


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantoms("hematoma", folder, 1, 5, SMALL, workers=1)
    return next((folder / "images").glob("*.nii.gz"))


def with_text(text: bytes, path: Path) -> Path:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.diag([1.0, 2, 3, 1]))
    image.header["descrip"] = text
    nib.save(image, path)
    return path


def test_a_generated_study_says_so_in_image_and_label(phantom: Path) -> None:
    for path in (phantom, phantom.parents[1] / "labels" / phantom.name):
        assert nib.load(path).header["descrip"].item() == b"sliceweave phantom"
        assert source_of(read_scan(path).header) == GENERATED
        assert source_of(read_grid(path)[1]) == GENERATED


@pytest.mark.parametrize("text", [b"", b"FSL5.0", b"Doe^John", b"sliceweave phantoms"])
def test_any_other_text_is_that_of_a_real_scan_and_goes_no_further(text: bytes, tmp_path: Path) -> None:
    scan = read_scan(with_text(text, tmp_path / "a.nii"))
    assert source_of(scan.header) == REAL
    assert scan.header["descrip"].item() == b""


@pytest.mark.parametrize("source", [GENERATED, PAINTED, REAL])
def test_a_mark_reads_back(source: str) -> None:
    header = nib.Nifti1Header()
    mark(header, source)
    assert source_of(header) == source


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd", ".nii"])
def test_the_mark_goes_into_other_formats(suffix: str, phantom: Path, tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(phantom)), str(tmp_path / f"s{suffix}"))
    assert source_of(read_scan(tmp_path / f"s{suffix}").header) == GENERATED
    plain = SimpleITK.GetImageFromArray(np.zeros((4, 5, 6), np.int16))
    SimpleITK.WriteImage(plain, str(tmp_path / f"real{suffix}"))
    assert source_of(read_scan(tmp_path / f"real{suffix}").header) == REAL


def test_the_mark_goes_into_masks_and_through_prepare(phantom: Path, tmp_path: Path) -> None:
    scan = read_scan(phantom)
    write_mask(np.zeros(scan.geometry.shape, np.uint8), scan, tmp_path / "m.nii.gz")
    assert source_of(nib.load(tmp_path / "m.nii.gz").header) == GENERATED

    source, dest = phantom.parents[1], tmp_path / "prepared"
    done = CliRunner().invoke(app, ["prepare", "hematoma", str(source), str(dest), "--workers", "1"])
    assert done.exit_code == 0, done.output
    prepared = next((dest / "images").glob("*.nii.gz"))
    assert source_of(read_scan(prepared).header) == GENERATED


def test_a_study_of_an_earlier_version_without_the_mark_is_made_again(tmp_path: Path) -> None:
    write_phantoms("hematoma", tmp_path, 1, 5, SMALL, workers=1)
    path = next((tmp_path / "images").glob("*.nii.gz"))
    image = nib.load(path)
    unmarked = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    unmarked.header["descrip"] = b""
    nib.save(unmarked, path)
    assert source_of(read_scan(path).header) == REAL
    write_phantoms("hematoma", tmp_path, 1, 5, SMALL, workers=1)
    assert source_of(read_scan(path).header) == GENERATED
    kept = path.stat().st_mtime_ns
    write_phantoms("hematoma", tmp_path, 1, 5, SMALL, workers=1)
    assert path.stat().st_mtime_ns == kept
