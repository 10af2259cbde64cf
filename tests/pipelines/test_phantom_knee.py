"""Generated knees: cartilage lies on its bone, is as thick and as large as in people, and its volume is known."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from sliceweave.pipelines import phantom_knee_cartilage as cartilage
from sliceweave.pipelines.phantom_grid import ScanGrid, scan_grid
from sliceweave.pipelines.phantom_knee import KINDS, KNEE, KNEE_OPTIONS, draw_kinds, draw_traits, grow_knee
from sliceweave.pipelines.phantom_scan import scan, true_volume_ml
from sliceweave.pipelines.phantom_subject import Subject
from sliceweave.transforms.lattice import Field, ramp

SMALL = replace(KNEE_OPTIONS, size=(196, 182), slices=44, spacing_mm=(0.7, 0.75, 2.4))
FEMORAL, TIBIAL, FEMUR, TIBIA = 1, 2, 3, 4
BONES = {FEMORAL: FEMUR, TIBIAL: TIBIA}
ILL_SEED = 8


@cache
def knee(healthy: bool = True, turn: int = 0) -> Subject:
    return grow_knee(np.random.default_rng(ILL_SEED), healthy, turn)


@cache
def shares(healthy: bool = True) -> dict[int, Field]:
    """Shares of both cartilages and both bones in the voxels of a scan."""
    bones = {FEMUR: lambda samples: ramp(samples["femur"]), TIBIA: lambda samples: ramp(samples["tibia"])}
    subject = knee(healthy)
    return scan(replace(subject, labels={**subject.labels, **bones}), grid(), _as_is, np.random.default_rng(0))[1]


def _as_is(slice_values: Field, _grid: ScanGrid, _rng: np.random.Generator) -> Field:
    return slice_values


def grid() -> ScanGrid:
    return scan_grid(SMALL)


@cache
def truth_ml(label: int, healthy: bool = True) -> float:
    return true_volume_ml(knee(healthy), grid(), label)


def depth_mm(label: int, healthy: bool = True) -> Field:
    """Distances of a cartilage's voxels, beginning at its bone's surface, measured between voxels."""
    bone = shares(healthy)[BONES[label]] >= 0.5
    away_mm = ndimage.distance_transform_edt(~bone, sampling=SMALL.spacing_mm)
    return away_mm[shares(healthy)[label] >= 0.5]


def test_the_same_random_numbers_give_the_same_knee() -> None:
    again = grow_knee(np.random.default_rng(ILL_SEED), False, 0)
    assert all(np.array_equal(again.fields[name], field) for name, field in knee(healthy=False).fields.items())
    assert np.array_equal(again.turn, knee(healthy=False).turn)
    assert again.appearance == knee(healthy=False).appearance


def test_knees_differ_in_size_by_a_quarter() -> None:
    scales = [draw_traits(np.random.default_rng(seed), ())["scale"] for seed in range(40)]
    assert 1.2 < max(scales) / min(scales) <= 1.13 / 0.87


@pytest.mark.parametrize("healthy", [True, False])
def test_both_cartilages_are_there_and_share_no_voxel(healthy: bool) -> None:
    femoral, tibial = shares(healthy)[FEMORAL], shares(healthy)[TIBIAL]
    assert (femoral >= 0.5).any()
    assert (tibial >= 0.5).any()
    assert (femoral + tibial).max() <= 1 + 1e-6


@pytest.mark.parametrize("label", [FEMORAL, TIBIAL])
def test_cartilage_lies_on_its_bone(label: int) -> None:
    layer, bone = shares()[label] >= 0.5, shares()[BONES[label]] >= 0.5
    assert not (layer & bone).any()
    assert depth_mm(label).max() < 5.5
    pieces, count = ndimage.label(layer, np.ones((3, 3, 3)))
    touching = set(np.unique(pieces[ndimage.binary_dilation(bone, np.ones((3, 3, 3)))])) - {0}
    assert len(touching) == count


@pytest.mark.parametrize(("label", "least", "most"), [(FEMORAL, 1.4, 3.2), (TIBIAL, 1.5, 4.4)])
def test_healthy_cartilage_is_as_thick_as_in_people(label: int, least: float, most: float) -> None:
    samples = knee().fields
    name, bone = {FEMORAL: ("femoral_mm", "femur"), TIBIAL: ("tibial_mm", "tibia")}[label]
    on_bone = (np.abs(samples[bone]) < 0.7) & (samples[name] > 0.6)
    thin, median, thick = np.percentile(samples[name][on_bone], [15, 50, 98])
    assert least / 2 < thin
    assert least < median < most
    assert thick < 1.1 * most


@pytest.mark.parametrize("healthy", [True, False])
def test_volumes_are_those_of_people(healthy: bool) -> None:
    femoral_ml, tibial_ml = (truth_ml(label, healthy) for label in (FEMORAL, TIBIAL))
    assert 6 < femoral_ml < 22
    assert 1.5 < tibial_ml < 7
    assert 2.2 < femoral_ml / tibial_ml < 7


@pytest.mark.parametrize("label", [FEMORAL, TIBIAL])
def test_label_volume_agrees_with_the_truth(label: int) -> None:
    labelled_ml = (shares()[label] >= 0.5).sum() * np.prod(SMALL.spacing_mm) / 1000
    # The label is a sheet of two or three voxels: rims thinner than half of one are lost, and nothing replaces them.
    assert labelled_ml == pytest.approx(truth_ml(label), rel=0.05)


def test_shares_add_up_to_the_true_volume() -> None:
    summed_ml = shares()[FEMORAL].sum(dtype=np.float64) * np.prod(SMALL.spacing_mm) / 1000
    assert summed_ml == pytest.approx(truth_ml(FEMORAL), rel=0.02)


def test_femoral_and_tibial_cartilage_meet_on_both_plateaus() -> None:
    middle = knee().lattice.shape[0] // 2
    fields = knee().fields
    between = [-fields[bone] - fields[name] for bone, name in (("femur", "femoral_mm"), ("tibia", "tibial_mm"))]
    for side in (slice(None, middle - 4), slice(middle + 4, None)):
        apart_mm = sum(np.where(gap > -2, gap, np.inf)[side] for gap in between)
        assert -2 < apart_mm.min() < 1.5


def test_the_other_side_is_the_mirror_image() -> None:
    right, left = knee(turn=0), knee(turn=1)
    mirror = np.diag([-1.0, 1, 1])
    points_mm = np.random.default_rng(1).uniform(-45, 45, (500, 3))
    there, here = right.sampler()(points_mm), left.sampler()(points_mm @ mirror)
    assert all(here[name] == pytest.approx(there[name], abs=2e-3) for name in there)
    assert np.linalg.det(left.turn) == pytest.approx(1)
    assert there["femur"].std() > 1


def test_the_fibula_of_a_right_knee_is_on_the_right() -> None:
    for turn, side in ((0, 1), (1, -1)):
        subject = knee(turn=turn)
        below = np.argwhere(subject.fields["bone"][:, :, 20] > 0).mean(axis=0)[0]
        assert side * (below - (subject.lattice.shape[0] - 1) / 2) > 10


def test_fluid_is_brighter_than_cartilage_marrow_and_meniscus_in_this_order() -> None:
    fields = knee(healthy=False).fields
    tissues = {
        "fluid": np.minimum(fields["fluid"], -fields["tendon"]),
        "cartilage": np.minimum(-fields["femur"], fields["femoral_mm"] + fields["femur"]) - 0.3,
        "marrow": np.minimum(fields["femur"] - 4, -fields["lesion"] - 4),
        "meniscus": fields["meniscus"],
    }
    signal = knee(healthy=False).appearance(fields) / fields["coil"]
    medians = [float(np.median(signal[distance_mm > 0.5])) for distance_mm in tissues.values()]
    assert all(brighter > 1.3 * darker for brighter, darker in pairwise(medians))


def test_nothing_is_left_of_the_leg_outside_the_skin() -> None:
    signal = knee().appearance(knee().fields)
    assert not signal[knee().fields["skin"] < -1].any()


def test_healthy_knees_have_no_lesions_and_all_kinds_occur_in_others() -> None:
    assert knee().kinds == ()
    drawn = [draw_kinds(np.random.default_rng(seed)) for seed in range(40)]
    assert set().union(*drawn) == set(KINDS)
    assert () in drawn


def test_wear_thins_cartilage_where_it_is_and_bares_the_bone_where_it_is_deep() -> None:
    axes = KNEE.axes_mm()
    left, middle, right, j, k = 30, 50, 70, 60, 75
    y, z = axes[1].ravel()[j], axes[2].ravel()[k]
    craters = tuple((axes[0].ravel()[i], y, z, 4, lost) for i, lost in ((left, 0.5), (right, 1.5)))
    worn_mm = cartilage.worn(np.full(KNEE.shape, 2.0, np.float32), axes, craters)
    assert worn_mm[[left, middle, right], j, k] == pytest.approx([1.0, 2.0, -1.0], abs=1e-3)


def test_the_tibia_rises_until_the_cartilages_are_as_far_apart_as_asked() -> None:
    x, y, _ = KNEE.axes_mm()
    ground_mm = 0 * x + 0.05 * y
    ceiling_mm = ground_mm + 4 + (x + 20) ** 2 / 50 * (x < 0) + (x - 18) ** 2 / 50 * (x > 0)
    lift_mm = cartilage.tibia_lift_mm(ceiling_mm, ground_mm, x, y, (0.3, -0.2))
    left = ceiling_mm - ground_mm - lift_mm
    assert left[x[:, 0, 0] < -13].min() == pytest.approx(0.3, abs=0.02)
    assert left[x[:, 0, 0] > 13].min() == pytest.approx(-0.2, abs=0.02)


def test_the_lowest_point_of_a_ball_is_found_between_lattice_points() -> None:
    x, y, z = KNEE.axes_mm()
    low_mm = cartilage.lowest_mm(20 - np.sqrt(x**2 + y**2 + (z - 10.3) ** 2), z)
    assert low_mm.min() == pytest.approx(-9.7, abs=0.05)
    assert np.isinf(low_mm[0, 0, 0])
