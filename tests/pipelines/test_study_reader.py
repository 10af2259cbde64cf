"""A study read once: by MONAI's loader, and then for the report."""

import hashlib
import json
import pickle
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import LoadImage

from sliceweave.pipelines import study_reader
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.file_stamps import sha256_of
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.study_reader import StudyReader


@pytest.fixture
def image(tmp_path: Path) -> Path:
    voxels = np.random.default_rng(0).integers(-1000, 1000, (7, 9, 5)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([0.5, 0.6, 5, 1])), tmp_path / "a.nii.gz")
    return tmp_path / "a.nii.gz"


def loaded(image: Path, keeps: bool = True) -> StudyReader:
    reader = StudyReader()
    reader.keeps = keeps
    LoadImage(reader)(str(image))
    return reader


def test_a_kept_study_is_what_was_loaded_and_is_given_once(image: Path) -> None:
    reader, twin = loaded(image), read_scan(image)
    path = image.rename(image.with_name("moved.nii.gz"))
    study = reader.taken(image)
    np.testing.assert_array_equal(study.scan.voxels, twin.voxels)
    np.testing.assert_array_equal(study.scan.geometry.affine_ras, twin.geometry.affine_ras)
    assert study.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=r"a\.nii\.gz"):
        reader.taken(image)


def test_nothing_is_kept_unless_asked_for(image: Path) -> None:
    reader = loaded(image, keeps=False)
    image.unlink()
    with pytest.raises(InputError, match=r"a\.nii\.gz"):
        reader.taken(image)


def test_slice_positions_named_after_the_study_are_those_of_the_kept_scan(image: Path) -> None:
    origins = [[0, 0, z] for z in (0.25, 4.5, 10.5, 14.5, 20.25)]
    image.with_name("patient.geometry.json").write_text(json.dumps({"slice_origins_ras_mm": origins}))
    study = loaded(image).taken(image, "patient")
    np.testing.assert_array_equal(study.scan.geometry.slice_origins_ras_mm, origins)
    np.testing.assert_array_equal(
        study.scan.geometry.slice_origins_ras_mm, read_scan(image, "patient").geometry.slice_origins_ras_mm
    )


def test_studies_beyond_the_limit_are_read_again(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_reader, "MOST_KEPT_BYTES", 7 * 9 * 5 * 4 - 1)
    study = loaded(image).taken(image)
    np.testing.assert_array_equal(study.scan.voxels, read_scan(image).voxels)


def test_a_missing_file_has_no_hash(tmp_path: Path) -> None:
    assert sha256_of(tmp_path / "nowhere") == ""


def test_another_process_gets_a_reader_that_kept_nothing() -> None:
    reader = StudyReader()
    reader.keeps = True
    again = pickle.loads(pickle.dumps(reader))
    assert type(again) is StudyReader
    assert not again.keeps
