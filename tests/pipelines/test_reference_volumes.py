from pathlib import Path

import numpy as np
import pytest
from miniature_masks import SHAPE, blocks, counted_ml, oblique_affine, uneven_origins, write_map, write_sidecar

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.label_maps import LabelMap, read_label_map
from sliceweave.pipelines.reference_volumes import read_references


@pytest.fixture
def label_map(tmp_path: Path) -> LabelMap:
    return read_label_map(write_map(tmp_path / "a.nii.gz", blocks((1, 2)), oblique_affine()))


def table(folder: Path, text: str) -> Path:
    path = folder / "reference.csv"
    path.write_text(text)
    return path


def test_readers_are_averaged(label_map: LabelMap, tmp_path: Path) -> None:
    text = "study_id,volume_ml,reader\na,10,x\na,11,y\na,15,z\nb,7,x\n"
    references = read_references(table(tmp_path, text))
    assert references.of("a", label_map, {1: "hematoma"}) == {1: 12.0}
    assert references.of("b", label_map, {1: "hematoma"}) == {1: 7.0}
    assert references.of("c", label_map, {1: "hematoma"}) == {}


def test_labels_of_a_table_are_those_of_the_masks(label_map: LabelMap, tmp_path: Path) -> None:
    text = "Study_ID, label, volume_ml\na,femoral,10\na,tibial,4\n"
    found = read_references(table(tmp_path, text)).of("a", label_map, {1: "femoral", 2: "tibial", 3: "patellar"})
    assert found == {1: 10.0, 2: 4.0}


def test_a_volume_without_label_is_of_no_use_among_several(
    label_map: LabelMap, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    references = read_references(table(tmp_path, "study_id,volume_ml\na,10\n"))
    assert references.of("a", label_map, {1: "femoral", 2: "tibial"}) == {}
    assert "a: no use for the reference volume of label ''; expected femoral, tibial" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study_id,volume_ml\na,\n", "line 2: expected volume_ml from 0 on, got ''"),
        ("study_id,volume_ml\na,-1\n", "line 2: expected volume_ml"),
        ("study_id,volume_ml\na,nan\n", "line 2: expected volume_ml"),
        ("study_id,volume_ml\na,5\n,6\n", "line 3 has an empty study_id"),
        ("study_id,volume_ml\na,5\na,6\n", "line 3 is a second volume of a by no reader"),
        ("study_id,volume_ml,reader\na,5,x\na,6,x\n", "line 3 is a second volume of a by reader 'x'"),
        ("study_id,volume_ml\na,12,5\n", "line 2 has more fields"),
        ("study_id,ml\na,3\n", "study_id, ml; expected study_id,volume_ml"),
    ],
)
def test_a_table_that_cannot_be_trusted_is_refused(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        read_references(table(tmp_path, text))


def test_reference_masks_are_measured_on_their_own_grid(label_map: LabelMap, tmp_path: Path) -> None:
    other = oblique_affine((0.5, 0.6, 1.5))
    reference = blocks((1, 2), (31, 33, 15), seed=3)
    write_map(tmp_path / "truth" / "a_seg.nrrd", reference, other)
    found = read_references(tmp_path / "truth").of("a", label_map, {1: "femoral", 2: "tibial"})
    assert found == pytest.approx(counted_ml(reference, other))


def test_a_reference_on_the_studys_grid_has_its_slice_positions(tmp_path: Path) -> None:
    origins, fitted = uneven_origins(oblique_affine(), SHAPE[2])
    mask = write_map(tmp_path / "masks" / "a.nii.gz", blocks((1,)), fitted)
    write_sidecar(mask.parent, "a", origins)
    write_map(tmp_path / "truth" / "a.nii.gz", blocks((1,)), fitted)
    label_map = read_label_map(mask, "a")
    found = read_references(tmp_path / "truth").of("a", label_map, {1: "hematoma"})
    counts = (label_map.labels == 1).sum(axis=(0, 1))
    expected = counts @ label_map.geometry.slice_thicknesses_mm * label_map.geometry.pixel_area_mm2 / 1000
    assert found[1] == pytest.approx(expected)
    assert found[1] != pytest.approx(counted_ml(label_map.labels, fitted)[1])


def test_a_reference_mask_of_one_structure_may_have_any_value(label_map: LabelMap, tmp_path: Path) -> None:
    reference = blocks((255,))
    write_map(tmp_path / "truth" / "a.nii.gz", reference, oblique_affine())
    found = read_references(tmp_path / "truth").of("a", label_map, {1: "hematoma"})
    assert found[1] == pytest.approx(counted_ml(reference, oblique_affine())[255])


def test_a_damaged_reference_costs_the_reference_only(
    label_map: LabelMap, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_map(tmp_path / "truth" / "a.nii.gz", np.ones(SHAPE, np.uint8), oblique_affine())
    path.write_bytes(path.read_bytes()[:-20])
    assert read_references(tmp_path / "truth").of("a", label_map, {1: "hematoma"}) == {}
    assert "a: no reference volume: a.nii.gz" in caplog.text
