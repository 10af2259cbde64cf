"""Painted data sets: what is on disk, the same every time, and taken up where it stopped."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from sliceweave.pipelines import painted_study, painting
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.generated_sets import nifti_bytes
from sliceweave.pipelines.painted_study import PaintOptions, paint_study
from sliceweave.pipelines.painting import PaintJob, chosen_heads, write_painted
from sliceweave.pipelines.painting_options import kind_odds
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.phantom_tasks import phantom_task
from sliceweave.pipelines.studies import Study, find_studies
from sliceweave.pipelines.study_source import REAL
from sliceweave.pipelines.tables import read_table
from sliceweave.transforms.hematoma_intraparenchymal import Intraparenchymal, draw_intraparenchymal

GRID = PhantomOptions(size=(110, 126), slices=18, spacing_mm=(1.8, 1.75, 9.0), healthy_share=1.0)
PLAIN = PaintOptions({"intraparenchymal": 1.0}, healthy_share=0.0, is_varied=False)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    for index in (3, 4):
        case = phantom_task("hematoma").make(2, index, GRID)
        (folder / f"head{index}.nii.gz").write_bytes(nifti_bytes(case.image, case.grid.affine_ras, REAL))
    return folder


def job(heads: Path, studies: int, options: PaintOptions = PLAIN, seed: int = 5) -> PaintJob:
    return PaintJob(chosen_heads(heads), studies, seed, options)


def test_files_have_the_documented_layout_and_say_what_they_are(heads: Path, tmp_path: Path) -> None:
    assert write_painted(job(heads, 3), tmp_path) == {}
    names = [f"painted-0005-000{i}" for i in range(3)]
    files = {f"{folder}/{name}.nii.gz" for folder in ("images", "labels") for name in names}
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == files | {"truth.csv", "painting.json"}
    image, label = (nib.load(tmp_path / folder / f"{names[0]}.nii.gz") for folder in ("images", "labels"))
    assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
    assert bytes(image.header["descrip"]).rstrip(b"\0") == b"sliceweave painted"
    assert bytes(label.header["descrip"]).rstrip(b"\0") == b"sliceweave painted"
    assert [study.label is not None for study in find_studies(tmp_path)] == [True] * 3


def test_truth_says_what_was_painted(heads: Path, tmp_path: Path) -> None:
    write_painted(job(heads, 2), tmp_path)
    truth = read_table(tmp_path / "truth.csv")
    assert list(truth.columns) == ["study_id", "patient", "kinds", "volume_ml", "contrast_hu"]
    assert list(truth["patient"]) == ["head3", "head4"]
    assert list(truth["kinds"]) == ["intraparenchymal"] * 2
    for _, row in truth.iterrows():
        label = nib.load(tmp_path / "labels" / f"{row['study_id']}.nii.gz")
        label_ml = np.asanyarray(label.dataobj).sum() * abs(np.linalg.det(label.affine[:3, :3])) / 1000
        assert label_ml == pytest.approx(row["volume_ml"], rel=0.25, abs=0.6)
        assert 8 <= row["contrast_hu"] < 60


def test_blood_that_nobody_could_outline_is_drawn_again(heads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = next(filter(None, map(_dense_clot, range(100))))
    faint = replace(dense, blood=replace(dense.blood, contrast_hu=3.0))
    drawn = iter([(faint,), (faint,), (dense,)])
    monkeypatch.setattr(painted_study, "draw_bleedings", lambda _rng, _odds: next(drawn))
    study = paint_study(chosen_heads(heads)[0], (8, 2), PaintOptions(kind_odds(""), 0.0, is_varied=False))
    assert study.contrast_hu is not None
    assert study.contrast_hu > 15
    assert next(drawn, None) is None


def _dense_clot(seed: int) -> Intraparenchymal | None:
    clot = draw_intraparenchymal(np.random.RandomState(seed))
    return clot if clot.blood.contrast_hu > 30 else None


def test_a_study_depends_on_its_head_seed_and_index_alone(heads: Path) -> None:
    head = chosen_heads(heads)[0]
    options = PaintOptions(kind_odds(""), 0.0)
    first, again = (paint_study(head, (8, 2), options) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.label, again.label)
    assert first.volume_ml == again.volume_ml
    assert not np.array_equal(first.image, paint_study(head, (8, 4), options).image)


def test_outlined_labels_lie_around_the_exact_ones_of_the_same_image(heads: Path) -> None:
    head = chosen_heads(heads)[0]
    exact, outlined = (paint_study(head, (8, 2), replace(PLAIN, is_outlined=wanted)) for wanted in (False, True))
    assert np.array_equal(exact.image, outlined.image)
    assert exact.volume_ml == outlined.volume_ml
    assert (outlined.label >= exact.label).all()
    assert 1.02 < outlined.label.sum() / exact.label.sum() < 2


def test_a_rerun_makes_only_what_is_missing(heads: Path, tmp_path: Path) -> None:
    write_painted(job(heads, 1), tmp_path)
    first = tmp_path / "images" / "painted-0005-0000.nii.gz"
    written = first.stat().st_mtime_ns
    write_painted(job(heads, 2), tmp_path)
    assert first.stat().st_mtime_ns == written
    (tmp_path / "labels" / "painted-0005-0001.nii.gz").unlink()
    write_painted(job(heads, 2), tmp_path)
    assert (tmp_path / "labels" / "painted-0005-0001.nii.gz").is_file()
    assert list(read_table(tmp_path / "truth.csv")["study_id"]) == ["painted-0005-0000", "painted-0005-0001"]


def test_a_folder_holds_studies_of_one_kind_only(heads: Path, tmp_path: Path) -> None:
    write_painted(job(heads, 1), tmp_path)
    with pytest.raises(InputError, match=r"other heads, seed or kinds, see painting\.json; name another DIRECTORY"):
        write_painted(job(heads, 1, seed=6), tmp_path)
    assert [*json.loads((tmp_path / "painting.json").read_text())["heads"]] == ["head3", "head4"]


def test_a_folder_is_not_gone_on_with_after_a_head_was_exported_anew(heads: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    shutil.copytree(heads, copies)
    write_painted(job(copies, 1), tmp_path / "out")
    image = nib.load(copies / "head4.nii.gz")
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj) + 1, image.affine, image.header), copies / "head4.nii.gz")
    with pytest.raises(InputError, match=r"other heads.*painting\.json"):
        write_painted(job(copies, 2), tmp_path / "out")


def test_truth_is_in_the_studies_order_whichever_is_finished_first(
    heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "mapped", lambda work, indices, _workers: map(work, reversed(indices)))
    write_painted(job(heads, 3, replace(PLAIN, healthy_share=1.0)), tmp_path)
    assert list(read_table(tmp_path / "truth.csv")["study_id"]) == [f"painted-0005-000{i}" for i in range(3)]


def test_healthy_studies_have_an_empty_label_and_no_volume(heads: Path, tmp_path: Path) -> None:
    write_painted(job(heads, 1, replace(PLAIN, healthy_share=1.0)), tmp_path)
    truth = read_table(tmp_path / "truth.csv")
    assert truth["volume_ml"][0] == 0
    assert truth["kinds"][0] == ""
    assert not np.asanyarray(nib.load(tmp_path / "labels" / "painted-0005-0000.nii.gz").dataobj).any()


def test_plain_paint_changes_nothing_away_from_the_blood(heads: Path) -> None:
    head = chosen_heads(heads)[0]
    healthy = paint_study(head, (5, 0), replace(PLAIN, healthy_share=1.0))
    source = np.maximum(np.asanyarray(nib.load(head.image).dataobj), -1024)
    assert np.array_equal(healthy.image, source)
    assert np.allclose(healthy.affine_ras, nib.load(head.image).affine, atol=1e-4)


def test_a_head_that_cannot_be_painted_costs_its_studies_only(heads: Path, tmp_path: Path) -> None:
    for path in heads.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "a.nii.gz").write_bytes(nifti_bytes(np.zeros((40, 50, 6), np.int16), np.diag([1, 1.5, 4, 1.0]), REAL))
    (tmp_path / "b.nii.gz").write_bytes(b"no scan")
    reasons = write_painted(job(tmp_path, 4), tmp_path / "out", workers=1)
    assert sorted(reasons) == ["painted-0005-0000", "painted-0005-0001"]
    assert "a.nii.gz: expected a head CT in HU, found no brain" in reasons["painted-0005-0000"]
    assert reasons["painted-0005-0001"].startswith("b.nii.gz: ")
    assert list(read_table(tmp_path / "out" / "truth.csv")["patient"]) == ["head3", "head4"]


def test_heads_that_bleed_already_are_left_out_with_a_reason(heads: Path, tmp_path: Path) -> None:
    write_painted(job(heads, 1), tmp_path / "painted")
    (head,) = find_studies(tmp_path / "painted" / "images")
    with pytest.raises(InputError, match="expected a head without haemorrhage, got one that has some"):
        paint_study(head, (5, 0), PLAIN)
    healthy = next(path for path in heads.iterdir())
    voxels = np.asarray(nib.load(healthy).dataobj)
    label = tmp_path / "label.nii.gz"
    label.write_bytes(nifti_bytes((voxels > 1000).astype(np.uint8), nib.load(healthy).affine, REAL))
    with pytest.raises(InputError, match="got one that has some"):
        paint_study(Study("a", healthy, label), (5, 0), PLAIN)


def test_heads_are_chosen_by_name_or_by_part(heads: Path) -> None:
    assert [head.study_id for head in chosen_heads(heads, ["head4"])] == ["head4"]
    assert [head.study_id for head in chosen_heads(heads, part="0:1")] == ["head3"]
    assert [head.study_id for head in chosen_heads(heads, part="1:")] == ["head4"]


@pytest.mark.parametrize(
    ("patients", "part", "message"),
    [
        (["head9"], "", r"names head9, which is not in .*: it has head3, head4"),
        ([], "7:", r"leaves none of 2 heads"),
        ([], "one", r"FIRST:LAST such as 0:16 or 16:, got 'one'"),
    ],
)
def test_heads_that_are_not_there_are_an_error(heads: Path, patients: list[str], part: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen_heads(heads, patients, part)


def test_kinds_are_read_with_and_without_odds() -> None:
    assert kind_odds("subdural, epidural=0.5") == {"subdural": 1.0, "epidural": 0.5}
    assert set(kind_odds("")) == {"intraparenchymal", "ventricular", "subarachnoid", "subdural", "epidural"}


@pytest.mark.parametrize("text", ["spinal", "subdural=many", "subdural=-1"])
def test_kinds_that_are_none_are_an_error(text: str) -> None:
    with pytest.raises(InputError, match=r"--kinds is KIND\[=ODDS\]"):
        kind_odds(text)
