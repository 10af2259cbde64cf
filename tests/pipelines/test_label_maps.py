from pathlib import Path

import numpy as np
import pytest
from miniature_masks import SHAPE, blocks, oblique_affine, uneven_origins, write_map, write_sidecar

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.label_maps import read_label_map

FORMATS = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_labels_and_grid_are_the_same_in_every_format(suffix: str, dtype: type, tmp_path: Path) -> None:
    labels = blocks((1, 2, 7))
    found = read_label_map(write_map(tmp_path / f"x{suffix}", labels.astype(dtype), oblique_affine()))
    np.testing.assert_array_equal(found.labels, labels)
    assert found.labels.dtype == np.uint8
    assert found.values == [1, 2, 7]
    np.testing.assert_allclose(found.geometry.affine_ras, oblique_affine(), atol=1e-4)


def test_labels_above_255_keep_their_values(tmp_path: Path) -> None:
    labels = blocks((3, 2035))
    found = read_label_map(write_map(tmp_path / "x.nrrd", labels, oblique_affine()))
    np.testing.assert_array_equal(found.labels, labels)
    assert found.values == [3, 2035]


def test_an_empty_mask_has_no_values(tmp_path: Path) -> None:
    found = read_label_map(write_map(tmp_path / "x.nii.gz", np.zeros(SHAPE, np.uint8), oblique_affine()))
    assert found.values == []


@pytest.mark.parametrize(
    ("voxels", "words"),
    [
        (np.full(SHAPE, 0.5, np.float32), "expected whole numbers, got fractions"),
        (np.full(SHAPE, -1000, np.int16), "got -1000 to -1000; is it an image"),
        (np.full(SHAPE, np.nan, np.float32), "NaN or infinite"),
        (np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE), "4806 different values; is it an image"),
    ],
)
@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_what_is_no_label_map_is_refused_with_the_file_named(
    voxels: np.ndarray, words: str, suffix: str, tmp_path: Path
) -> None:
    path = write_map(tmp_path / f"x{suffix}", voxels, oblique_affine())
    with pytest.raises(InputError, match=rf"x{suffix}.*{words}"):
        read_label_map(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.nrrd: expected a mask"):
        read_label_map(tmp_path / "x.nrrd")


@pytest.mark.parametrize("place", ["labels", "images"])
def test_slice_positions_are_found_beside_the_mask_or_its_image(place: str, tmp_path: Path) -> None:
    origins, fitted = uneven_origins(oblique_affine(), SHAPE[2])
    path = write_map(tmp_path / "labels" / "x_mask.nii.gz", blocks((1,)), fitted)
    write_sidecar(tmp_path / place, "x", origins)
    found = read_label_map(path, "x")
    np.testing.assert_allclose(found.geometry.slice_origins_ras_mm, origins)


def test_a_map_takes_the_slice_positions_of_its_image_unless_they_differ(tmp_path: Path) -> None:
    origins, fitted = uneven_origins(oblique_affine(), SHAPE[2])
    found = read_label_map(write_map(tmp_path / "x.nii.gz", blocks((1,)), fitted))
    image = Geometry(fitted, SHAPE, origins)
    np.testing.assert_allclose(found.on(image).geometry.slice_origins_ras_mm, origins)
    other = Geometry(fitted, SHAPE, np.vstack([origins[:5], origins[5:6] + 0.02 * fitted[:3, 2], origins[6:]]))
    with pytest.raises(InputError, match="of mask and image differ"):
        found.on(image).on(other)


def test_a_map_on_another_grid_than_its_image_is_refused(tmp_path: Path) -> None:
    found = read_label_map(write_map(tmp_path / "x.nii.gz", blocks((1,)), oblique_affine()))
    with pytest.raises(InputError, match="one grid"):
        found.on(Geometry(oblique_affine((0.7, 0.9, 3.0)), SHAPE))


def test_seen_along_a_patient_axis_no_voxel_moves(tmp_path: Path) -> None:
    labels = blocks((1, 2))
    found = read_label_map(write_map(tmp_path / "x.nii.gz", labels, oblique_affine()))
    view = found.seen_along(0)
    assert view.geometry.shape != found.geometry.shape
    for value in (1, 2):
        before = found.geometry.to_ras_mm(np.argwhere(found.labels == value))
        after = view.geometry.to_ras_mm(np.argwhere(view.labels == value))
        np.testing.assert_allclose(sorted(map(tuple, before.round(6))), sorted(map(tuple, after.round(6))))
