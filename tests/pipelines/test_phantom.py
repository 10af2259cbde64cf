"""Generated studies: repeatable, on the grid they claim, and holding the blood they claim."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.phantom import study_id, write_phantoms
from sliceweave.pipelines.phantom_case import PhantomCase
from sliceweave.pipelines.phantom_grid import PhantomOptions, scan_grid
from sliceweave.pipelines.phantom_hematoma import KINDS
from sliceweave.pipelines.phantom_tasks import phantom_task
from sliceweave.pipelines.volumetry import volume_ml

SMALL = PhantomOptions(size=(120, 136), slices=8, spacing_mm=(1.9, 1.8, 20.0))
MEDIUM = PhantomOptions(size=(120, 136), slices=28, spacing_mm=(1.9, 1.8, 6.0))
VARIANTS = {
    "plain": MEDIUM,
    "tilted": replace(MEDIUM, tilt_deg=18.5),
    "oblique": replace(MEDIUM, oblique=True),
    "uneven": replace(MEDIUM, uneven=True),
    "all": replace(MEDIUM, tilt_deg=-12.0, oblique=True, uneven=True),
}


@cache
def grown(seed: int, index: int, options: PhantomOptions) -> PhantomCase:
    return phantom_task("hematoma").make(seed, index, replace(options, healthy_share=0.0))


def geometry_of(case: PhantomCase) -> Geometry:
    grid = case.grid
    return Geometry(grid.affine_ras, grid.shape, grid.slice_origins_ras_mm, grid.slice_thickness_mm)


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_study_is_the_same_every_time() -> None:
    first, second = phantom_task("hematoma").make(5, 1, SMALL), phantom_task("hematoma").make(5, 1, SMALL)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.label, second.label)
    assert first.truth == second.truth


@pytest.mark.parametrize("other", [(3, 1), (4, 0)])
def test_another_index_or_seed_is_another_head(other: tuple[int, int]) -> None:
    bones = [grown(*key, SMALL).image > 300 for key in ((3, 0), other)]
    assert np.logical_xor(*bones).sum() > 0.2 * np.logical_or(*bones).sum()


def test_the_first_three_studies_bleed() -> None:
    cases = [phantom_task("hematoma").make(4, index, replace(SMALL, healthy_share=1.0)) for index in (2, 3)]
    assert [bool(case.kinds) for case in cases] == [True, False]
    assert cases[1].truth["volume_ml"] == 0.0
    assert not cases[1].label.any()


def test_all_kinds_of_hematoma_take_turns() -> None:
    assert {grown(3, index, MEDIUM).kinds[0] for index in range(5)} == set(KINDS)


@pytest.mark.parametrize("index", range(5))
def test_label_volume_agrees_with_the_truth_for_every_kind(index: int) -> None:
    case = grown(3, index, MEDIUM)
    # A border voxel counts whole or not at all: 20 mm³ each, they cancel to well below a twentieth of these lesions.
    assert volume_ml(case.label, geometry_of(case)) == pytest.approx(case.truth["volume_ml"], rel=0.06, abs=0.7)


@pytest.mark.parametrize("variant", VARIANTS)
def test_blood_is_the_same_however_the_head_is_scanned(variant: str) -> None:
    case = grown(3, 2, VARIANTS[variant])
    assert case.truth["volume_ml"] == pytest.approx(grown(3, 2, MEDIUM).truth["volume_ml"], rel=1e-6)
    assert volume_ml(case.label, geometry_of(case)) == pytest.approx(case.truth["volume_ml"], rel=0.06)


def test_true_volume_counts_only_what_was_scanned() -> None:
    part = grown(3, 2, replace(MEDIUM, slices=4))
    assert part.truth["volume_ml"] < 0.7 * grown(3, 2, MEDIUM).truth["volume_ml"]
    assert volume_ml(part.label, geometry_of(part)) == pytest.approx(part.truth["volume_ml"], rel=0.06)


@pytest.mark.parametrize("index", range(5))
def test_blood_is_brighter_than_brain_and_darker_than_bone(index: int) -> None:
    case = grown(3, index, MEDIUM)
    assert 45 <= np.median(case.image[case.label > 0]) <= 82


def test_tissues_have_their_ct_numbers() -> None:
    image_hu = grown(3, 1, MEDIUM).image
    assert np.median(image_hu[(image_hu > 10) & (image_hu < 60)]) == pytest.approx(35, abs=6)
    assert image_hu.max() > 900
    assert np.median(image_hu[image_hu < -800]) <= -990
    assert image_hu.min() in (-1024, -2000, -3024) or image_hu.min() > -1024


@pytest.mark.parametrize(
    ("variant", "flag"), [("tilted", "sheared"), ("oblique", "oblique"), ("uneven", "uneven_slices")]
)
def test_variants_have_the_geometry_they_claim(variant: str, flag: str) -> None:
    grid = scan_grid(VARIANTS[variant])
    written = Geometry(grid.affine_ras, grid.shape, grid.slice_origins_ras_mm, grid.slice_thickness_mm)
    assert flag in written.flags


@pytest.mark.parametrize("variant", ["plain", "tilted", "oblique"])
def test_spacing_is_measured_along_the_slice_normal(variant: str) -> None:
    determinant = abs(np.linalg.det(scan_grid(VARIANTS[variant]).affine_ras))
    assert determinant == pytest.approx(np.prod(MEDIUM.spacing_mm))


def test_files_have_the_documented_layout(tmp_path: Path) -> None:
    write_phantoms("hematoma", tmp_path, 2, 7, replace(SMALL, uneven=True))
    names = ["phantom-0007-000", "phantom-0007-001"]
    files = [f"{folder}/{name}" for folder in ("images", "labels") for name in names]
    expected = {f"{file}{end}" for file in files for end in (".nii.gz", ".geometry.json")} | {
        "truth.csv",
        "phantom.json",
    }
    assert set(files_of(tmp_path)) == expected
    truth = pd.read_csv(tmp_path / "truth.csv")
    assert list(truth.columns) == ["study_id", "volume_ml"]
    assert list(truth["study_id"]) == names


@pytest.mark.parametrize("content", ["", "case,volume\na,1\n"])
def test_a_foreign_list_in_the_folder_is_one_clear_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text(content)
    with pytest.raises(InputError, match=r"truth\.csv: expected"):
        write_phantoms("hematoma", tmp_path, 1, 7, SMALL, workers=1)


def test_slices_farther_apart_than_any_that_are_read_are_refused() -> None:
    with pytest.raises(InputError, match="--slices: 4 would lie 40 mm apart; give 6 or more"):
        PhantomOptions().with_slices(4)
    assert PhantomOptions().with_slices(6).spacing_mm[2] < 30


def test_files_hold_the_case(tmp_path: Path) -> None:
    options = replace(SMALL, uneven=True)
    write_phantoms("hematoma", tmp_path, 1, 7, options)
    case, name = phantom_task("hematoma").make(7, 0, options), study_id(7, 0)
    image, label = (nib.load(tmp_path / folder / f"{name}.nii.gz") for folder in ("images", "labels"))
    assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
    assert np.array_equal(np.asanyarray(image.dataobj), case.image)
    assert np.array_equal(np.asanyarray(label.dataobj), case.label)
    written = Geometry.with_sidecar(image.affine, image.shape, tmp_path / "images" / f"{name}.geometry.json")
    assert written.slice_origins_ras_mm == pytest.approx(case.grid.slice_origins_ras_mm)
    assert written.affine_ras == pytest.approx(case.grid.affine_ras, abs=1e-3)
    assert pd.read_csv(tmp_path / "truth.csv")["volume_ml"][0] == pytest.approx(case.truth["volume_ml"], abs=1e-3)


def test_neither_number_of_studies_nor_processes_change_a_study(tmp_path: Path) -> None:
    write_phantoms("hematoma", tmp_path / "one", 1, 0, SMALL)
    write_phantoms("hematoma", tmp_path / "four", 4, 0, SMALL, workers=2)
    one, four = files_of(tmp_path / "one"), files_of(tmp_path / "four")
    assert len(four) == 10
    assert all(four[name] == content for name, content in one.items() if name != "truth.csv")


def test_a_second_run_writes_only_what_is_missing(tmp_path: Path) -> None:
    write_phantoms("hematoma", tmp_path, 2, 0, SMALL)
    before = files_of(tmp_path)
    kept, lost = (tmp_path / "labels" / f"{study_id(0, index)}.nii.gz" for index in (0, 1))
    lost.unlink()
    age = kept.stat().st_mtime_ns
    write_phantoms("hematoma", tmp_path, 2, 0, SMALL)
    assert files_of(tmp_path) == before
    assert kept.stat().st_mtime_ns == age


def test_studies_of_another_grid_are_written_anew(tmp_path: Path) -> None:
    write_phantoms("hematoma", tmp_path, 1, 0, SMALL)
    write_phantoms("hematoma", tmp_path, 1, 0, replace(SMALL, tilt_deg=10.0))
    image = nib.load(tmp_path / "images" / "phantom-0000-000.nii.gz")
    assert abs(image.affine[1, 2]) < 1e-3 < abs(image.affine[2, 1])


def test_even_slices_leave_no_positions_of_uneven_ones_behind(tmp_path: Path) -> None:
    tiny = replace(SMALL, size=24, slices=4)
    write_phantoms("hematoma", tmp_path / "fresh", 1, 0, tiny)
    for options in (replace(tiny, uneven=True), tiny):
        write_phantoms("hematoma", tmp_path / "again", 1, 0, options)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "fresh")
    (tmp_path / "again" / "labels" / "phantom-0000-000.geometry.json").write_text("{}")
    write_phantoms("hematoma", tmp_path / "again", 1, 0, tiny)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "fresh")


@pytest.mark.parametrize(("task", "even_kinds"), [("lung_infection", False), ("hematoma", True)])
def test_a_folder_holds_studies_of_one_task_and_its_kinds(task: str, even_kinds: bool, tmp_path: Path) -> None:
    write_phantoms("hematoma", tmp_path, 1, 0, SMALL, workers=1)
    before = files_of(tmp_path)
    with pytest.raises(InputError, match=r"another task, or other kinds, see phantom\.json; name another DIRECTORY"):
        write_phantoms(task, tmp_path, 1, 0, replace(SMALL, even_kinds=even_kinds), workers=1)
    assert files_of(tmp_path) == before


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lung"):
        write_phantoms("lung", tmp_path, 1, 0, SMALL)


def test_a_directory_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        write_phantoms("hematoma", tmp_path / "file" / "below", 1, 0, SMALL)
