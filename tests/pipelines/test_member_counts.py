import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.member_counts import MemberCounts, label_counts
from sliceweave.pipelines.volumetry import volume_ml

SHAPE = (7, 9, 6)
TILTED = np.array([[0.5, 0, 0, 3], [0, 0.6, 1.2, -4], [0, 0.1, 5, 9], [0, 0, 0, 1]])
POSITIONS_MM = np.array([0.0, 3, 6, 9, 17, 25])


def uneven() -> Geometry:
    affine_ras = np.diag([0.5, 0.6, 5.0, 1])
    affine_ras[2, 2:] = np.polyfit(np.arange(6), POSITIONS_MM, 1)
    return Geometry(affine_ras, SHAPE, np.outer(POSITIONS_MM, [0, 0, 1]))


def masks() -> np.ndarray:
    """Of three members, 0 to 2 for two labels."""
    return np.random.default_rng(0).integers(0, 3, (3, *SHAPE), dtype=np.uint8)


def counts_seen_as(axcodes: str, geometry: Geometry) -> MemberCounts:
    """Counts of the masks on the scan's grid after its axes were turned as a bundle turns them."""
    turned = []
    for mask in masks():
        image = nib.Nifti1Image(mask, geometry.affine_ras)
        turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(axcodes)))
        turned.append(image.as_reoriented(turn))
    voxels = [[(np.asarray(t.dataobj) == v).sum((0, 1)) for v in (1, 2)] for t in turned]
    return MemberCounts(np.array(voxels), turned[0].affine)


@pytest.mark.parametrize("axcodes", ["RAS", "ASR", "LPI", "RPI"])
def test_members_hold_what_volumetry_says_of_their_masks_on_a_tilted_scan(axcodes: str) -> None:
    geometry = Geometry(TILTED, SHAPE)
    expected = [[volume_ml(mask == value, geometry) for value in (1, 2)] for mask in masks()]
    found = counts_seen_as(axcodes, geometry).volumes_ml(geometry)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("axcodes", ["RAS", "LPI", "RPI"])
def test_uneven_slices_count_as_thick_as_they_are_also_upside_down(axcodes: str) -> None:
    geometry = uneven()
    expected = [[volume_ml(mask == value, geometry) for value in (1, 2)] for mask in masks()]
    np.testing.assert_allclose(counts_seen_as(axcodes, geometry).volumes_ml(geometry), expected, rtol=1e-12)


def test_uneven_slices_that_the_network_cuts_across_count_with_their_mean_thickness() -> None:
    geometry = uneven()
    pixels = np.array([[(mask == value).sum() for value in (1, 2)] for mask in masks()])
    expected = pixels * 0.5 * 0.6 * geometry.slice_thicknesses_mm.mean() / 1000
    np.testing.assert_allclose(counts_seen_as("ASR", geometry).volumes_ml(geometry), expected, rtol=1e-12)


def test_the_spread_is_the_standard_deviation_of_the_members_volumes() -> None:
    geometry = Geometry(np.diag([1.0, 1, 5, 1]), (10, 10, 2))
    counts = MemberCounts(np.array([[[100, 0], [0, 0]], [[60, 60], [0, 0]], [[0, 80], [0, 0]]]), geometry.affine_ras)
    volumes = np.array([0.5, 0.6, 0.4])
    np.testing.assert_allclose(counts.volumes_ml(geometry)[:, 0], volumes)
    np.testing.assert_allclose(counts.spreads_ml(geometry), [np.sqrt(np.mean((volumes - 0.5) ** 2)), 0])


def test_one_channel_counts_from_the_threshold_on() -> None:
    probabilities = torch.zeros(1, 4, 5, 3)
    probabilities[0, :2, :3, 1] = 0.5
    probabilities[0, 0, 0, 2] = 0.49
    assert label_counts(probabilities, 0.5).tolist() == [[0, 6, 0]]


def test_of_several_channels_the_likeliest_wins_as_argmax_says() -> None:
    probabilities = torch.rand(4, 5, 6, 3, generator=torch.Generator().manual_seed(0)).softmax(0)
    winners = probabilities.numpy().argmax(0)
    expected = [[int((winners[..., k] == value).sum()) for k in range(3)] for value in (1, 2, 3)]
    assert label_counts(probabilities, None).tolist() == expected
