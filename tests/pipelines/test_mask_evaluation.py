"""`evaluate` over files as users have them: other names and formats, missing and broken ones, other values."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from miniature_masks import oblique_affine, uneven_origins, write_map, write_sidecar
from typer.testing import CliRunner, Result

from sliceweave.pipelines.calibration import LabelCalibration, read_calibration
from sliceweave.pipelines.cli import app
from sliceweave.pipelines.columns import VOLUME_COLUMNS
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.mask_evaluation import find_pairs
from sliceweave.pipelines.tables import read_table

SHAPE = (8, 7, 6)
AFFINE = np.diag([2.0, 0.5, 3.0, 1.0])  # 0.003 ml a voxel
LESION, HALF = np.s_[2:6, 2:4, 2:4], np.s_[2:4, 2:4, 2:4]


def labels(*boxes: tuple[slice, ...]) -> np.ndarray:
    voxels = np.zeros(SHAPE, np.uint8)
    for value, box in enumerate(boxes, 1):
        voxels[box] = value
    return voxels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three studies, found exactly, half and not at all, the files of a study called differently."""
    for name, found in (("exact", [LESION]), ("half", [HALF]), ("missed", [])):
        write_map(tmp_path / f"pred/{name}_mask.nii.gz", labels(*found), AFFINE)
        write_map(tmp_path / f"truth/{name}.nrrd", labels(LESION), AFFINE)
    return tmp_path


def evaluate(folder: Path, *options: str, pred: str = "pred", truth: str = "truth") -> Result:
    arguments = [str(folder / pred), str(folder / truth), "--out", str(folder / "out"), *options]
    return CliRunner().invoke(app, ["evaluate", *arguments])


def reasons(folder: Path) -> dict[str, str]:
    return dict(read_table(folder / "out/failed.csv").to_numpy().tolist())


def test_masks_are_paired_by_study_whatever_their_files_are_called(folder: Path) -> None:
    done = evaluate(folder)
    assert done.exit_code == 0, done.output
    cases = read_table(folder / "out/cases.csv").set_index("study_id")
    assert cases.index.tolist() == ["exact", "half", "missed"]
    assert set(cases["label"]) == {"label_1"}
    assert cases["dice"].tolist() == pytest.approx([1, 2 / 3, 0], abs=1e-6)
    assert cases["reference_volume_ml"].tolist() == pytest.approx([16 * 0.003] * 3)
    assert cases["detected_lesions"].tolist() == [1, 1, 0]
    summary = read_table(folder / "out/summary.csv").set_index(["label", "metric"])
    assert summary.loc[("label_1", "volume_bias_ml"), "mean"] == pytest.approx(-8 * 0.003)
    assert summary.loc[("label_1", "pooled_lesion_sensitivity"), "mean"] == pytest.approx(2 / 3, abs=1e-6)
    assert np.isnan(summary.loc[("label_1", "volume_icc21"), "mean"])  # the truths do not vary
    assert "label_1  0.556 ± 0.509" in done.stdout
    assert "3 studies scored" in done.stdout
    assert not (folder / "out/failed.csv").exists()


def test_the_conventions_stand_beside_the_tables(folder: Path) -> None:
    evaluate(folder)
    text = (folder / "out/conventions.txt").read_text("utf-8")
    assert "rvd -1; distances the diagonal of the scan" in text
    assert "26-connected" in text
    assert all(len(line) <= 120 for line in text.splitlines())
    columns = {*read_table(folder / "out/summary.csv").columns, *read_table(folder / "out/cases.csv").columns}
    assert {name for name in columns if name.endswith("_mm")} <= set(text.replace(",", " ").split())


