"""DICOM SEG and SR of a run, for studies that `prepare` made of DICOM series."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import highdicom as hd
import numpy as np
import pytest
from miniature_dicom import Miniature, datasets, miniature, save, tilted_miniature
from pydicom import dcmread
from pydicom.uid import generate_uid
from tqdm import tqdm
from typer.testing import CliRunner

from sliceweave.pipelines import dicom_results as module
from sliceweave.pipelines.cli import app
from sliceweave.pipelines.dicom_results import DicomResults, dicom_results
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.inference import Segmented, VolumeReport, pending
from sliceweave.pipelines.model import Model
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.study_kind import study_kind

MODEL = Model("hematoma", "1", {1: "hematoma"})


def write_series(series: Miniature, folder: Path, name: str = "Doe^Jane", **of_dataset: object) -> Path:
    slices, frame = datasets(series, **of_dataset), generate_uid()
    for dataset in slices:
        dataset.FrameOfReferenceUID, dataset.PatientName = frame, name
    save(slices, folder, [f"{dataset.SeriesNumber}_{n}.dcm" for n, dataset in enumerate(slices)])
    return folder


def prepared(source: Path, dest: Path, *options: str) -> Path:
    done = CliRunner().invoke(app, ["prepare", "hematoma", str(source), str(dest), *options])
    assert done.exit_code == 0, done.output
    return dest


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two patients of one grid, a folder each."""
    write_series(miniature(seed=1), tmp_path / "src/a/ct")
    write_series(miniature(seed=2), tmp_path / "src/b/ct")
    return tmp_path / "src"


def handler_of(dest: Path, out: Path, dicom: DicomResults | None) -> VolumeReport:
    out.mkdir(exist_ok=True)
    handler = VolumeReport(Report(out), MODEL, study_kind("hematoma"), pictures=False, dicom=dicom)
    handler.cases = {case["study_id"]: case for case in pending(str(dest), Report(out), MODEL, False, dicom)}
    handler.bar, handler.began = tqdm(disable=True), 0.0
    return handler


def segmented(handler: VolumeReport, study_id: str) -> None:
    """As if the network had marked a block of the study."""
    case = handler.cases[study_id]
    mask = np.zeros(read_scan(Path(case["image"])).geometry.shape, np.uint8)
    mask[2:6, 3:9, 1:3] = 1
    handler.take(case, Segmented(mask, 0, None))


def test_each_study_gets_results_that_refer_to_its_own_series(source: Path, tmp_path: Path) -> None:
    dest, out = prepared(source, tmp_path / "dest"), tmp_path / "out"
    handler = handler_of(dest, out, dicom_results(str(source), str(dest)))
    for study_id in handler.cases:
        segmented(handler, study_id)
    for study_id in ("a_ct", "b_ct"):
        own = {dataset.SOPInstanceUID for dataset in map(hd.imread, sorted((source / study_id[0] / "ct").iterdir()))}
        seg = hd.seg.segread(out / f"{study_id}_seg.dcm")
        assert {uid for _, _, uid in seg.get_source_image_uids()} <= own
        assert seg.pixel_array.sum() == 4 * 6 * 2
        assert seg.get_segment_description(1).algorithm_identification.version == "1"
        assert hd.sr.srread(out / f"{study_id}_sr.dcm").PatientName == "Doe^Jane"


def test_a_resumed_run_does_again_what_lacks_its_dicom_results(source: Path, tmp_path: Path) -> None:
    dest, out = prepared(source, tmp_path / "dest"), tmp_path / "out"
    dicom = DicomResults(str(source), str(dest))
    handler = handler_of(dest, out, dicom)
    for study_id in handler.cases:
        segmented(handler, study_id)
    handler.report.close()

    def due(wanted: DicomResults | None) -> list[str]:
        return [case["study_id"] for case in pending(str(dest), Report(out, True), MODEL, False, wanted)]

    assert due(dicom) == []
    (out / "b_ct_sr.dcm").unlink()
    assert due(dicom) == ["b_ct"]
    assert due(None) == []


@pytest.mark.parametrize("keyword", ["PatientName", "PatientID", "AccessionNumber"])
def test_a_resumed_run_does_again_what_names_a_patient_otherwise_than_the_series_now(
    source: Path, tmp_path: Path, keyword: str
) -> None:
    dest, out = prepared(source, tmp_path / "dest"), tmp_path / "out"
    dicom = DicomResults(str(source), str(dest))
    handler = handler_of(dest, out, dicom)
    for study_id in handler.cases:
        segmented(handler, study_id)
    handler.report.close()
    for path in (source / "a").rglob("*.dcm"):
        dataset = dcmread(path)
        setattr(dataset, keyword, "CORRECTED")
        dataset.save_as(path)
    (source / "b/ct/DICOMDIR").write_text("no image")
    due = pending(str(dest), Report(out, True), MODEL, False, dicom)
    assert [case["study_id"] for case in due] == ["a_ct"]


