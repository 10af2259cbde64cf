"""DICOM SEG and SR of masks, read back by highdicom itself."""

import json
import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from miniature_dicom import Miniature, datasets, miniature, save, stack_of_files, tilted_miniature
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid
from typer.testing import CliRunner

from sliceweave.pipelines.cli import app

KINDS = {
    "even": lambda: miniature(),
    "tilted": lambda: tilted_miniature((5.0, 5.0, 5.0)),
    "uneven": lambda: miniature((2.5, 2.5, 5.0, 5.0)),
    "tilted and uneven": lambda: tilted_miniature((2.5, 5.0, 5.0)),
}


def written(series: Miniature, folder: Path) -> Path:
    """The folder of the series, its files in no order."""
    slices, frame = datasets(series, patient_id="P1"), generate_uid()
    for dataset in slices:
        dataset.FrameOfReferenceUID = frame
    order = np.random.default_rng(1).permutation(len(slices))
    save([slices[i] for i in order], folder)
    return folder


def mask_of(series: Miniature, value: int = 1) -> np.ndarray:
    """(columns, rows, slices): a block on the inner slices."""
    mask = np.zeros(series.voxels.shape, np.uint8)
    mask[2:6, 3:9, 1:-1] = value
    return mask


def save_mask(mask: np.ndarray, folder: Path, path: Path) -> Path:
    affine = stack_of_files(sorted(folder.iterdir())).geometry.affine_ras
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(mask, affine), path)
    return path


def dicom_of(mask: Path, folder: Path, *options: str) -> tuple[hd.seg.Segmentation, hd.sr.ComprehensiveSR]:
    done = CliRunner().invoke(app, ["dicom", str(mask), str(folder), str(mask.parent / "out"), *options])
    assert done.exit_code == 0, done.output
    seg, report = done.stdout.split()
    return hd.seg.segread(seg), hd.sr.srread(report)


def frames(seg: hd.seg.Segmentation) -> dict[tuple[float, ...], np.ndarray]:
    """The pixels (rows, columns) of each frame by its place in LPS mm, found without highdicom's own indexing."""
    pixels = np.atleast_3d(seg.pixel_array.reshape(-1, seg.Rows, seg.Columns))
    places = [
        tuple(float(x) for x in group.PlanePositionSequence[0].ImagePositionPatient)
        for group in seg.PerFrameFunctionalGroupsSequence
    ]
    return dict(zip(places, pixels, strict=True))


def volumes_ml(report: hd.sr.ComprehensiveSR) -> list[float]:
    groups = report.content.get_volumetric_roi_measurement_groups()
    return [float(group.get_measurements(codes.SCT.Volume)[0].value) for group in groups]


@pytest.mark.parametrize("kind", KINDS)
def test_each_frame_lies_on_its_slice_and_the_report_holds_the_volume(kind: str, tmp_path: Path) -> None:
    series = KINDS[kind]()
    folder = written(series, tmp_path / "series")
    mask = mask_of(series)
    seg, report = dicom_of(save_mask(mask, folder, tmp_path / "m" / "s1_mask.nii.gz"), folder, "--labels", "1=hematoma")
    found = frames(seg)
    inner = range(1, len(series.stored) - 1)
    assert len(found) == len(inner)
    for k in inner:
        place = next(p for p in found if np.allclose(p, series.origins_lps_mm[k], atol=1e-4))
        np.testing.assert_array_equal(found[place], mask[:, :, k].T)
    normal = np.cross(*series.directions)
    gaps_mm = np.diff(series.origins_lps_mm @ normal)
    thickness_mm = [(gaps_mm[k - 1] + gaps_mm[k]) / 2 for k in inner]
    assert volumes_ml(report) == [pytest.approx(24 * 0.7 * 0.5 * sum(thickness_mm) / 1000, rel=1e-5)]


def test_both_refer_to_the_source_and_carry_its_patient(tmp_path: Path) -> None:
    series = miniature()
    folder = written(series, tmp_path / "series")
    seg, report = dicom_of(save_mask(mask_of(series), folder, tmp_path / "m" / "s1_mask.nii.gz"), folder)
    sources = [dcmread(path) for path in sorted(folder.iterdir())]
    uids = {dataset.SOPInstanceUID for dataset in sources}
    assert {uid for _, _, uid in seg.get_source_image_uids()} <= uids
    assert (seg.PatientID, report.PatientID) == ("P1", "P1")
    assert {seg.StudyInstanceUID, report.StudyInstanceUID} == {sources[0].StudyInstanceUID}
    assert seg.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    group = report.content.get_volumetric_roi_measurement_groups()[0]
    assert group.referenced_segment.referenced_sop_instance_uid == seg.SOPInstanceUID
    evidence = {
        instance.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for one in study.ReferencedSeriesSequence
        for instance in one.ReferencedSOPSequence
    }
    assert evidence >= {seg.SOPInstanceUID}
    assert group.tracking_uid == seg.get_segment_description(1).tracking_uid


