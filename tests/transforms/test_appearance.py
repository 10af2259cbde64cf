"""Randomised appearance and hard negatives: blood's share goes with the image, and nothing that is none counts."""

import pickle

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from painted_heads import head_image, head_scan

from sliceweave.transforms import (
    RandomizeAppearance,
    RandomizeAppearanced,
    SynthesizeHardNegatives,
    SynthesizeHardNegativesd,
)
from sliceweave.transforms.appearance import APPEARANCES
from sliceweave.transforms.appearance_bone import BoneHU
from sliceweave.transforms.appearance_grey import Kernel, Miscalibration, Noise, Streaks, Windowed
from sliceweave.transforms.appearance_place import FieldOfView, Motion, Pose, SliceThickness
from sliceweave.transforms.craniotomy import Craniotomy
from sliceweave.transforms.cupping import Cupping
from sliceweave.transforms.hard_negatives import CALCIFIED, DENSE, HARD_NEGATIVES, Calcification, DenseDura
from sliceweave.transforms.head_scan import HeadScan
from sliceweave.transforms.hematoma_growth import Blood
from sliceweave.transforms.lattice_planes import LatticePlanes

AFFINE = np.array([[0.9, 0, 0, -30], [0, 1.1, 0, -40], [0, 0, 4, -50], [0, 0, 0, 1]])
CHALK = Blood(100, 0, 20, 1, 1, 1)


def small_scan(share_value: float = 1.0) -> HeadScan:
    """A box of blood in water: (12, 60, 70), its share known."""
    share = np.zeros((12, 60, 70), np.float32)
    share[4:8, 20:40, 30:50] = share_value
    return HeadScan((10 + 50 * share).astype(np.float32), share, AFFINE)


def middle_ras_mm(scan: HeadScan) -> np.ndarray:
    """Centre of blood in the world."""
    k, i, j = (float((scan.share * index).sum() / scan.share.sum()) for index in np.indices(scan.share.shape))
    return (scan.affine_ras @ [i, j, k, 1])[:3]


@pytest.mark.parametrize("name", APPEARANCES)
def test_blood_stays_with_its_image(name: str) -> None:
    """Where the image was made of the share alone it still is, but for what grey values are changed by."""
    change = APPEARANCES[name](np.random.RandomState(2))
    after = change.apply(small_scan())
    assert after.hu.shape == after.share.shape
    if name in ("pose", "motion", "slice_thickness", "field_of_view"):
        assert np.allclose(after.hu, 10 + 50 * after.share, atol=1e-3)
    else:
        assert np.array_equal(after.share, small_scan().share)


@pytest.mark.parametrize("thickness_mm", [1.0, 2.7, 7.0, 10.0])
def test_slices_of_another_thickness_hold_the_same_volume_in_the_same_place(thickness_mm: float) -> None:
    before, after = small_scan(), SliceThickness(thickness_mm).apply(small_scan())
    assert after.blood_ml == pytest.approx(before.blood_ml, rel=0.01)
    assert middle_ras_mm(after) == pytest.approx(middle_ras_mm(before), abs=0.05)
    assert len(after.hu) == round(48 / thickness_mm)
    assert len(after.hu) * after.spacing_mm[2] == pytest.approx(48)


def test_a_tilted_gantry_moves_nothing_in_the_world() -> None:
    before = small_scan()
    after = Pose(0, (0, 0), 20, False).apply(before)
    assert middle_ras_mm(after) == pytest.approx(middle_ras_mm(before), abs=0.05)
    assert after.blood_ml == pytest.approx(before.blood_ml, rel=1e-3)
    assert after.affine_ras[1, 2] == pytest.approx(-4 * np.tan(np.radians(20)))
    assert after.spacing_mm == pytest.approx(before.spacing_mm)


def test_a_mirrored_head_is_mirrored() -> None:
    after = Pose(0, (0, 0), 0, True).apply(small_scan())
    assert np.array_equal(after.share, small_scan().share[:, ::-1])


def test_a_part_of_the_field_of_view_keeps_its_place() -> None:
    after = FieldOfView((0.1, 0.2, 0.1), (0.2, 0.1, 0.2)).apply(small_scan())
    assert after.hu.shape == (12 - 1 - 2, 60 - 6 - 12, 70 - 14 - 7)
    assert middle_ras_mm(after) == pytest.approx(middle_ras_mm(small_scan()))


def test_motion_keeps_volume_and_moves_slices() -> None:
    after = Motion(1.5, 0.5, 0.3, 1.0, 3).apply(small_scan())
    assert after.blood_ml == pytest.approx(small_scan().blood_ml, rel=0.01)
    assert len({float(plane.argmax()) for plane in after.share[4:8]}) > 1


def test_eight_bit_windows_have_256_steps_and_stay_in_hu() -> None:
    hu = np.linspace(-1000, 2000, 3 * 40 * 50, dtype=np.float32).reshape(3, 40, 50)
    after = Windowed(-20, 100, True, None).apply(HeadScan(hu, np.zeros_like(hu), AFFINE)).hu
    assert (after.min(), after.max()) == (-20, 100)
    assert len(np.unique(after)) <= 256
    assert np.abs(after - hu.clip(-20, 100)).max() <= 60 / 255 + 1e-4