def test_studies_that_cannot_be_scored_are_on_record_and_the_others_are_scored(folder: Path) -> None:
    (folder / "pred/half_mask.nii.gz").unlink()
    (folder / "truth/missed.nrrd").unlink()
    write_map(folder / "pred/other_grid.mha", labels(LESION), np.diag([2.0, 0.5, 3.5, 1.0]))
    write_map(folder / "truth/other_grid.mha", labels(LESION), AFFINE)
    write_map(folder / "pred/other_size.mha", labels(LESION)[:, :, 1:], AFFINE)
    write_map(folder / "truth/other_size.mha", labels(LESION), AFFINE)
    write_map(folder / "truth/broken.nii", labels(LESION), AFFINE)
    (folder / "pred/broken.nii").write_bytes(b"no image")
    done = evaluate(folder)
    assert done.exit_code == 1
    assert read_table(folder / "out/cases.csv")["study_id"].tolist() == ["exact"]
    assert read_table(folder / "out/summary.csv")["cases"].max() == 1
    found = reasons(folder)
    assert found.keys() == {"half", "missed", "other_grid", "other_size", "broken"}
    assert found["half"].startswith("expected a prediction to go with half.nrrd, found none")
    assert found["missed"].startswith("expected a truth to go with missed_mask.nii.gz, found none")
    assert "prediction on the truth's grid, got one whose voxels lie up to 2.5 mm elsewhere" in found["other_grid"]
    assert "8 x 7 x 6 voxels, got 8 x 7 x 5" in found["other_size"]
    assert found["broken"].startswith("broken.nii: ")
    assert "1 studies scored" in done.stdout
    assert "5 failed" in done.stdout


def test_a_second_run_replaces_the_tables_of_the_first(folder: Path) -> None:
    (folder / "pred/half_mask.nii.gz").rename(folder / "away.nii.gz")
    assert evaluate(folder).exit_code == 1
    (folder / "away.nii.gz").rename(folder / "pred/half_mask.nii.gz")
    assert evaluate(folder).exit_code == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["cases.csv", "conventions.txt", "summary.csv"]


def test_every_label_that_occurs_anywhere_has_a_row_in_every_study(folder: Path) -> None:
    write_map(folder / "pred/half_mask.nii.gz", labels(HALF, np.s_[7:, 6:, 5:]), AFFINE)
    assert evaluate(folder).exit_code == 0
    cases = read_table(folder / "out/cases.csv")
    assert cases["label"].tolist() == ["label_1", "label_2"] * 3
    assert cases["dice"].tolist() == pytest.approx([1, 1, 2 / 3, 0, 0, 1], abs=1e-6)
    assert cases["false_positive_lesions"].tolist() == [0, 0, 0, 1, 0, 0]


def test_a_cohort_of_empty_masks_is_perfect(tmp_path: Path) -> None:
    for name in ("pred/a.nii", "truth/a.nii"):
        write_map(tmp_path / name, labels(), AFFINE)
    assert evaluate(tmp_path).exit_code == 0
    cases = read_table(tmp_path / "out/cases.csv")
    assert cases[["label", "dice", "hd95_mm", "volume_ml"]].to_numpy().tolist() == [["label_1", 1, 0, 0]]


@pytest.mark.parametrize("names", [["--labels", "2=tumor"], ["--task", "hematoma"]])
def test_white_masks_are_those_of_the_one_label(names: list[str], folder: Path) -> None:
    for path in folder.glob("*/*.n*"):
        value = 255 if path.parent.name == "pred" else int(names[1][0]) if "--labels" in names else 1
        voxels = labels(LESION) * np.uint8(value)
        write_map(path, voxels, AFFINE)
    assert evaluate(folder, *names).exit_code == 0
    cases = read_table(folder / "out/cases.csv")
    assert set(cases["label"]) == {"tumor" if "--labels" in names else "hematoma"}
    assert cases["dice"].eq(1).all()