def test_neither_carries_comments_on_the_patient_or_the_physicians_of_record(tmp_path: Path) -> None:
    series = miniature()
    folder = written(series, tmp_path / "series")
    for path in folder.iterdir():
        dataset = dcmread(path)
        dataset.PatientComments, dataset.PhysiciansOfRecord = "next of kin", "Roe^Richard"
        dataset.save_as(path)
    for made in dicom_of(save_mask(mask_of(series), folder, tmp_path / "m" / "s1_mask.nii.gz"), folder):
        assert "PatientComments" not in made
        assert "PhysiciansOfRecord" not in made


def test_an_empty_mask_is_a_result_of_no_millilitres(tmp_path: Path) -> None:
    series = miniature()
    folder = written(series, tmp_path / "series")
    mask = save_mask(mask_of(series) * 0, folder, tmp_path / "m" / "s1_mask.nii.gz")
    seg, report = dicom_of(mask, folder, "--labels", "1=hematoma")
    assert seg.pixel_array.sum() == 0
    assert volumes_ml(report) == [0.0]


def test_labels_become_segments_with_their_names_and_codes(tmp_path: Path) -> None:
    series = miniature()
    folder = written(series, tmp_path / "series")
    mask = mask_of(series)
    mask[8:10, 3:9, 1] = 4
    path = save_mask(mask, folder, tmp_path / "m" / "s1_mask.nii.gz")
    seg, report = dicom_of(path, folder, "--labels", "1=femoral_cartilage,4=something")
    names = [seg.get_segment_description(number).segment_label for number in (1, 2)]
    assert names == ["femoral_cartilage", "something"]
    assert seg.get_segment_description(1).segmented_property_type == codes.SCT.CartilageTissue
    volume = 0.7 * 0.5 * 5 / 1000
    assert volumes_ml(report) == [pytest.approx(48 * volume, rel=1e-5), pytest.approx(12 * volume, rel=1e-5)]


def test_names_of_labels_may_be_in_any_script(tmp_path: Path) -> None:
    series = miniature()
    folder = written(series, tmp_path / "series")
    path = save_mask(mask_of(series), folder, tmp_path / "m" / "s1_mask.nii.gz")
    seg, report = dicom_of(path, folder, "--labels", "1=血肿\\клот")
    assert seg.get_segment_description(1).segment_label == "血肿/клот"
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    assert group.tracking_identifier == "血肿/клот"


def test_a_mask_may_have_more_labels_than_a_byte_has_values(tmp_path: Path) -> None:
    series = miniature()
    folder = written(series, tmp_path / "series")
    mask = np.zeros(series.voxels.shape, np.uint16)
    mask.reshape(-1)[:300] = np.arange(1, 301)
    seg, _ = dicom_of(save_mask(mask, folder, tmp_path / "m" / "s1_mask.nii.gz"), folder)
    assert seg.number_of_segments == 300
    assert seg.pixel_array.sum() == 300


def test_run_json_names_labels_and_model(tmp_path: Path) -> None:
    series = miniature()
    folder = written(series, tmp_path / "series")
    path = save_mask(mask_of(series), folder, tmp_path / "m" / "s1_mask.nii.gz")
    model = {"name": "hematoma", "version": "0.1+12ab", "labels": {"1": "hematoma"}}
    (path.parent / "run.json").write_text(json.dumps({"model": model}))
    seg, _ = dicom_of(path, folder)
    described = seg.get_segment_description(1)
    assert (described.segment_label, described.algorithm_type) == (
        "hematoma",
        hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
    )
    assert described.algorithm_identification.version == "0.1+12ab"


def test_a_mask_with_turned_axes_is_turned_back(tmp_path: Path) -> None:
    series = tilted_miniature((5.0, 5.0, 5.0))
    folder = written(series, tmp_path / "series")
    path = save_mask(mask_of(series), folder, tmp_path / "m" / "a_mask.nii.gz")
    turn = nib.orientations.axcodes2ornt(("S", "R", "A"))
    image = nib.load(path)
    turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), turn)
    nib.save(image.as_reoriented(turn), path.with_name("b_mask.nii.gz"))
    first, second = (frames(dicom_of(path.with_name(f"{name}_mask.nii.gz"), folder)[0]) for name in "ab")
    assert first.keys() == second.keys()
    for place, pixels in first.items():
        np.testing.assert_array_equal(second[place], pixels)


