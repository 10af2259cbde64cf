from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from tilted_grids import grid, voxels_mm
from typer.testing import CliRunner

from sliceweave.pipelines.cli import app
from sliceweave.pipelines.columns import STRATA_COLUMNS
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.strata_report import parse_cases
from sliceweave.pipelines.tables import read_table

CASES = (
    "study_id,label,abs_rvd,dice,iou,volume_error_ml\nball,hematoma,{0},0.9,0.8,-2\nsheet,hematoma,0.4,0.7,0.5,{1}\n"
)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Two heads: a deep ball of blood, and a sheet of it under the skull."""
    geometry = grid((1.5, 1.5, 5.0), (150.0, 150.0, 100.0), (12.0, -8.0, 20.0))
    points = voxels_mm(geometry)
    radius_mm = np.linalg.norm(points, axis=-1)
    head_hu = np.select([radius_mm < 62, radius_mm < 69], [35, 900], -1000)
    masks = {"ball": radius_mm < 10, "sheet": (radius_mm < 61) & (radius_mm > 50) & (points[..., 0] > 20)}
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name, mask in masks.items():
        nib.save(nib.Nifti1Image(head_hu.astype(np.int16), geometry.affine_ras), tmp_path / f"images/{name}.nii.gz")
        nib.save(nib.Nifti1Image(mask.astype(np.uint8), geometry.affine_ras), tmp_path / f"labels/{name}.nii.gz")
    return tmp_path


def strata(folder: Path, *options: str, status: int = 0) -> str:
    arguments = ["strata", str(folder / "labels"), "--out", str(folder / "out"), *options]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == status, done.output
    return done.output


def test_the_command_writes_strata_and_the_papers_tables(studies: Path) -> None:
    (studies / "a.csv").write_text(CASES.format(0.1, 10))
    (studies / "b.csv").write_text(CASES.format(0.2, 20))
    cases = f"U-Net={studies / 'a.csv'},SA={studies / 'b.csv'}"
    output = strata(studies, "--images", str(studies / "images"), "--cases", cases)
    table = read_table(studies / "out" / "strata.csv").set_index("study_id")
    assert (*table.reset_index().columns,) == STRATA_COLUMNS
    assert table["irregular"].tolist() == [False, True]
    assert table["near_skull"].tolist() == [False, True]
    assert table["size_band"].tolist() == ["under 5 ml", "over 30 ml"]
    assert pd.read_csv(studies / "out" / "table_1.csv").to_dict("list") == {
        "model": ["U-Net", "SA"],
        "Rvd": [0.25, 0.3],
        "Dice": [0.8, 0.8],
        "IOU": [0.65, 0.65],
    }
    near = pd.read_csv(studies / "out" / "table_6.csv")
    assert near.to_dict("list") == {"model": ["U-Net", "SA"], "RMSE": [10.0, 20.0], "MAE": [10.0, 20.0]}
    assert "**Table 5: segmentation of haematomas near the skull (1 study)**" in output
    assert (studies / "out" / "tables.md").read_text() in output


def test_without_scores_and_images_there_are_strata_only(studies: Path) -> None:
    strata(studies)
    table = read_table(studies / "out" / "strata.csv")
    assert table["near_skull"].isna().all()
    assert [path.name for path in (studies / "out").iterdir()] == ["strata.csv"]


def test_a_study_that_stands_twice_in_a_models_cases_is_refused(studies: Path) -> None:
    text = CASES.format(0.1, 10)
    (studies / "a.csv").write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(InputError, match=r"cases of A: study .* has two rows for label"):
        CliRunner().invoke(
            app,
            ["strata", str(studies / "labels"), "--out", str(studies / "out"), "--cases", f"A={studies / 'a.csv'}"],
            catch_exceptions=False,
        )


def test_a_failure_is_a_row_and_the_others_go_on(studies: Path) -> None:
    (studies / "labels" / "ball.nii.gz").write_bytes(b"nothing")
    strata(studies, "--images", str(studies / "images"), status=1)
    table = read_table(studies / "out" / "strata.csv")
    assert table["status"].tolist() == ["failed", "ok"]
    assert "ball.nii.gz" in table["reason"][0]


@pytest.mark.parametrize("texts", [["a=x.csv", "b=y.csv"], ["a=x.csv,b=y.csv"], [" a =x.csv,b=y.csv"]])
def test_cases_are_named_together_or_one_by_one(texts: list[str]) -> None:
    assert parse_cases(texts) == {"a": Path("x.csv"), "b": Path("y.csv")}


def test_a_folder_stands_for_the_cases_in_it(tmp_path: Path) -> None:
    assert parse_cases([f"a={tmp_path}"]) == {"a": tmp_path / "cases.csv"}


def test_a_path_with_a_comma_is_no_second_model() -> None:
    assert parse_cases(["a=out, new/cases.csv"]) == {"a": Path("out, new/cases.csv")}


@pytest.mark.parametrize("text", ["x.csv", "=x.csv", "a=", "a=x.csv,a=y.csv"])
def test_cases_without_a_name_of_their_own_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--cases is NAME=cases\.csv"):
        parse_cases([text])
