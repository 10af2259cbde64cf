"""`sliceweave prepare` from end to end: every distribution in miniature, reruns, and what is wrong with a data set."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import miniature_covid as covid
import miniature_echo as echo
import miniature_pictures as pictures
import miniature_volumes as volumes
import nibabel as nib
import numpy as np
import pytest
from miniature_dicom import SAGITTAL, datasets, miniature, save, stack_of_files, tilted_miniature
from monai.data import load_decathlon_datalist
from numpy.typing import NDArray
from pydicom import dcmread

from sliceweave.pipelines.cases import Case, PrepareOptions
from sliceweave.pipelines.conversion import Converter, source_digest
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.patients import Drawing
from sliceweave.pipelines.prepare import check, find_cases, prepare
from sliceweave.pipelines.prepare_outcome import Outcome
from sliceweave.pipelines.prepare_tasks import TASK_NAMES, prepare_task
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.splits import parse_shares
from sliceweave.pipelines.tables import read_table

DRAWING = Drawing(parse_shares("8:1:1"), seed=0)
MAIN = "from sliceweave.pipelines.cli import main; main()"
SIZES = PrepareOptions(pixel_mm=0.45, thickness_mm=5.0)


@dataclass(frozen=True, eq=False)
class Expected:
    """What a study must come out as; the image within a tolerance where JPEG stands between."""

    image: NDArray[Any]
    label: NDArray[Any]
    affine_ras: NDArray[np.float64]
    split: str = ""
    tolerance: float | NDArray[Any] = 0.0


def run(task: str, source: Path, dest: Path, options: PrepareOptions = SIZES) -> Outcome:
    return prepare(prepare_task(task), source, dest, options, DRAWING)


def plain(truths: dict[str, volumes.Truth]) -> dict[str, Expected]:
    return {name: Expected(truth.image, truth.label, truth.affine_ras) for name, truth in truths.items()}


def knee_pairs(folder: Path) -> dict[str, Expected]:
    return plain(volumes.write_pairs(folder, labels=3))


def covid_sets(folder: Path) -> dict[str, Expected]:
    studies = covid.write_set_1(folder / "1") | covid.write_numbered(folder / "2")
    return {
        name: Expected(
            study.image_hu,
            np.isin(study.label, (1, 2)),
            study.affine_ras,
            "training" if study.patient == "covid_set1" else "",
            tolerance=0.5 if study.eight_bit else 0,
        )
        for name, study in studies.items()
    }


def echo_set(write: Callable[[Path], dict[str, echo.EchoStudy]], tolerance: float) -> Callable[[Path], Any]:
    def written(folder: Path) -> dict[str, Expected]:
        return {
            name: Expected(
                study.image,
                study.cavity,
                np.diag([-study.pixel_mm[0], -study.pixel_mm[1], 1, 1]),
                study.split,
                tolerance,
            )
            for name, study in write(folder).items()
        }

    return written


def labelme_ct(folder: Path) -> dict[str, Expected]:
    return {
        name: Expected(
            patient.grey / 255 * 100,
            patient.label,
            np.diag([-patient.pixel_mm, -patient.pixel_mm, patient.thickness_mm, 1]),
            tolerance=0.01,
        )
        for name, patient in pictures.labelme_ct(folder).items()
    }


def labelme_echo(folder: Path) -> dict[str, Expected]:
    affine = np.diag([-0.45, -0.45, 1, 1])
    return {name: Expected(p.grey, p.label, affine) for name, p in pictures.labelme_echo(folder).items()}


def ct_ich_jpg(folder: Path) -> dict[str, Expected]:
    studies = {}
    for name, patient in pictures.ct_ich(folder).items():
        hu = patient.grey / 255 * 120 - 20
        if patient.bone is not None:  # where the brain's window ends, the bone's goes on
            bone_hu = patient.bone / 255 * 3200 - 900
            hu = np.where(patient.grey == 0, np.minimum(bone_hu, -20), hu)
            hu = np.where(patient.grey == 255, np.maximum(bone_hu, 100), hu)
        within = np.where((patient.grey == 0) | (patient.grey == 255), 40, 1.5)  # a grey level is 12.5 HU or 0.5
        studies[f"patient{name}"] = Expected(hu, patient.label, np.diag([-0.45, -0.45, 5, 1]), tolerance=within)
    return studies


FORMATS: dict[str, tuple[str, Callable[[Path], dict[str, Expected]]]] = {
    "LiTS": ("liver_tumor", lambda folder: plain(volumes.write_lits(folder))),
    "MSD Task03": ("liver_tumor", lambda folder: plain(volumes.write_msd(folder))),
    "OAI-ZIB": ("knee_cartilage", lambda folder: plain(volumes.write_oai_zib(folder))),
    "COVID-19 CT": ("lung_infection", covid_sets),
    "CT-ICH 1.3.1": ("hematoma", lambda folder: plain(volumes.write_ct_ich_nifti(folder))),
    "CT-ICH 1.0.0": ("hematoma", ct_ich_jpg),
    "LabelMe CT": ("hematoma", labelme_ct),
    "LabelMe echo": ("echo_left_ventricle", labelme_echo),
    "EchoNet-Dynamic": ("echo_left_ventricle", echo_set(echo.write_echonet, tolerance=6)),
    "CAMUS": ("echo_left_ventricle", echo_set(lambda folder: echo.write_camus(folder, ".nii.gz"), tolerance=0)),
    "plain": ("knee_cartilage", knee_pairs),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_distribution_comes_out_as_it_is_known_to_be(name: str, tmp_path: Path) -> None:
    task, write = FORMATS[name]
    expected = write(tmp_path / "source")
    options = PrepareOptions(thickness_mm=5.0, pixel_mm=None if name in ("EchoNet-Dynamic", "CAMUS") else 0.45)
    outcome = run(task, tmp_path / "source", tmp_path / "dest", options)
    assert outcome.failed == []
    assert {row["study_id"] for row in outcome.rows} == set(expected)
    listed = splits_of(tmp_path / "dest")
    assert set(listed) == set(expected)
    for study_id, study in expected.items():
        assert_study_is(tmp_path / "dest", study_id, study)
        assert study.split in ("", listed[study_id])


def assert_study_is(dest: Path, study_id: str, expected: Expected) -> None:
    image, label = (nib.load(dest / folder / f"{study_id}.nii.gz") for folder in ("images", "labels"))
    assert image.shape == label.shape == expected.image.shape
    np.testing.assert_allclose(image.affine, expected.affine_ras, atol=1e-4)
    np.testing.assert_array_equal(image.affine, label.affine)
    assert (np.abs(image.get_fdata() - expected.image) <= expected.tolerance).all()
    np.testing.assert_array_equal(np.asarray(label.dataobj), expected.label)
    assert label.get_data_dtype() == np.uint8


def splits_of(dest: Path) -> dict[str, str]:
    """The split of each study in the list that MONAI reads."""
    found = {}
    for split in ("training", "validation", "test"):
        if not json.loads((dest / "datalist.json").read_text())[split]:
            continue
        for item in load_decathlon_datalist(str(dest / "datalist.json"), is_segmentation=True, data_list_key=split):
            assert Path(item["image"]).is_file()
            assert Path(item["label"]).is_file()
            found[item["study_id"]] = split
    return found


def test_volumes_and_geometry_stand_in_the_table(tmp_path: Path) -> None:
    truths = volumes.write_lits(tmp_path / "source")
    run("liver_tumor", tmp_path / "source", tmp_path / "dest")
    table = read_table(tmp_path / "dest" / "dataset.csv").set_index("study_id")
    for study_id, truth in truths.items():
        row = table.loc[study_id]
        assert row["tumor_ml"] == pytest.approx(truth.label.sum() * truth.voxel_ml, rel=1e-5)
        assert row["tumor_slices"] == truth.label.any(axis=(0, 1)).sum()
        assert (row["columns"], row["rows"], row["slices"]) == volumes.SHAPE
        assert (row["spacing_mm"], row["orientation"], row["status"]) == ("0.7x0.8x2.5", "LPS", "ok")


def test_echo_has_areas_instead_of_volumes_and_none_without_a_pixel_size(tmp_path: Path) -> None:
    echo.write_camus(tmp_path / "camus", ".nii.gz")
    run("echo_left_ventricle", tmp_path / "camus", tmp_path / "a", PrepareOptions())
    table = read_table(tmp_path / "a" / "dataset.csv").set_index("study_id")
    assert table.loc["patient0001_2CH_ED", "left_ventricle_max_area_mm2"] == pytest.approx(
        5 * 12 * 0.308 * 0.154, rel=1e-5
    )
    echo.write_echonet(tmp_path / "echonet")
    run("echo_left_ventricle", tmp_path / "echonet", tmp_path / "b", PrepareOptions())
    table = read_table(tmp_path / "b" / "dataset.csv")
    assert table["left_ventricle_max_area_mm2"].isna().all()
    assert (table["left_ventricle_slices"] == 2).all()


def test_a_tilted_uneven_dicom_series_keeps_the_place_of_every_slice(tmp_path: Path) -> None:
    series = tilted_miniature((4.0, 4.0, 1.08, 7.0, 7.0))
    save(datasets(series), tmp_path / "source" / "head")
    assert run("hematoma", tmp_path / "source", tmp_path / "dest").failed == []
    scan = read_scan(tmp_path / "dest" / "images" / "head.nii.gz")
    ends = np.column_stack([np.zeros((6, 2)), np.arange(6)])
    np.testing.assert_allclose(scan.geometry.to_ras_mm(ends), series.origins_ras_mm, atol=0.01)
    np.testing.assert_allclose(scan.voxels, series.voxels)
    assert {"sheared", "uneven_slices"} <= set(scan.geometry.flags)


@pytest.mark.parametrize(("task", "modality"), [("hematoma", "MR"), ("knee_cartilage", "CT")])
def test_a_series_of_another_modality_is_to_be_looked_at(task: str, modality: str, tmp_path: Path) -> None:
    for name, of in {"other": modality, "own": {"MR": "CT", "CT": "MR"}[modality]}.items():
        save(datasets(replace(miniature([5.0, 5.0]), modality=of)), tmp_path / "src" / name)
    outcome = run(task, tmp_path / "src", tmp_path / "dest")
    rows = {row["study_id"]: row for row in outcome.rows}
    assert rows["other"]["flags"].startswith("other_modality")
    assert f", got the modality {modality}; take another series" in rows["other"]["notes"]
    assert "modality" not in rows["own"]["flags"] + rows["own"]["notes"]


def test_nothing_of_the_patient_reaches_any_file(tmp_path: Path) -> None:
    save(datasets(tilted_miniature((4.0, 4.0)), patient_id="PAT-4711"), tmp_path / "source" / "a")
    volumes.write_pairs(tmp_path / "source")
    run("hematoma", tmp_path / "source", tmp_path / "dest")
    for path in (tmp_path / "dest").rglob("*.*"):
        content = nib.load(path).header.binaryblock if path.suffix == ".gz" else path.read_bytes()
        assert not any(
            word in content for word in (b"Miniature", b"PAT-4711", b"19010203", b"DOE^JANE", str(tmp_path).encode())
        )


def test_studies_of_one_patient_stay_on_one_side(tmp_path: Path) -> None:
    rows = ["study_id,image,label,patient"]
    for number in range(12):
        image, label = volumes.numbers(number, 2)
        volumes.save(tmp_path / f"i{number}.nii.gz", image)
        volumes.save(tmp_path / f"l{number}.nii.gz", label)
        rows.append(f"s{number},i{number}.nii.gz,l{number}.nii.gz,P{number % 4}")
    (tmp_path / "studies.csv").write_text("\n".join(rows))
    outcome = run("hematoma", tmp_path / "studies.csv", tmp_path / "dest")
    sides: dict[Any, set[Any]] = {}
    for row in outcome.rows:
        sides.setdefault(row["patient"], set()).add(row["split"])
    assert len(sides) == 4
    assert all(len(side) == 1 for side in sides.values())
    assert {next(iter(side)) for side in sides.values()} == {"training", "validation", "test"}


def test_a_rerun_converts_only_what_is_missing_and_moves_nobody(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source", studies=4)
    (tmp_path / "source" / "images" / "s1.nii.gz").write_bytes(b"broken")
    first = run("hematoma", tmp_path / "source", tmp_path / "dest")
    assert [line.split(":")[0] for line in first.failed] == ["s1"]
    kept = tmp_path / "dest" / "images" / "s0.nii.gz"
    before = kept.stat().st_mtime_ns
    volumes.write_pairs(tmp_path / "more", studies=6)
    for path in (tmp_path / "more").glob("*/s[1345].nii.gz"):
        path.replace(tmp_path / "source" / path.relative_to(tmp_path / "more"))
    (tmp_path / "dest" / "labels" / "s2.nii.gz").unlink()
    second = run("hematoma", tmp_path / "source", tmp_path / "dest")
    assert second.failed == []
    assert kept.stat().st_mtime_ns == before
    assert (tmp_path / "dest" / "labels" / "s2.nii.gz").is_file()
    assert [row["study_id"] for row in second.rows] == [f"s{number}" for number in range(6)]
    sides = {row["study_id"]: row["split"] for row in second.rows}
    assert {row["study_id"]: row["split"] for row in first.usable}.items() <= sides.items()


def test_a_run_killed_at_any_moment_goes_on(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source", studies=12)
    code = (
        "import sys; from pathlib import Path; from sliceweave.pipelines.cli import main; import os, threading;"
        "threading.Timer(float(sys.argv.pop()), os.kill, (os.getpid(), 9)).start(); main()"
    )
    command = [sys.executable, "-c", code, "prepare", "hematoma", str(tmp_path / "source"), str(tmp_path / "dest")]
    for seconds in ("0.9", "1.2", "1.5"):
        assert subprocess.run([*command, seconds], capture_output=True, check=False).returncode in (-9, 0)
    outcome = run("hematoma", tmp_path / "source", tmp_path / "dest", PrepareOptions())
    assert outcome.failed == []
    assert len(splits_of(tmp_path / "dest")) == 12
    for folder in ("images", "labels"):
        names = sorted(path.name for path in (tmp_path / "dest" / folder).iterdir())
        assert names == sorted(f"s{number}.nii.gz" for number in range(12))


def test_a_run_killed_before_its_first_study_goes_on(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source")
    settings = run("hematoma", tmp_path / "source", tmp_path / "dest")
    for path in (*(tmp_path / "dest" / "images").iterdir(), *(tmp_path / "dest" / "labels").iterdir()):
        path.rename(path.with_name(f".{path.name}.sliceweave-partial"))
    again = run("hematoma", tmp_path / "source", tmp_path / "dest")
    assert again.rows == settings.rows
    assert list((tmp_path / "dest" / "images").glob(".*")) == []


def test_without_its_table_a_folder_is_converted_anew(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source")
    run("hematoma", tmp_path / "source", tmp_path / "dest")
    (tmp_path / "dest" / "dataset.csv").unlink()
    recoded = PrepareOptions(recode={1: 0})
    assert run("hematoma", tmp_path / "source", tmp_path / "dest", recoded).failed == []
    assert not np.asarray(nib.load(tmp_path / "dest" / "labels" / "s0.nii.gz").dataobj).any()


def test_a_study_that_fails_leaves_what_was_there_as_it_was(tmp_path: Path) -> None:
    truths = volumes.write_pairs(tmp_path / "source")
    run("hematoma", tmp_path / "source", tmp_path / "dest")
    (tmp_path / "dest" / "dataset.csv").unlink()
    spoil(tmp_path / "source", "NaN")
    volumes.save(tmp_path / "source" / "labels" / "s0.nii.gz", 1 - truths["s0"].label)
    assert len(run("hematoma", tmp_path / "source", tmp_path / "dest").failed) == 1
    kept = nib.load(tmp_path / "dest" / "labels" / "s0.nii.gz")
    np.testing.assert_array_equal(np.asarray(kept.dataobj), truths["s0"].label)


def test_a_file_that_was_damaged_since_is_written_again(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source")
    run("hematoma", tmp_path / "source", tmp_path / "dest")
    image = tmp_path / "dest" / "images" / "s0.nii.gz"
    whole = read_scan(image).voxels
    image.write_bytes(image.read_bytes()[:200])
    assert run("hematoma", tmp_path / "source", tmp_path / "dest").failed == []
    np.testing.assert_array_equal(read_scan(image).voxels, whole)


def test_where_nothing_could_be_used_other_options_are_tried_in_the_same_folder(tmp_path: Path) -> None:
    truths = volumes.write_pairs(tmp_path / "source")
    for name, truth in truths.items():
        volumes.save(tmp_path / "source" / "labels" / f"{name}.nii.gz", 255 * truth.label)
    assert len(run("hematoma", tmp_path / "source", tmp_path / "dest").failed) == len(truths)
    recoded = PrepareOptions(recode={255: 1})
    assert run("hematoma", tmp_path / "source", tmp_path / "dest", recoded).failed == []


def test_a_destination_within_the_source_is_no_part_of_it(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path, studies=3)
    for _ in range(2):
        assert len(run("hematoma", tmp_path, tmp_path / "out").rows) == 3


def test_a_corrected_spacing_converts_again(tmp_path: Path) -> None:
    pictures.labelme_ct(tmp_path / "source")
    csv = tmp_path / "source" / "spacing.csv"
    rows = csv.read_text("utf-8-sig")
    before = run("hematoma", tmp_path / "source", tmp_path / "dest", PrepareOptions())
    csv.write_text(rows.replace("P01,0.45,5.0", "P01,0.9,10.0"))
    after = run("hematoma", tmp_path / "source", tmp_path / "dest", PrepareOptions())
    volumes_ml = [{row["study_id"]: float(str(row["hematoma_ml"])) for row in o.rows} for o in (before, after)]
    assert volumes_ml[1]["P01"] == pytest.approx(8 * volumes_ml[0]["P01"], rel=1e-4)
    assert volumes_ml[1]["P02"] == pytest.approx(volumes_ml[0]["P02"], rel=1e-4)


def test_a_label_that_comes_later_or_goes_is_followed(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source")
    (tmp_path / "source" / "labels").rename(tmp_path / "later")
    labels = tmp_path / "dest" / "labels"
    for was_there in (False, True, False):
        assert run("hematoma", tmp_path / "source", tmp_path / "dest").failed == []
        assert len(list(labels.iterdir())) == 2 * was_there
        pair = tmp_path / "later", tmp_path / "source" / "labels"
        (pair[was_there]).rename(pair[not was_there])


def test_a_patient_known_by_another_name_stays_on_its_side(tmp_path: Path) -> None:
    def add(letter: str) -> Outcome:
        for number in range(8):
            slices = datasets(miniature((5.0,) * 2), patient_id=f"ID{number}")
            save(slices, tmp_path / "source" / f"{letter}{number}")
        return run("hematoma", tmp_path / "source", tmp_path / "dest")

    first, second = add("m"), add("a")
    sides = {row["study_id"]: row["split"] for row in second.rows}
    assert {row["study_id"]: row["split"] for row in first.rows}.items() <= sides.items()
    assert all(sides[f"a{number}"] == sides[f"m{number}"] for number in range(8))


def test_patients_found_to_be_one_after_they_were_split_are_refused(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path, studies=6)
    lines = [f"s{n},images/s{n}.nii.gz,labels/s{n}.nii.gz,P{n}" for n in range(6)]
    table = tmp_path / "studies.csv"
    before = "\n".join(["study_id,image,label,patient", *lines])
    table.write_text(before)
    rows = run("hematoma", table, tmp_path / "dest").rows
    first = {row["study_id"]: row["split"] for row in rows}
    sides = {str(row["split"]): row for row in rows}
    together = {str(sides[split]["patient"]) for split in ("validation", "test")}
    for name in together:
        lines = [line.replace(f",{name}", ",PX") for line in lines]
    table.write_text("\n".join(["study_id,image,label,patient", *lines]))
    for _ in range(2):  # a refusal does not wear off
        outcome = run("hematoma", table, tmp_path / "dest")
        assert len(outcome.failed) == 2
        assert all("patient PX stands in test and validation" in line for line in outcome.failed)
        assert len(splits_of(tmp_path / "dest")) == 4
    table.write_text(before)
    outcome = run("hematoma", table, tmp_path / "dest")
    assert outcome.failed == []
    assert {row["study_id"]: row["split"] for row in outcome.rows} == first


def test_studies_that_cannot_be_used_take_no_place_in_a_split(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source", studies=20)
    for number in range(10):
        (tmp_path / "source" / "labels" / f"s{number}.nii.gz").write_bytes(b"broken")
    outcome = run("hematoma", tmp_path / "source", tmp_path / "dest")
    sides = [row["split"] for row in outcome.usable]
    assert [sides.count(split) for split in ("training", "validation", "test")] == [8, 1, 1]


def test_a_record_that_was_edited_into_none_is_a_clear_error(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source")
    run("hematoma", tmp_path / "source", tmp_path / "dest")
    listed = tmp_path / "dest" / "datalist.json"
    listed.write_text(listed.read_text().replace('"training"\n', '"train"\n'))
    with pytest.raises(InputError, match=r"datalist.json: expected sides training, validation, test, got 'train'"):
        run("hematoma", tmp_path / "source", tmp_path / "dest")


def test_a_study_that_fails_for_once_keeps_its_side(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source", studies=10)
    first = {row["study_id"]: row["split"] for row in run("hematoma", tmp_path / "source", tmp_path / "dest").rows}
    labels = [tmp_path / "dest" / "labels" / f"{name}.nii.gz" for name, side in first.items() if side != "training"]
    contents = [(tmp_path / "source" / "labels" / path.name).read_bytes() for path in labels]
    for path in labels:  # to be converted again, which fails
        path.unlink()
        (tmp_path / "source" / "labels" / path.name).write_bytes(b"broken")
    volumes.write_pairs(tmp_path / "source" / "more", studies=1)
    assert len(run("hematoma", tmp_path / "source", tmp_path / "dest").failed) == 2
    for path, content in zip(labels, contents, strict=True):
        (tmp_path / "source" / "labels" / path.name).write_bytes(content)
    last = run("hematoma", tmp_path / "source", tmp_path / "dest")
    assert last.failed == []
    assert {row["study_id"]: row["split"] for row in last.rows}.items() >= first.items()


def test_an_interrupted_run_draws_nobody_and_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes.write_pairs(tmp_path / "source", studies=20)
    whole = {row["study_id"]: row["split"] for row in run("hematoma", tmp_path / "source", tmp_path / "a").rows}
    convert, done = Converter.convert, []

    def interrupted(self: Converter, case: Case) -> Row:
        done.append(case)
        if len(done) == 6:
            raise KeyboardInterrupt
        return convert(self, case)

    monkeypatch.setattr(Converter, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("hematoma", tmp_path / "source", tmp_path / "b")
    monkeypatch.undo()
    assert splits_of(tmp_path / "b") == {}
    resumed = run("hematoma", tmp_path / "source", tmp_path / "b")
    assert {row["study_id"]: row["split"] for row in resumed.rows} == whole


def test_new_studies_rename_none_that_are_there(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        volumes.write_pairs(tmp_path / "source" / patient)
    first = [row["study_id"] for row in run("hematoma", tmp_path / "source", tmp_path / "dest").rows]
    volumes.write_pairs(tmp_path / "source" / "a1")
    second = [row["study_id"] for row in run("hematoma", tmp_path / "source", tmp_path / "dest").rows]
    assert second == ["a1_s0", "a1_s1", *first]


def test_a_scan_that_moved_is_converted_again(tmp_path: Path) -> None:
    truth = volumes.write_pairs(tmp_path / "source", studies=1)["s0"]
    run("hematoma", tmp_path / "source", tmp_path / "dest")
    for folder, voxels in (("images", truth.image), ("labels", truth.label)):
        volumes.save(tmp_path / "source" / folder / "s0.nii.gz", voxels, moved(volumes.AFFINE))
    run("hematoma", tmp_path / "source", tmp_path / "dest")
    np.testing.assert_allclose(nib.load(tmp_path / "dest" / "images" / "s0.nii.gz").affine, moved(volumes.AFFINE))


def test_reasons_name_no_folder_above_the_data_set(tmp_path: Path) -> None:
    home = tmp_path / "DOE JANE"
    volumes.write_pairs(home / "set")
    spoil(home / "set", "cut short")
    pictures.labelme_ct(home / "slices")
    (home / "slices" / "P01" / "json" / "9.json").write_text("{")
    for name in ("set", "slices"):
        outcome = run("hematoma", home / name, tmp_path / name, PrepareOptions())
        assert len(outcome.failed) == 1
        assert "DOE" not in (tmp_path / name / "dataset.csv").read_text()


def test_relative_paths_and_itk_in_threads_do_not_get_in_each_others_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        image, _ = volumes.numbers(number, 2)
        volumes.write_itk(tmp_path / "in" / f"i{number}.nrrd", image, volumes.AFFINE)
        volumes.save(tmp_path / "in" / f"n{number}.nii.gz", image)
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", MAIN, "prepare", "hematoma", "in", "out", "--workers", "4"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "images").iterdir())) == 8


def test_one_file_and_a_csv_of_a_dicom_folder_are_sources_too(tmp_path: Path) -> None:
    image, _ = volumes.numbers(0, 2)
    volumes.save(tmp_path / "one.nii.gz", image)
    assert len(run("hematoma", tmp_path / "one.nii.gz", tmp_path / "a").usable) == 1
    series = miniature((5.0,) * 2)
    save(datasets(series), tmp_path / "head")
    volumes.save(tmp_path / "head_label.nii.gz", (series.voxels > 0).astype(np.uint8), read_affine(tmp_path / "head"))
    (tmp_path / "s.csv").write_text("study_id,image,label\nh,head,head_label.nii.gz\n")
    outcome = run("hematoma", tmp_path / "s.csv", tmp_path / "b")
    assert outcome.failed == []
    np.testing.assert_array_equal(nib.load(tmp_path / "b" / "labels" / "h.nii.gz").get_fdata(), series.voxels > 0)


def test_patients_of_dicom_folders_in_a_csv_are_told_apart_by_their_headers(tmp_path: Path) -> None:
    patients = {"a1": "P1", "b1": "P2", "a2": "P1", "c1": "", "b2": "P2"}
    for seed, (study_id, patient) in enumerate(patients.items()):
        save(datasets(miniature((5.0,) * 2, seed=seed), patient_id=patient), tmp_path / study_id)
    rows = [f"{study_id},{study_id},{'jane' if study_id == 'b2' else ''}" for study_id in patients]
    (tmp_path / "s.csv").write_text("\n".join(["study_id,image,patient", *rows]))
    found = run("hematoma", tmp_path / "s.csv", tmp_path / "out")
    assert [row["patient"] for row in found.rows] == ["a1", "jane", "a1", "c1", "jane"]
    sides = json.loads((tmp_path / "out" / "datalist.json").read_bytes())["sides"]
    assert sides["a1"] == sides["a2"]
    assert sides["b1"] == sides["b2"]


def test_a_corrected_csv_converts_what_it_corrects(tmp_path: Path) -> None:
    truths = [volumes.numbers(number, 2) for number in range(2)]
    for number, (image, label) in enumerate(truths):
        volumes.save(tmp_path / f"i{number}.nii.gz", image)
        volumes.save(tmp_path / f"l{number}.nii.gz", label)
    table = tmp_path / "s.csv"
    table.write_text("study_id,image,label\na,i0.nii.gz,l1.nii.gz\nb,i0.nii.gz,l1.nii.gz\n")
    run("hematoma", table, tmp_path / "out")
    table.write_text("study_id,image,label\na,i0.nii.gz,l0.nii.gz\nb,i1.nii.gz,l1.nii.gz\n")
    run("hematoma", table, tmp_path / "out")
    for study_id, (image, label) in zip("ab", truths, strict=True):
        for folder, expected in (("images", image), ("labels", label)):
            np.testing.assert_array_equal(nib.load(tmp_path / "out" / folder / f"{study_id}.nii.gz").dataobj, expected)


def test_a_label_drawn_anew_is_converted_again(tmp_path: Path) -> None:
    truth = volumes.write_pairs(tmp_path / "source", studies=1)["s0"]
    run("hematoma", tmp_path / "source", tmp_path / "out")
    volumes.save(tmp_path / "source" / "labels" / "s0.nii.gz", 1 - truth.label)
    run("hematoma", tmp_path / "source", tmp_path / "out")
    np.testing.assert_array_equal(nib.load(tmp_path / "out" / "labels" / "s0.nii.gz").dataobj, 1 - truth.label)


VOLUME_SETS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "LiTS": ("liver_tumor", volumes.write_lits),
    "Task03": ("liver_tumor", volumes.write_msd),
    "CT-ICH 1.3.1": ("hematoma", volumes.write_ct_ich_nifti),
    "OAI-ZIB": ("knee_cartilage", volumes.write_oai_zib),
    "COVID set 1": ("lung_infection", covid.write_set_1),
    "COVID set 2": ("lung_infection", covid.write_numbered),
    "COVID 20 cases": ("lung_infection", covid.write_twenty),
    "CAMUS": ("echo_left_ventricle", partial(echo.write_camus, suffix=".nii.gz")),
}


@pytest.mark.parametrize("name", VOLUME_SETS)
def test_files_of_a_data_set_of_volumes_that_were_written_since_are_another_source(name: str, tmp_path: Path) -> None:
    task, write = VOLUME_SETS[name]
    write(tmp_path)

    def digests() -> dict[str, str]:
        cases = find_cases(prepare_task(task), tmp_path, PrepareOptions())
        return {case.study_id: source_digest(case) for case in cases if case.label}

    before = digests()
    for path in filter(Path.is_file, tmp_path.rglob("*")):
        os.utime(path, ns=(1, 1))
    after = digests()
    assert before
    assert all(before.values())
    assert all(before[study_id] != after[study_id] for study_id in before)


def test_what_has_left_the_source_leaves_the_list_and_is_told_once(tmp_path: Path) -> None:
    source, dest = tmp_path / "source", tmp_path / "dest"
    volumes.write_pairs(source, studies=8)
    (source / "images" / "s7.nii.gz").write_bytes(b"broken")
    first = {row["study_id"]: row["split"] for row in run("hematoma", source, dest).usable}
    kept = {folder: (source / folder / "s0.nii.gz").read_bytes() for folder in ("images", "labels")}
    for study_id in ("s0", "s7"):
        for folder in ("images", "labels"):
            (source / folder / f"{study_id}.nii.gz").unlink()
    second = run("hematoma", source, dest)
    assert second.gone == ["s0"]
    assert "6 of 6 studies prepared" in second.summary(dest)
    assert "1 no longer in the source, and so no longer in datalist.json:\n  s0" in second.summary(dest)
    assert set(splits_of(dest)) == {f"s{number}" for number in range(1, 7)}
    assert (dest / "images" / "s0.nii.gz").is_file()
    assert run("hematoma", source, dest).gone == []
    for folder, content in kept.items():
        (source / folder / "s0.nii.gz").write_bytes(content)
    assert {row["study_id"]: row["split"] for row in run("hematoma", source, dest).rows} == first


def read_affine(folder: Path) -> NDArray[np.float64]:
    return np.asarray(stack_of_files(sorted(folder.iterdir())).geometry.affine_ras)


def test_links_are_followed_once(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "real")
    (tmp_path / "source").mkdir()
    for folder in ("images", "labels"):
        (tmp_path / "source" / folder).symlink_to(tmp_path / "real" / folder)
    (tmp_path / "real" / "images" / "loop").symlink_to(tmp_path / "real" / "images")
    outcome = run("hematoma", tmp_path / "source", tmp_path / "dest")
    assert [row["labelled"] for row in outcome.rows] == [True, True]


def test_liver_sets_of_the_same_patients_are_not_mixed(tmp_path: Path) -> None:
    volumes.write_lits(tmp_path / "source" / "lits")
    volumes.write_msd(tmp_path / "source" / "msd")
    with pytest.raises(InputError, match="holds LiTS and MSD Task03, which are the same patients; prepare one of them"):
        run("liver_tumor", tmp_path / "source", tmp_path / "dest")


@pytest.mark.parametrize(("task", "window"), [("lung_infection", None), ("hematoma", (-1250.0, 250.0))])
def test_plain_ct_of_8_bits_is_brought_back_to_hu(task: str, window: Any, tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, volumes.SHAPE).astype(np.uint8)
    volumes.save(tmp_path / "source" / "x.nii.gz", grey)
    run(task, tmp_path / "source", tmp_path / "dest", PrepareOptions(window_hu=window))
    made = nib.load(tmp_path / "dest" / "images" / "x.nii.gz").get_fdata()
    np.testing.assert_allclose(made, grey / 255 * 1500 - 1250, atol=0.5)


def test_check_writes_nothing_and_says_what_is_wrong(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path, labels=4)
    before = sorted(tmp_path.rglob("*"))
    outcome = check(prepare_task("hematoma"), tmp_path, PrepareOptions())
    assert sorted(tmp_path.rglob("*")) == before
    assert len(outcome.failed) == 2
    assert "expected the label values 0, 1, got 2, 3" in outcome.failed[0]


def test_check_passes_over_what_was_prepared_within_the_source(tmp_path: Path) -> None:
    volumes.write_lits(tmp_path)
    studies = len(run("liver_tumor", tmp_path, tmp_path / "prepared").rows)
    task = prepare_task("liver_tumor")
    assert len(check(task, tmp_path, PrepareOptions(), dest=tmp_path / "prepared").rows) == studies


def test_recoding_takes_the_place_of_the_data_sets_own_coding(tmp_path: Path) -> None:
    volumes.write_lits(tmp_path / "source")
    outcome = run("liver_tumor", tmp_path / "source", tmp_path / "dest", PrepareOptions(recode={1: 1}, others=0))
    assert outcome.failed == []
    raw = nib.load(tmp_path / "source" / "Training Batch 2" / "segmentation-1.nii").get_fdata()
    made = nib.load(tmp_path / "dest" / "labels" / "volume-1.nii.gz").get_fdata()
    np.testing.assert_array_equal(made, raw == 1)


@pytest.mark.parametrize(
    ("change", "what"),
    [({"options": PrepareOptions(recode={1: 1})}, "another options"), ({"source": "other"}, "another source")],
)
def test_a_folder_made_otherwise_is_not_added_to(change: dict[str, Any], what: str, tmp_path: Path) -> None:
    for name in ("source", "other"):
        volumes.write_pairs(tmp_path / name)
    run("hematoma", tmp_path / "source", tmp_path / "dest")
    with pytest.raises(InputError, match=f"was prepared with {what}; choose another folder"):
        run("hematoma", tmp_path / change.get("source", "source"), tmp_path / "dest", change.get("options", SIZES))


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source")
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "thesis.txt").touch()
    with pytest.raises(InputError, match="is not empty and was not made by prepare"):
        run("hematoma", tmp_path / "source", tmp_path / "dest")


def moved(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = affine.copy()
    shifted[2, 3] += 2.5
    return shifted


def spoil(folder: Path, how: str) -> None:
    image, label = folder / "images" / "s0.nii.gz", folder / "labels" / "s0.nii.gz"
    voxels, mask = volumes.numbers(100, 2)
    not_a_number = voxels.astype(np.float32)
    not_a_number[1, 2, 3] = np.nan
    actions: dict[str, Callable[[], object]] = {
        "no label": label.unlink,
        "no image": image.unlink,
        "foreign value": lambda: volumes.save(label, mask + np.uint8(6)),
        "fractions": lambda: volumes.save(label, mask / 2),
        "another shape": lambda: volumes.save(label, mask[:-1]),
        "another place": lambda: volumes.save(label, mask, moved(volumes.AFFINE)),
        "cut short": lambda: image.write_bytes(image.read_bytes()[:-200]),
        "NaN": lambda: volumes.save(image, not_a_number),
        "no NIfTI": lambda: image.write_bytes(b"<html>login required</html>"),
    }
    actions[how]()


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("no label", "expected a label of this name, got none in the folder of labels"),
        ("no image", "s0.nii.gz is a label without an image"),
        ("foreign value", "expected the label values 0, 1, got 6, 7"),
        ("fractions", "expected whole label values"),
        ("another shape", "expected a label of the image's 14 x 11 x 6 voxels, got 13 x 11 x 6"),
        ("another place", r"voxels lie up to 2\.5 mm elsewhere"),
        ("cut short", r"images/s0.nii.gz: expected a whole file"),
        ("NaN", "expected a finite number in each voxel, got at least 1 NaN"),
        ("no NIfTI", "images/s0.nii.gz: expected a NIfTI file, got a text file"),
    ],
)
def test_what_is_wrong_with_one_study_is_one_line_and_the_others_go_on(how: str, what: str, tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path / "source", studies=3)
    spoil(tmp_path / "source", how)
    outcome = run("hematoma", tmp_path / "source", tmp_path / "dest")
    assert len(outcome.usable) == 2
    (line,) = outcome.failed
    assert "\n" not in line
    assert line.startswith("labels_s0: " if how == "no image" else "s0: ")
    with pytest.raises(InputError, match=what):
        raise InputError(line)
    assert sorted(path.name for path in (tmp_path / "dest" / "images").iterdir()) == ["s1.nii.gz", "s2.nii.gz"]
    table = read_table(tmp_path / "dest" / "dataset.csv").set_index("study_id")
    assert table.loc["labels_s0" if how == "no image" else "s0", "status"] == "failed"
    assert "s0" not in splits_of(tmp_path / "dest")


def two_heads(folder: Path) -> Path:
    """Two DICOM studies of five slices; the folder of the second."""
    for name in ("good", "bad"):
        save(datasets(miniature((5.0,) * 5), patient_id=name), folder / name)
    return folder / "bad"


def of_another_shape(folder: Path) -> None:
    stored = np.zeros((2, 9, 11), np.int16)
    _, other = datasets(miniature((5.0,), stored=stored))
    replace_slice(folder, other)


def of_another_orientation(folder: Path) -> None:
    _, other = datasets(miniature((5.0,), directions=SAGITTAL))
    replace_slice(folder, other)


def replace_slice(folder: Path, other: Any) -> None:
    other.SeriesInstanceUID = dcmread(folder / "001.dcm").SeriesInstanceUID
    save([other], folder, ["002.dcm"])


DICOM_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "mixed sizes": (of_another_shape, "expected one size"),
    "mixed orientations": (of_another_orientation, "orientation"),
    "cut short": (lambda folder: (folder / "003.dcm").write_bytes((folder / "003.dcm").read_bytes()[:-50]), "003.dcm"),
}


@pytest.mark.parametrize("how", DICOM_FAULTS)
def test_a_faulty_series_is_one_line_and_the_other_study_goes_on(how: str, tmp_path: Path) -> None:
    fault, what = DICOM_FAULTS[how]
    fault(two_heads(tmp_path / "source"))
    outcome = run("hematoma", tmp_path / "source", tmp_path / "dest")
    assert [row["study_id"] for row in outcome.usable] == ["good"]
    (line,) = outcome.failed
    assert line.startswith("bad: ")
    assert what in line


def test_a_missing_slice_is_converted_with_its_gap_and_listed(tmp_path: Path) -> None:
    (two_heads(tmp_path / "source") / "003.dcm").unlink()
    outcome = run("hematoma", tmp_path / "source", tmp_path / "dest")
    assert outcome.failed == []
    (line,) = outcome.notes
    assert line.startswith("bad: ")
    assert "missing" in line
    geometry = read_scan(tmp_path / "dest" / "images" / "bad.nii.gz").geometry
    np.testing.assert_allclose(geometry.slice_gaps_mm, [5, 10, 5, 5], atol=0.01)


def test_a_patient_in_two_splits_fails_with_all_its_studies(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path, studies=3)
    rows = [
        f"s{n},images/s{n}.nii.gz,labels/s{n}.nii.gz,{p},{s}"
        for n, p, s in [(0, "A", "training"), (1, "A", "test"), (2, "B", "test")]
    ]
    (tmp_path / "studies.csv").write_text("\n".join(["study_id,image,label,patient,split", *rows]))
    outcome = run("hematoma", tmp_path / "studies.csv", tmp_path / "dest")
    assert [row["study_id"] for row in outcome.usable] == ["s2"]
    assert outcome.failed[0] == (
        "s0: patient A stands in test and training; a patient belongs to one side: correct it, or take another folder"
    )


def test_two_studies_of_one_name_fail_together(tmp_path: Path) -> None:
    volumes.write_pairs(tmp_path, studies=2)
    (tmp_path / "studies.csv").write_text("study_id,image\nx,images/s0.nii.gz\nx,images/s1.nii.gz\n")
    assert run("hematoma", tmp_path / "studies.csv", tmp_path / "dest").failed == [
        "x: expected one study of this name, found 2; rename all but one"
    ]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_a_folder_of_nothing_is_a_clear_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="holds nothing that"):
        run(name, tmp_path, tmp_path / "dest")
    assert not (tmp_path / "dest").exists()


def test_an_unknown_task_and_a_missing_source_are_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task 'brain': expected one of hematoma, lung_infection"):
        prepare_task("brain")
    with pytest.raises(InputError, match="nowhere does not exist; expected the folder of a data set"):
        run("hematoma", tmp_path / "nowhere", tmp_path / "dest")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "folder", "usable"),
    [
        ("hematoma", "head_ct", 24),
        ("liver_tumor", "liver_ct", 2),
        ("lung_infection", "lung_ct", 1),
        ("knee_cartilage", "knee_mr", 2),
    ],
)
def test_real_scans_go_in_as_they_lie(task: str, folder: str, usable: int, real_data: Path, tmp_path: Path) -> None:
    outcome = run(task, real_data / folder, tmp_path / "dest")
    assert len(outcome.usable) == usable
    for row in outcome.usable:
        assert read_scan(tmp_path / "dest" / "images" / f"{row['study_id']}.nii.gz").geometry.shape[2] == row["slices"]