def refused(mask: Path, folder: Path) -> str:
    done = CliRunner().invoke(app, ["dicom", str(mask), str(folder), str(mask.parent / "out")])
    assert done.exit_code == 1
    assert not (mask.parent / "out").exists()
    return str(done.exception)


def test_a_mask_of_another_scan_is_refused(tmp_path: Path) -> None:
    folder = written(miniature(), tmp_path / "series")
    other = written(tilted_miniature((5.0, 5.0, 5.0)), tmp_path / "other")
    mask = save_mask(mask_of(miniature()), other, tmp_path / "m" / "s1_mask.nii.gz")
    assert "expected a mask on the series' own voxels, 11 x 13 x 4, got another grid" in refused(mask, folder)


def test_a_folder_of_two_series_or_of_none_is_refused(tmp_path: Path) -> None:
    folder = written(miniature(), tmp_path / "series")
    mask = save_mask(mask_of(miniature()), folder, tmp_path / "m" / "s1_mask.nii.gz")
    save(datasets(miniature()), folder, [f"second{n}.dcm" for n in range(4)])
    assert "expected one series, got 2" in refused(mask, folder)
    assert "got no image in it" in refused(mask, mask.parent)


def test_slices_without_a_frame_of_reference_are_refused(tmp_path: Path) -> None:
    series = miniature()
    save(datasets(series), tmp_path / "series")
    mask = save_mask(mask_of(series), tmp_path / "series", tmp_path / "m" / "s1_mask.nii.gz")
    assert "expected a FrameOfReferenceUID to refer to, got none" in refused(mask, tmp_path / "series")


@pytest.fixture(scope="module")
def real(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of a head CT with a tilted gantry, and a mask on it."""
    folder = real_data / "head_ct/ge_tilt_dicom"
    stack = stack_of_files(sorted(folder.iterdir()))
    mask = np.zeros(stack.geometry.shape, np.uint8)
    mask[200:260, 210:300, 5:8] = 1
    path = tmp_path_factory.mktemp("real") / "ct_mask.nii.gz"
    nib.save(nib.Nifti1Image(mask, stack.geometry.affine_ras), path)
    return folder, path


def test_a_real_tilted_head_gets_its_segmentation_on_its_own_slices(real: tuple[Path, Path]) -> None:
    folder, mask = real
    seg, report = dicom_of(mask, folder, "--task", "hematoma")
    headers = [dcmread(path, stop_before_pixels=True) for path in sorted(folder.iterdir())]
    normal = np.cross(headers[0].ImageOrientationPatient[:3], headers[0].ImageOrientationPatient[3:])
    headers.sort(key=lambda header: np.dot(header.ImagePositionPatient, normal))
    places = [tuple(map(float, header.ImagePositionPatient)) for header in headers[5:8]]
    assert sorted(frames(seg)) == sorted(places)
    along = [np.dot(header.ImagePositionPatient, normal) for header in headers]
    area_mm2 = 60 * 90 * np.prod([float(x) for x in headers[0].PixelSpacing])
    expected = area_mm2 * ((along[8] + along[7]) - (along[5] + along[4])) / 2 / 1000
    assert volumes_ml(report) == [pytest.approx(expected, rel=1e-4)]


needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs Debian's dicom3tools")


@needs_dciodvfy
@pytest.mark.parametrize("kind", KINDS)
def test_dciodvfy_finds_no_error(kind: str, tmp_path: Path) -> None:
    series = KINDS[kind]()
    folder = written(series, tmp_path / "series")
    dicom_of(save_mask(mask_of(series), folder, tmp_path / "m" / "s1_mask.nii.gz"), folder)
    assert_verified(tmp_path / "m/out")


@needs_dciodvfy
def test_dciodvfy_finds_no_error_in_those_of_a_real_head(real: tuple[Path, Path]) -> None:
    folder, mask = real
    dicom_of(mask, folder, "--task", "hematoma")
    assert_verified(mask.parent / "out")


def assert_verified(folder: Path) -> None:
    for path in folder.iterdir():
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True).stderr
        assert [line for line in said.splitlines() if line.startswith("Error")] == []
