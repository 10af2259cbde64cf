import logging
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from miniature_masks import SHAPE, blocks, counted_ml, oblique_affine, uneven_origins, write_map, write_sidecar
from typer.testing import CliRunner

from sliceweave.pipelines.cli import app
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.mask_measuring import MaskOptions, parse_labels
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_tasks import phantom_task
from sliceweave.pipelines.tables import read_table


def volumes(masks: Path | str, out: Path, *options: str, status: int = 0) -> pd.DataFrame:
    """The table of a run, by study and label."""
    done = CliRunner().invoke(app, ["volumes", str(masks), "--out", str(out), *options])
    assert done.exit_code == status, done.output
    return read_table(out / "volumes.csv").set_index(["study_id", "label"]).sort_index()


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head, tilted and with uneven slices: images/, labels/, truth.csv."""
    folder = tmp_path_factory.mktemp("phantoms")
    options = replace(phantom_task("hematoma").options.with_slices(9), tilt_deg=15.0, uneven=True)
    write_phantoms("hematoma", folder, 1, 3, options)
    return folder


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_every_label_of_an_oblique_mask_measures_what_numpy_counts(suffix: str, tmp_path: Path) -> None:
    labels, affine_ras = blocks((1, 2, 3, 9, 300)), oblique_affine()
    write_map(tmp_path / f"a-label{suffix}", labels, affine_ras)
    found = volumes(tmp_path, tmp_path / "out")
    expected = counted_ml(labels, affine_ras)
    assert list(found.loc["a"].index) == sorted(f"label_{value}" for value in expected)
    for value, volume_ml in expected.items():
        row = found.loc[("a", f"label_{value}")]
        centres = np.argwhere(labels == value) @ affine_ras[:3, :3].T + affine_ras[:3, 3]
        assert row["volume_ml"] == pytest.approx(volume_ml, rel=1e-5)
        assert row[["centroid_r_mm", "centroid_a_mm", "centroid_s_mm"]].tolist() == pytest.approx(
            centres.mean(axis=0).tolist(), rel=1e-4
        )
        assert row["slices"] == len(np.unique(np.argwhere(labels == value)[:, 2]))
    lesions = read_table(tmp_path / "out" / "lesions.csv").groupby("label")["volume_ml"].sum()
    assert lesions.to_dict() == pytest.approx({f"label_{v}": ml for v, ml in expected.items()}, rel=1e-5)


def test_without_images_the_cells_that_need_them_are_empty(tmp_path: Path) -> None:
    write_map(tmp_path / "m" / "a.nii.gz", blocks((1,)), oblique_affine())
    row = volumes(tmp_path / "m", tmp_path / "out", "--task", "hematoma").iloc[0]
    assert (row["status"], row["image_sha256"], row["side"], row["flags"]) == ("ok", "", "", "oblique;tiny_lesion")
    assert (row["model"], np.isnan(row["reference_volume_ml"])) == ("masks", True)
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == []


def test_uneven_slices_measure_their_true_thickness(tmp_path: Path) -> None:
    origins, fitted = uneven_origins(oblique_affine(), SHAPE[2])
    labels = blocks((1,))
    write_map(tmp_path / "m" / "a_mask.nii.gz", labels, fitted)
    write_sidecar(tmp_path / "m", "a", origins)
    normal = np.cross(fitted[:3, 0], fitted[:3, 1])
    area_mm2 = np.linalg.norm(normal)
    gaps_mm = np.diff(origins @ normal) / area_mm2
    thick_mm = (np.append(gaps_mm[0], gaps_mm) + np.append(gaps_mm, gaps_mm[-1])) / 2
    row = volumes(tmp_path / "m", tmp_path / "out").iloc[0]
    assert row["volume_ml"] == pytest.approx(
        float((labels == 1).sum(axis=(0, 1)) @ thick_mm) * area_mm2 / 1000, rel=1e-5
    )
    assert row["flags"] == "uneven_slices;oblique;tiny_lesion"


def test_with_images_a_head_has_side_hash_and_picture(phantoms: Path, tmp_path: Path) -> None:
    truth = pd.read_csv(phantoms / "truth.csv", dtype={"study_id": str}).set_index("study_id")
    found = volumes(
        phantoms / "labels", tmp_path / "out", "--images", str(phantoms / "images"), "--task", "hematoma"
    ).droplevel("label")
    assert list(found.index) == list(truth.index)
    assert found["image_sha256"].str.len().tolist() == [64]
    assert found["side"].isin(["left", "right", "both"]).all()
    assert found["flags"].str.contains("uneven_slices").all()
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.png")) == list(found.index)
    alone = volumes(phantoms, tmp_path / "alone", "--task", "hematoma").droplevel("label")
    assert alone["volume_ml"].tolist() == found["volume_ml"].tolist()


def test_no_pictures_are_drawn_where_none_are_wanted(phantoms: Path, tmp_path: Path) -> None:
    volumes(phantoms / "labels", tmp_path / "out", "--images", str(phantoms / "images"), "--no-pictures")
    assert list((tmp_path / "out").glob("*.png")) == []


def test_a_failure_is_a_row_and_the_others_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for study_id in ("a", "b", "c"):
        write_map(tmp_path / "m" / f"{study_id}.nii.gz", blocks((1,)), oblique_affine())
    (tmp_path / "m" / "b.nii.gz").write_bytes((tmp_path / "m" / "a.nii.gz").read_bytes()[:-30])
    write_map(tmp_path / "i" / "a.nii.gz", np.ones(SHAPE, np.int16), oblique_affine())
    write_map(tmp_path / "i" / "c.nii.gz", np.ones(SHAPE, np.int16), oblique_affine((0.7, 0.9, 3.0)))
    with caplog.at_level(logging.WARNING):
        found = volumes(tmp_path / "m", tmp_path / "out", "--images", str(tmp_path / "i"), status=1).droplevel("label")
    assert found["status"].tolist() == ["ok", "failed", "failed"]
    assert found["reason"].iloc[1].startswith("b.nii.gz: expected a whole file")
    assert "on one grid" in found["reason"].iloc[2]
    assert "1 studies have no image: b" in caplog.text


def test_a_mask_whose_image_is_missing_is_measured_and_flagged(tmp_path: Path) -> None:
    write_map(tmp_path / "m" / "a.nii.gz", blocks((1,)), oblique_affine())
    write_map(tmp_path / "m" / "b.nii.gz", blocks((1,)), oblique_affine())
    write_map(tmp_path / "i" / "b.nii.gz", np.ones(SHAPE, np.int16), oblique_affine())
    found = volumes(tmp_path / "m", tmp_path / "out", "--images", str(tmp_path / "i")).droplevel("label")
    assert found["flags"].tolist() == ["oblique;no_image;tiny_lesion", "oblique;tiny_lesion"]
    assert found["volume_ml"].iloc[0] == found["volume_ml"].iloc[1]


def test_references_of_a_table_stand_beside_the_volumes(tmp_path: Path) -> None:
    for study_id in ("007", "a"):
        write_map(tmp_path / "m" / f"{study_id}.nii.gz", blocks((1,)), oblique_affine())
    (tmp_path / "r.csv").write_text("study_id,volume_ml,reader\n007,1,x\n007,2,y\n007,6,z\n")
    found = volumes(tmp_path / "m", tmp_path / "out", "--reference", str(tmp_path / "r.csv"))
    assert found.loc[("007", "label_1"), "reference_volume_ml"] == 3.0
    assert np.isnan(found.loc[("a", "label_1"), "reference_volume_ml"])


def test_references_of_masks_stand_beside_the_volumes(tmp_path: Path) -> None:
    truth = blocks((1, 2), seed=5)
    write_map(tmp_path / "m" / "a.nii.gz", blocks((1, 2)), oblique_affine())
    write_map(tmp_path / "t" / "a-label.nrrd", truth, oblique_affine())
    found = volumes(tmp_path / "m", tmp_path / "out", "--reference", str(tmp_path / "t"), "--labels", "1=x,2=y")
    expected = counted_ml(truth, oblique_affine())
    assert found["reference_volume_ml"].tolist() == pytest.approx([expected[1], expected[2]], rel=1e-5)


def test_resume_measures_only_what_has_changed(tmp_path: Path) -> None:
    for study_id in ("a", "b"):
        write_map(tmp_path / "m" / f"{study_id}.nii.gz", blocks((1,)), oblique_affine())
        write_map(tmp_path / "i" / f"{study_id}.nii.gz", np.ones(SHAPE, np.int16), oblique_affine())
    first = volumes(tmp_path / "m", tmp_path / "out", "--images", str(tmp_path / "i"))
    write_map(tmp_path / "m" / "a.nii.gz", np.zeros(SHAPE, np.uint8), oblique_affine())
    pictures = sorted((tmp_path / "out").glob("*.png"))
    stamps = [path.stat().st_mtime_ns for path in pictures]
    second = volumes(tmp_path / "m", tmp_path / "out", "--images", str(tmp_path / "i"), "--resume")
    assert second["volume_ml"].iloc[0] == 0.0
    assert second.iloc[1].equals(first.iloc[1])
    assert [path.stat().st_mtime_ns == before for path, before in zip(pictures, stamps, strict=True)] == [False, True]


def test_a_resumed_run_names_studies_that_have_no_mask_any_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for study_id in ("a", "b"):
        write_map(tmp_path / "m" / f"{study_id}.nii.gz", blocks((1,)), oblique_affine())
    volumes(tmp_path / "m", tmp_path / "out")
    (tmp_path / "m" / "b.nii.gz").unlink()
    assert len(volumes(tmp_path / "m", tmp_path / "out", "--resume")) == 2
    assert "1 studies of the earlier run have no mask any more, and keep their rows: b" in caplog.text


def test_a_picture_goes_only_if_an_earlier_run_drew_it(tmp_path: Path) -> None:
    write_map(tmp_path / "m" / "a.nii.gz", blocks((1,)), oblique_affine())
    write_map(tmp_path / "i" / "a.nii.gz", np.ones(SHAPE, np.int16), oblique_affine())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_text("somebody's")
    volumes(tmp_path / "m", tmp_path / "out")
    assert (tmp_path / "out" / "a.png").read_text() == "somebody's"
    volumes(tmp_path / "m", tmp_path / "out", "--images", str(tmp_path / "i"))
    assert (tmp_path / "out" / "a.png").stat().st_size > 1000
    volumes(tmp_path / "m", tmp_path / "out")
    assert not (tmp_path / "out" / "a.png").exists()


def test_another_structures_mask_is_no_reference(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_map(tmp_path / "m" / "a.nii.gz", blocks((1,)), oblique_affine())
    reference = write_map(tmp_path / "t" / "a.nii.gz", blocks((2,), seed=1), oblique_affine())
    found = volumes(tmp_path / "m", tmp_path / "out", "--reference", str(tmp_path / "t"))
    assert found.loc[("a", "label_1"), "reference_volume_ml"] == 0
    assert "the reference a.nii.gz also holds [2]" in caplog.text
    named = volumes(tmp_path / "m", tmp_path / "named", "--reference", str(tmp_path / "t"), "--labels", "1=x")
    expected = counted_ml(np.asarray(nib.load(reference).dataobj), oblique_affine())[2]
    assert named["reference_volume_ml"].tolist() == pytest.approx([expected], rel=1e-5)


def test_neither_the_masks_folder_nor_another_runs_is_written_to(tmp_path: Path) -> None:
    write_map(tmp_path / "m" / "a.nii.gz", blocks((1,)), oblique_affine())
    volumes_of_another = "study_id,status,reason,label,model\na,ok,,hematoma,hematoma 1\n"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "volumes.csv").write_text(volumes_of_another)
    for out, words in (("m", "holds the masks themselves"), ("run", "holds the results of hematoma 1")):
        done = CliRunner().invoke(app, ["volumes", str(tmp_path / "m"), "--out", str(tmp_path / out)])
        assert isinstance(done.exception, InputError)
        assert words in str(done.exception)
    assert (tmp_path / "run" / "volumes.csv").read_text() == volumes_of_another


def test_other_names_are_another_version_for_resume(tmp_path: Path) -> None:
    write_map(tmp_path / "a.nii.gz", blocks((1,)), oblique_affine())
    volumes(tmp_path, tmp_path / "out")
    found = volumes(tmp_path / "a.nii.gz", tmp_path / "out", "--labels", "1=clot", "--resume")
    assert list(found.index) == [("a", "clot")]


@pytest.mark.parametrize(
    ("options", "values", "names"),
    [
        (MaskOptions(), [], {1: "label_1"}),
        (MaskOptions(), [2, 5], {2: "label_2", 5: "label_5"}),
        (MaskOptions(names={1: "clot"}), [], {1: "clot"}),
        (MaskOptions(names={1: "clot"}), [255], {255: "clot"}),
        (MaskOptions(names={1: "clot"}), [2], {1: "clot", 2: "label_2"}),
        (MaskOptions(names={1: "clot"}), [1, 255], {1: "clot", 255: "label_255"}),
        (MaskOptions(task="hematoma"), [1], {1: "hematoma"}),
        (MaskOptions(task="hematoma", names={1: "clot"}), [1], {1: "clot"}),
    ],
)
def test_every_value_has_a_name_and_every_name_a_row(
    options: MaskOptions, values: list[int], names: dict[int, str]
) -> None:
    assert options.label_names(values) == names


def test_labels_are_read_as_pairs() -> None:
    assert parse_labels("1=femoral, 2 = tibial cartilage") == {1: "femoral", 2: "tibial cartilage"}
    assert parse_labels("") == {}


@pytest.mark.parametrize("text", ["femoral", "0=x", "1=", "1=x,1=y", "1=x,2=x", "-1=x", "1.5=x"])
def test_labels_that_are_no_pairs_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--labels is VALUE=NAME"):
        parse_labels(text)


def test_a_large_knee_measures_what_numpy_counts(real_data: Path, tmp_path: Path) -> None:
    (path,) = (real_data / "knee_mr" / "pymskt").glob("*label.nrrd")
    found = volumes(path, tmp_path / "out")
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    voxel_mm3 = np.prod(image.GetSpacing()) * abs(np.linalg.det(np.reshape(image.GetDirection(), (3, 3))))
    counts = np.bincount(sitk.GetArrayViewFromImage(image).ravel())
    assert len(found) == 10
    for _, label in found.index:
        expected_ml = counts[int(label.removeprefix("label_"))] * voxel_mm3 / 1000
        assert found.loc[(slice(None), label), "volume_ml"].item() == pytest.approx(expected_ml, rel=1e-5)