@pytest.mark.parametrize("names", [[], ["--labels", "1=liver"]])
def test_white_is_a_label_of_its_own_where_others_occur(names: list[str], folder: Path) -> None:
    """Whether they occur in the same two masks or in another study's."""
    grey = np.where(labels(LESION) > 0, np.uint8(255), np.uint8(0))
    for name in ("pred/exact_mask.nii.gz", "pred/half_mask.nii.gz", "truth/exact.nrrd", "truth/half.nrrd"):
        write_map(folder / name, grey, AFFINE)
    grey[7, 6, 5] = 127
    write_map(folder / "truth/half.nrrd", grey, AFFINE)
    assert evaluate(folder, *names).exit_code == 0
    cases = read_table(folder / "out/cases.csv").set_index(["study_id", "label"])
    assert set(cases.loc["exact"].index) == {"liver" if names else "label_1", "label_127", "label_255"}
    assert cases.loc[("exact", "label_255"), "reference_volume_ml"] == pytest.approx(16 * 0.003)
    assert cases.loc[("half", "label_255"), "dice"] == 1
    assert cases.loc[("half", "label_127"), "dice"] == 0
    assert cases.loc[("half", "liver" if names else "label_1"), "reference_volume_ml"] == 0


def test_names_come_in_their_order_and_what_has_none_is_called_by_its_value(folder: Path) -> None:
    write_map(folder / "truth/half.nrrd", labels(HALF, np.s_[7:, 6:, 5:], np.s_[7:, :1, 5:]), AFFINE)
    assert evaluate(folder, "--labels", "3=third,1=first").exit_code == 0
    cases = read_table(folder / "out/cases.csv")
    assert cases["label"].tolist() == ["third", "first", "label_2"] * 3


def test_two_single_files_are_a_pair_whatever_their_names(folder: Path) -> None:
    done = evaluate(folder, pred="pred/half_mask.nii.gz", truth="truth/exact.nrrd")
    assert done.exit_code == 0, done.output
    cases = read_table(folder / "out/cases.csv")
    assert cases["study_id"].tolist() == ["exact"]
    assert cases["dice"].tolist() == pytest.approx([2 / 3], abs=1e-6)


@pytest.mark.parametrize("place", ["truth", "pred", "images"])
def test_uneven_slices_count_wherever_their_positions_are_told(place: str, tmp_path: Path) -> None:
    origins, affine = uneven_origins(oblique_affine((2.0, 0.5, 3.0)), SHAPE[2])
    write_map(tmp_path / "pred/a.nii.gz", labels(HALF), affine)
    write_map(tmp_path / "truth/a.nii.gz", labels(LESION), affine)
    write_map(tmp_path / "images/a_ct.nii.gz", labels(), affine)
    write_sidecar(tmp_path / place, "a", origins)
    assert evaluate(tmp_path, "--images", str(tmp_path / "images")).exit_code == 0
    gaps_mm = np.linalg.norm(np.diff(origins, axis=0), axis=1)
    thickness_mm = (gaps_mm[1] + gaps_mm[2]) / 2 + (gaps_mm[2] + gaps_mm[3]) / 2
    cases = read_table(tmp_path / "out/cases.csv")
    assert cases["reference_volume_ml"].tolist() == pytest.approx([8 * thickness_mm * 1.0 / 1000])


def test_masks_off_their_images_grid_are_on_record(folder: Path) -> None:
    write_map(folder / "images/half.nii.gz", labels(), np.diag([2.0, 0.5, 4.0, 1.0]))
    assert evaluate(folder, "--images", str(folder / "images")).exit_code == 1
    assert "expected a truth on the image's grid" in reasons(folder)["half"]
    assert set(read_table(folder / "out/cases.csv")["study_id"]) == {"exact", "missed"}