def test_jpeg_changes_little_and_only_within_the_window() -> None:
    smooth = small_scan()
    after = Windowed(0, 100, True, 80).apply(smooth).hu
    assert after.min() >= 0
    assert after.max() <= 100
    assert 0 < np.abs(after - smooth.hu).mean() < 2


def test_kernels_smooth_and_sharpen() -> None:
    step = small_scan()
    soft, sharp = (Kernel(1.0, amount).apply(step).hu for amount in (0.0, 1.0))
    slopes = [np.abs(np.diff(hu, axis=1)).max() for hu in (soft, step.hu)]
    assert slopes[0] < 0.7 * slopes[1]
    assert (sharp.min(), sharp.max()) == (step.hu.min(), step.hu.max())  # the scan's range is kept


@pytest.mark.parametrize("grain_mm", [0.0, 1.5])
def test_noise_has_the_deviation_that_was_drawn(grain_mm: float) -> None:
    hu = np.linspace(-99, 99, 5 * 90 * 80, dtype=np.float32).reshape(5, 90, 80)
    wide = HeadScan(hu, np.zeros_like(hu), AFFINE)
    rest = Noise(4, grain_mm, 1).apply(wide).hu - wide.hu
    assert rest[1:4].std() == pytest.approx(4, rel=0.05)


def test_streaks_are_where_they_were_drawn() -> None:
    hu = np.full((10, 60, 70), 30, np.float32)
    hu[0, 0, :2] = -1000, 1000
    after = Streaks(0.5, (0.5, 0.5), (0.0,), (20.0,), (2.0,), 3).apply(HeadScan(hu, np.zeros_like(hu), AFFINE)).hu
    changed = np.abs(after - hu) > 1
    assert sorted(set(np.argwhere(changed)[:, 0])) == [3, 4, 5]
    assert after[4, 30, 35] == pytest.approx(50, abs=0.5)


def ring_of_bone(bone_hu: float) -> HeadScan:
    """Brain of 35 HU in a tube of bone, its inner radius 20 pixels of 0.9 by 1.1 mm: (3, 60, 70)."""
    rows, columns = np.indices((60, 70))
    radius = np.hypot(rows - 30, columns - 35)
    plane = np.where((radius > 20) & (radius < 26), bone_hu, np.where(radius <= 20, 35, -20)).astype(np.float32)
    hu = np.stack([plane] * 3)
    return HeadScan(hu, np.zeros_like(hu), AFFINE)


def test_bone_of_a_clipped_scan_has_hu_again_and_nothing_else_changes() -> None:
    clipped = ring_of_bone(100)
    after = BoneHU(1500, 1.0, 4).apply(clipped).hu
    bone = clipped.hu == 100
    assert np.array_equal(after[~bone], clipped.hu[~bone])
    assert after[bone].min() > 400
    assert 1000 < after[bone].max() <= 1500
    assert np.array_equal(after[0], after[2])


def test_bone_that_has_its_hu_keeps_them() -> None:
    real = ring_of_bone(1200)
    assert BoneHU(700, 1.0, 4).apply(real) is real


def test_a_smooth_kernel_makes_unclipped_bone_bleed_further() -> None:
    clipped = ring_of_bone(100)
    bled, clean = (
        Kernel(1.0, 0).apply(scan).hu[1, 30, 35 + 18] for scan in (BoneHU(1500, 1, 4).apply(clipped), clipped)
    )
    assert clean < 40
    assert bled > clean + 5


def test_miscalibrated_hu_are_shifted_and_scaled() -> None:
    assert np.allclose(Miscalibration(3, 1.1).apply(small_scan()).hu, small_scan().hu * 1.1 + 3)


@pytest.mark.parametrize("place", CALCIFIED)
def test_calcifications_are_bright_small_and_no_blood(place: str) -> None:
    before = head_scan("thin")
    after = Calcification(CHALK, place, 3.0, 2, 1).apply(before)
    brighter = after.hu - before.hu > 20
    assert 0.01 < brighter.sum() * np.prod(before.spacing_mm) / 1000 < 3
    assert not after.share.any()


@pytest.mark.parametrize("place", DENSE)
def test_dense_dura_is_brighter_and_no_blood(place: str) -> None:
    before = head_scan("thin")
    after = DenseDura(Blood(25, 0.5, 20, 1, 1, 1), place, 4.0, 1).apply(before)
    brighter = after.hu - before.hu > 8
    assert 0.3 < brighter.sum() * np.prod(before.spacing_mm) / 1000 < 60
    assert not after.share.any()


