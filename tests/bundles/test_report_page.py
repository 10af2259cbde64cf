"""The inference bundle's record of its run, and the report page it can end with."""

from pathlib import Path

import pytest
from bundle_runs import run

from sliceweave.pipelines.errors import input_error_in
from sliceweave.pipelines.page import build_page
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.run_record import read_run
from sliceweave.pipelines.tables import read_table


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small heads, and a file that is none."""
    folder = tmp_path_factory.mktemp("studies")
    write_phantoms("hematoma", folder, 2, 11, PhantomOptions(size=96, slices=6, spacing_mm=(2.4, 2.4, 25.0)), workers=1)
    (folder / "images/broken.nii.gz").write_text("no image")
    return folder


def test_a_run_leaves_its_record_and_if_wanted_its_page(studies: Path, tmp_path: Path) -> None:
    run("hematoma", ["inference"], {"dataset_dir": str(studies), "output_dir": str(tmp_path), "page": True})
    record, table = read_run(tmp_path), read_table(tmp_path / "volumes.csv")
    assert (record["studies"], record["failed"]) == (3, 1)
    assert record["model"]["version"] == table["model_version"][0]
    assert record["options"]["dataset_dir"] == str(studies)
    assert record["options"]["settings"]["threshold"] == 0.2
    text = (tmp_path / "report.html").read_text("utf-8")
    for study_id in table["study_id"]:
        assert f">{study_id}<" in text
    measured = table.loc[table["status"] == "ok", "study_id"]
    assert sorted(path.name for path in (tmp_path / "report_files").iterdir()) == sorted(measured)
    for study_id in measured:
        assert len(list((tmp_path / "report_files" / study_id).glob("0*.jpg"))) == 6
    assert record["model"]["version"] in text
    assert build_page(tmp_path).page.read_text("utf-8") == text


def test_a_run_writes_no_page_unless_asked(studies: Path, tmp_path: Path) -> None:
    run("hematoma", ["inference"], {"dataset_dir": str(studies), "output_dir": str(tmp_path)})
    assert (tmp_path / "run.json").is_file()
    assert not (tmp_path / "report.html").exists()


def test_page_is_true_or_false(studies: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as refused:
        run("hematoma", ["inference"], {"dataset_dir": str(studies), "output_dir": str(tmp_path), "page": "maybe"})
    assert str(input_error_in(refused.value)) == "--page is True or False, got 'maybe'"
    assert not (tmp_path / "run.json").exists()