def test_videos_of_a_task_have_neither_millilitres_nor_lesions(folder: Path) -> None:
    for path in (*folder.glob("pred/*"), *folder.glob("truth/*")):
        path.unlink()
    for name in ("pred/film.nii.gz", "truth/film.nii.gz"):
        image = nib.Nifti1Image(labels(LESION, np.s_[7:, 6:, 5:]), AFFINE)
        image.header.set_xyzt_units("mm")
        nib.save(image, folder / name)
    assert evaluate(folder, "--task", "echo_left_ventricle").exit_code == 0
    cases = read_table(folder / "out/cases.csv")
    assert cases["label"].tolist() == ["left_ventricle", "label_2"]
    assert cases[["volume_ml", "reference_lesions"]].isna().all(axis=None)
    assert cases["hd95_mm"].eq(0).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--labels", "1"], "--labels is VALUE=NAME"),
        (["--labels", "1=all"], "'all' is what the rows over all labels are called"),
        (["--task", "spleen"], "no bundle is called 'spleen'"),
        (["--images", "nowhere"], "'nowhere' does not exist"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(options: list[str], words: str, folder: Path) -> None:
    done = evaluate(folder, *options)
    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)
    assert not (folder / "out").exists()


def test_a_folder_without_masks_is_told(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="empty' holds no mask"):
        find_pairs(f"{folder}/pred", f"{folder}/empty")


def test_strata_are_of_haematomas_alone(folder: Path) -> None:
    done = evaluate(folder, "--strata", "--task", "liver_tumor")
    assert done.exit_code == 1
    assert "--strata goes with haematomas" in str(done.exception)
    assert not (folder / "out/strata.csv").exists()


def test_strata_of_the_truth_and_their_tables_come_with_the_scores(folder: Path) -> None:
    done = evaluate(folder, "--strata")
    assert done.exit_code == 0, done.output
    strata = read_table(folder / "out/strata.csv").set_index("study_id")
    assert strata.index.tolist() == ["exact", "half", "missed"]
    assert strata["volume_ml"].tolist() == pytest.approx([16 * 0.003] * 3)
    table_1 = read_table(folder / "out/table_1.csv")
    assert table_1["model"].tolist() == ["pred"]
    assert table_1["Dice"].tolist() == pytest.approx([(1 + 2 / 3) / 3], abs=1e-3)
    assert "Table 1: segmentation of all haematomas (3 studies)" in done.stdout


def write_run(folder: Path, spread_ml: float | None = 0.1) -> None:
    """The table of an inference run over the three studies; volumes as it would have measured them."""
    rows = pd.DataFrame({"study_id": ["exact", "half", "missed"]}).reindex(columns=list(VOLUME_COLUMNS))
    known = {"status": "ok", "label": "hematoma", "volume_ml": [0.048, 0.024, 0.0], "spread_ml": spread_ml}
    known |= {"source": "generated", "model": "hematoma", "model_version": "0.2.0+0123abcd"}
    rows.assign(**known).to_csv(folder / "pred/volumes.csv", index=False)


def test_a_calibration_takes_its_references_from_the_truth(folder: Path) -> None:
    write_run(folder)
    done = evaluate(folder, "--calibrate", str(folder / "c.json"), "--coverage", "0.5")
    assert done.exit_code == 0, done.output
    found = read_calibration(folder / "c.json")
    # scores 0, 0.04 and 0.08; of three studies the second smallest is the quantile at one half
    assert found.labels == {"hematoma": LabelCalibration(3, pytest.approx(0.024 / 0.6))}
    assert (found.task, found.model_version, found.source) == ("hematoma", "0.2.0+0123abcd", "generated")
    assert "hematoma: quantile 0.04 of 3 generated studies" in done.stdout


def test_a_calibration_needs_the_folder_of_a_run_with_spreads(folder: Path) -> None:
    done = evaluate(folder, "--calibrate", str(folder / "c.json"))
    assert "expected the folder of an inference run with --tta True" in str(done.exception)
    write_run(folder, spread_ml=None)
    done = evaluate(folder, "--calibrate", str(folder / "c.json"))
    assert "rows have no spread_ml; measure the studies with --tta True" in str(done.exception)
    assert not (folder / "c.json").exists()