@pytest.mark.parametrize("form", ["burr_hole", "flap", "craniectomy"])
def test_craniotomies_take_bone_away_and_no_blood_is_painted(form: str) -> None:
    before = head_scan("thin")
    radius_mm = 7.0 if form == "burr_hole" else 30.0
    after = Craniotomy(form, radius_mm, 0.0, 0.0, 4).apply(before)
    gone = (before.hu > 300) & (after.hu < 150)
    assert gone.sum() > 10
    assert (after.hu <= before.hu + 1e-3).all()
    assert not after.share.any()


def test_air_under_a_craniotomy_takes_the_place_of_blood() -> None:
    before = head_scan("thin")
    bloody = HeadScan(before.hu, np.ones_like(before.hu), before.affine_ras, before.head)
    after = [Craniotomy("burr_hole", 20.0, 0.0, 9.0, seed).apply(bloody) for seed in range(6)]
    assert max(int((scan.hu < -500).sum() - (before.hu < -500).sum()) for scan in after) > 20
    for scan in after:
        new_air = (scan.hu < -900) & (before.hu > 0)
        assert scan.share[new_air].max(initial=0) < 0.2


def test_cupping_rises_towards_the_skull_where_it_was_drawn_and_is_no_blood() -> None:
    before = head_scan("thin")
    after = Cupping(rise_hu=12, reach_mm=8, towards_rad=np.pi / 2, focus=2).apply(before)
    rise, head = after.hu - before.hu, before.head
    assert head is not None
    grid = LatticePlanes(head.lattice, before.hu.shape, before.spacing_mm)
    k = len(rise) // 2
    height = k * before.spacing_mm[2] / head.lattice.step_mm
    depth, front = grid.plane(head.depth_mm, height), grid.plane(head.front_mm, height)
    own = rise[k, grid.box[0], grid.box[1]]
    assert 8 < own[(depth > 1) & (depth < 3) & (front > 40)].max() <= 12.1
    assert own[(depth > 1) & (depth < 3) & (front > 40)].mean() > 3 * own[(depth > 15) & (front > 0)].mean()
    assert abs(own[(depth > 1) & (front < -50)]).max() < 1
    assert abs(own[depth < -4]).max() == 0
    assert not after.share.any()


def test_steep_cupping_has_faded_within_millimetres() -> None:
    before = head_scan("thin")
    after = Cupping(rise_hu=30, reach_mm=1.5, towards_rad=np.pi / 2, focus=0).apply(before)
    head = before.head
    assert head is not None
    grid = LatticePlanes(head.lattice, before.hu.shape, before.spacing_mm)
    k = len(before.hu) // 2
    depth = grid.plane(head.depth_mm, k * before.spacing_mm[2] / head.lattice.step_mm)
    rise = (after.hu - before.hu)[k, grid.box[0], grid.box[1]]
    for depth_mm in (1.0, 3.0, 6.0):
        ring = (np.abs(depth - depth_mm) < 0.2) & (before.hu[k, grid.box[0], grid.box[1]] < 60)
        assert np.median(rise[ring]) == pytest.approx(30 * np.exp(-depth_mm / 1.5), rel=0.15)


def test_patchy_cupping_differs_from_place_to_place() -> None:
    before = head_scan("thin")
    even, patchy = (
        Cupping(rise_hu=12, reach_mm=8, towards_rad=0, focus=0, patchiness=share, seed=3).apply(before).hu - before.hu
        for share in (0.0, 0.5)
    )
    assert patchy[even > 4].std() > 1.5 * even[even > 4].std()
    assert patchy.min() >= 0


@pytest.mark.parametrize("transform", [RandomizeAppearance, SynthesizeHardNegatives])
def test_transforms_replay_keep_metadata_and_leave_the_input(transform: type) -> None:
    image = head_image()
    before = image.clone()
    one, other = transform().set_random_state(11), transform().set_random_state(11)
    first, second = one(image), other(image)
    assert torch.equal(first[0], second[0])
    assert torch.equal(pickle.loads(pickle.dumps(one))(image, randomize=False)[0], first[0])
    assert isinstance(first[0], MetaTensor)
    assert first[0].meta["filename_or_obj"] == "head.nii.gz"
    assert torch.equal(image, before)


def test_dictionary_twins_change_image_and_label_together() -> None:
    case = {"image": head_image(), "label": (head_image() > 60).float()}
    turned = RandomizeAppearanced(kinds=["pose"]).set_random_state(3)(case)
    assert turned["label"].shape == turned["image"].shape
    assert not torch.equal(turned["label"].as_tensor(), case["label"].as_tensor())
    spotted = SynthesizeHardNegativesd(kinds={"calcification": 1.0}).set_random_state(3)(case)
    torch.testing.assert_close(spotted["label"].as_tensor(), case["label"].as_tensor())


def test_all_hard_negatives_have_a_chance() -> None:
    transform = SynthesizeHardNegatives().set_random_state(0)
    names = set()
    for _ in range(40):
        transform.randomize()
        names |= {change.kind for change in transform.drawn}
    assert names == set(HARD_NEGATIVES)


def test_an_unknown_appearance_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown kind 'fog': choose from bone"):
        RandomizeAppearance(["fog"])