def test_results_of_an_earlier_run_do_not_stand_beside_a_new_mask(source: Path, tmp_path: Path) -> None:
    dest, out = prepared(source, tmp_path / "dest"), tmp_path / "out"
    segmented(handler_of(dest, out, DicomResults(str(source), str(dest))), "a_ct")
    assert len(list(out.glob("*.dcm"))) == 2
    segmented(handler_of(dest, out, None), "a_ct")
    assert list(out.glob("*.dcm")) == []


def test_another_patients_series_of_the_same_grid_is_refused(source: Path, tmp_path: Path) -> None:
    dest, out = prepared(source, tmp_path / "dest"), tmp_path / "out"
    (source / "a").rename(source / "c")
    (source / "b").rename(source / "a")
    (source / "c").rename(source / "b")
    handler = handler_of(dest, out, DicomResults(str(source), str(dest)))
    segmented(handler, "a_ct")
    assert handler.report.failed() == ["a_ct"]
    assert "expected the series that the study was made of, got other pixels" in (out / "volumes.csv").read_text()
    assert list(out.glob("*.dcm")) == []


def test_another_grid_fails_the_study_alone(source: Path, tmp_path: Path) -> None:
    dest, out = prepared(source, tmp_path / "dest"), tmp_path / "out"
    for path in (source / "a/ct").iterdir():
        path.unlink()
    write_series(tilted_miniature((5.0, 5.0, 5.0)), source / "a/ct")
    handler = handler_of(dest, out, DicomResults(str(source), str(dest)))
    for study_id in handler.cases:
        segmented(handler, study_id)
    assert handler.report.failed() == ["a_ct"]
    assert sorted(path.name for path in out.glob("*.dcm")) == ["b_ct_seg.dcm", "b_ct_sr.dcm"]


@pytest.mark.parametrize(("options", "study_id"), [(["--series", "7"], "a"), (["--series", "all"], "a_s7")])
def test_of_several_series_in_a_folder_it_is_the_one_that_was_prepared(
    options: list[str], study_id: str, tmp_path: Path
) -> None:
    source = tmp_path / "src"
    write_series(miniature(seed=1), source / "a", number=2)
    write_series(miniature(seed=2), source / "a", number=7)
    dest, out = prepared(source, tmp_path / "dest", *options), tmp_path / "out"
    handler = handler_of(dest, out, DicomResults(str(source), str(dest)))
    segmented(handler, study_id)
    assert handler.report.failed() == []
    seven = {hd.imread(path).SOPInstanceUID for path in (source / "a").glob("7_*")}
    seg = hd.seg.segread(out / f"{study_id}_seg.dcm")
    assert {uid for _, _, uid in seg.get_source_image_uids()} <= seven


def test_studies_without_a_folder_are_named_before_anything_is_done(source: Path, tmp_path: Path) -> None:
    dest = prepared(source, tmp_path / "dest")
    dicom = DicomResults(str(source / "a"), str(dest))
    words = "expected a folder for each study, got none for 'a_ct' and 1 others; give the folder that was prepared"
    with pytest.raises(InputError, match=words):
        pending(str(dest), Report(tmp_path / "out"), MODEL, False, dicom)


def test_a_source_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected the folder of DICOM series that was prepared"):
        dicom_results(str(tmp_path / "nowhere"), None)


def test_two_folders_of_one_id_are_told_apart_as_prepare_does(tmp_path: Path) -> None:
    for seed, folder in enumerate(("a/b", "a_b")):
        write_series(miniature(seed=seed), tmp_path / "src" / folder)
    dest = prepared(tmp_path / "src", tmp_path / "dest")
    dicom = DicomResults(str(tmp_path / "src"), str(dest))
    for study_id in ("a_b", "a_b_2"):
        dicom.check([study_id])
        scan = read_scan(dest / f"images/{study_id}.nii.gz")
        assert dicom.made_of(study_id, np.ones(scan.voxels.shape, np.uint8), scan, MODEL)


def test_without_highdicom_the_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_module(name: str) -> SimpleNamespace:
        raise ImportError(name)

    monkeypatch.setattr(module.importlib, "import_module", no_such_module)
    with pytest.raises(InputError, match=r"sliceweave\[dicom\]"):
        DicomResults(str(tmp_path), "")


def test_no_name_of_a_patient_is_warned_about(source: Path, tmp_path: Path) -> None:
    for path in (source / "a/ct").iterdir():
        path.unlink()
    write_series(miniature(seed=1), source / "a/ct", name="REMOVED")
    dest, out = prepared(source, tmp_path / "dest"), tmp_path / "out"
    handler = handler_of(dest, out, DicomResults(str(source), str(dest)))
    with warnings.catch_warnings(record=True) as said:
        segmented(handler, "a_ct")
    assert not [str(one.message) for one in said if "REMOVED" in str(one.message)]
    assert (out / "a_ct_seg.dcm").is_file()
