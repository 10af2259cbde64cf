"""Spread and intervals in a whole inference: measured with labels, calibrated, and measured with intervals."""

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from monai.bundle import ConfigWorkflow

from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.calibration import calibration_of, read_calibration, write_calibration
from sliceweave.pipelines.errors import input_error_in
from sliceweave.pipelines.model import describe_model
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.tables import read_table
from sliceweave.pipelines.tta import Member

BUNDLE = bundle_root("hematoma")
SMALL = {"pictures": False}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(
        "hematoma", folder, 3, 11, PhantomOptions(size=128, slices=16, spacing_mm=(1.8, 1.8, 10.0)), workers=1
    )
    return folder


@pytest.fixture(scope="module")
def real(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first study without the mark that says that it was generated."""
    image = nib.load(sorted((phantoms / "images").iterdir())[0])
    image.header["descrip"] = b"export"
    nib.save(image, path := tmp_path_factory.mktemp("real") / "real.nii.gz")
    return path


def workflow(dataset_dir: Path, output_dir: Path, **options: object) -> ConfigWorkflow:
    return ConfigWorkflow(
        config_file=str(BUNDLE / "configs/inference.yaml"),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(BUNDLE),
        dataset_dir=str(dataset_dir),
        output_dir=str(output_dir),
        **{**SMALL, **options},
    )


def volumes(dataset_dir: Path, output_dir: Path, **options: object) -> pd.DataFrame:
    flow = workflow(dataset_dir, output_dir, **options)
    flow.initialize()
    flow.run()
    return read_table(output_dir / "volumes.csv").set_index("study_id")


@pytest.fixture(scope="module")
def measured(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output folder of a run with augmentation over the labelled studies."""
    folder = tmp_path_factory.mktemp("measured")
    volumes(phantoms, folder, tta="True")
    return folder


@pytest.fixture(scope="module")
def calibration(measured: Path) -> Path:
    """At a coverage that three studies are enough for."""
    made = calibration_of(read_table(measured / "volumes.csv"), 0.75, ["three phantoms"])
    write_calibration(made, measured / "calibration.json")
    return measured / "calibration.json"


def test_an_augmented_run_has_spreads_and_no_intervals(measured: Path) -> None:
    table = read_table(measured / "volumes.csv")
    assert table["status"].tolist() == ["ok"] * 3
    assert table["source"].tolist() == ["generated"] * 3
    assert (table["spread_ml"] > 0).all()
    assert (table["spread_ml"] < table["volume_ml"]).all()
    assert table[["volume_low_ml", "volume_high_ml", "coverage"]].isna().all(axis=None)


def test_a_plain_run_has_no_spread_and_is_another_version(phantoms: Path, measured: Path, tmp_path: Path) -> None:
    table, augmented = volumes(phantoms, tmp_path), read_table(measured / "volumes.csv").set_index("study_id")
    assert table["spread_ml"].isna().all()
    assert table["model_version"].iloc[0] != augmented["model_version"].iloc[0]
    assert (table["volume_ml"] != augmented["volume_ml"]).any()
    np.testing.assert_allclose(table["volume_ml"], augmented["volume_ml"], rtol=0.3)


def test_a_calibrated_run_has_the_intervals_of_its_volumes_and_spreads(
    phantoms: Path, measured: Path, calibration: Path, tmp_path: Path
) -> None:
    table = volumes(phantoms, tmp_path, tta=True, calibration=str(calibration))
    before = read_table(measured / "volumes.csv").set_index("study_id")
    quantile = read_calibration(calibration).labels["hematoma"].quantile
    scores = abs(before["reference_volume_ml"] - before["volume_ml"]) / (before["spread_ml"] + 0.5)
    assert quantile == pytest.approx(scores.max(), rel=1e-9)  # the third of three
    reach = quantile * (before["spread_ml"] + 0.5)
    np.testing.assert_allclose(table["volume_ml"], before["volume_ml"], rtol=1e-5)
    np.testing.assert_allclose(table["volume_low_ml"], np.maximum(before["volume_ml"] - reach, 0), rtol=1e-4)
    np.testing.assert_allclose(table["volume_high_ml"], before["volume_ml"] + reach, rtol=1e-4)
    assert table["coverage"].tolist() == [0.75] * 3
    inside = (table["volume_low_ml"] <= table["reference_volume_ml"] + 1e-4) & (
        table["reference_volume_ml"] <= table["volume_high_ml"] + 1e-4
    )
    assert inside.all()
    assert calibration_of(table.reset_index(), 0.75, ["again"]).model_version == before["model_version"].iloc[0]


def test_a_calibration_from_phantoms_is_not_applied_to_a_real_scan(
    real: Path, calibration: Path, tmp_path: Path
) -> None:
    row = volumes(real, tmp_path, tta=True, calibration=str(calibration)).loc["real"]
    assert row["source"] == "real"
    assert row["spread_ml"] > 0
    assert row[["volume_low_ml", "volume_high_ml", "coverage"]].isna().all()
    assert "other_source" in row["flags"].split(";")


def test_resuming_with_a_calibration_redoes_what_has_no_interval(
    real: Path, calibration: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    volumes(real, tmp_path, tta=True)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            volumes(real, tmp_path, tta=True, calibration=str(calibration), resume=True)
    assert [text for text in caplog.messages if "finished earlier" in text] == [
        "1 studies, 0 of them finished earlier",
        "1 studies, 1 of them finished earlier",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tta": False}, "needs a spread: give --tta True as well"),
        ({"tta": True, "threshold": 0.3}, "calibration.json: made for hematoma 0."),
        ({"tta": True, "tta_shift": 2}, "calibration.json: made for hematoma 0."),
        ({"tta": True, "calibration": "nowhere.json"}, "nowhere.json: cannot be read"),
    ],
)
def test_a_calibration_that_does_not_belong_to_the_run_is_refused(
    options: dict[str, object], words: str, phantoms: Path, calibration: Path, tmp_path: Path
) -> None:
    flow = workflow(phantoms, tmp_path / "out", **{"calibration": str(calibration), **options})
    flow.initialize()
    with pytest.raises(Exception, match=r"(?s)calibration|config") as error:
        flow.run()
    meant = input_error_in(error.value)
    assert words in str(meant)
    assert "\n" not in str(meant)
    assert not (tmp_path / "out").exists()


def test_a_model_knows_its_calibration_by_its_version(measured: Path, calibration: Path) -> None:
    version = read_table(measured / "volumes.csv")["model_version"].iloc[0]
    assert read_calibration(calibration).model_version == version
    metadata = {"name": "x", "version": "1", "network_data_format": {"outputs": {"pred": {"channel_def": {"1": "a"}}}}}
    one = describe_model(metadata, "nowhere.pt", {"members": (Member(),)})
    assert (one.name, one.version, dict(one.labels), one.calibration) == ("x", "1+none", {1: "a"}, None)
