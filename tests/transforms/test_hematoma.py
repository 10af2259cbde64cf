"""Painted haemorrhage: what each kind must be, in heads of unequal sizes and spacings."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from painted_heads import GRIDS, clipped, head_image, head_scan

from sliceweave.transforms import SynthesizeHematoma, SynthesizeHematomad
from sliceweave.transforms.head_scan import HeadScan, open_scan
from sliceweave.transforms.hematoma import KINDS, draw_bleedings
from sliceweave.transforms.hematoma_epidural import Epidural
from sliceweave.transforms.hematoma_growth import Bleeding, Blood
from sliceweave.transforms.hematoma_intraparenchymal import Intraparenchymal
from sliceweave.transforms.hematoma_subarachnoid import Subarachnoid
from sliceweave.transforms.hematoma_subdural import Subdural
from sliceweave.transforms.hematoma_tissue import bleed
from sliceweave.transforms.hematoma_ventricular import Ventricular

BLOOD = Blood(contrast_hu=30, swirl_hu=0.5, swirl_mm=20, edge_mm=1, dilution=1, seed=5)
ROUND = Intraparenchymal(BLOOD, "basal_ganglia", "round", 12, (0, 0, 0), 0.02, 0, 0, None, 0.8, 3)
BLEEDINGS: dict[str, Bleeding] = {
    "round": ROUND,
    "irregular": replace(ROUND, form="irregular", ruggedness=0.25),
    "multifocal": replace(ROUND, form="multifocal", site="lobar"),
    "small": replace(ROUND, volume_ml=0.6, site="thalamus"),
    "cast": Ventricular(BLOOD, "cast", 0.8, 0, 2, 4),
    "layered": Ventricular(BLOOD, "layered", 0.2, 0, 0, 4),
    "partial": Ventricular(BLOOD, "partial", 0.3, 0, 2, 4),
    "sulci": Subarachnoid(BLOOD, "convexity", 35, 2.0, False, 2),
    "cisterns": Subarachnoid(BLOOD, "cisterns", 40, 2.0, True, 2),
    "crescent": Subdural(BLOOD, "convexity", "acute", 9, 50, 50, 7),
    "falx": Subdural(BLOOD, "falx", "acute", 5, 40, 50, 7),
    "tentorium": Subdural(BLOOD, "tentorium", "acute", 5, 40, 50, 7),
    "lens": Epidural(BLOOD, 16, 32, 1, 50, 6),
}
ALL_OF_A_SLICE = ("round", "irregular", "multifocal", "crescent", "lens")


def depth_of(scan: HeadScan, where: np.ndarray) -> np.ndarray:
    """Depth (mm) below the inner table at voxels (k, i, j) of a scan, by the nearest lattice point."""
    head = scan.head
    assert head is not None
    places_mm = np.argwhere(where)[:, [1, 2, 0]] * scan.spacing_mm
    nearest = np.rint((places_mm - head.lattice.low_mm) / head.lattice.step_mm).astype(int)
    return head.depth_mm[tuple(np.clip(nearest, 0, np.array(head.lattice.shape) - 1).T)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", BLEEDINGS)
def test_blood_is_there_and_inside_the_skull(name: str, grid: str) -> None:
    scan = head_scan(grid)
    painted = bleed(scan, [BLEEDINGS[name]])
    assert painted.blood_ml > 0.05
    assert painted.share.min() >= 0
    assert painted.share.max() <= 1
    assert depth_of(scan, painted.share > 0.5).min() > -3.5
    assert np.array_equal(painted.hu[scan.hu > 950], scan.hu[scan.hu > 950])


@pytest.mark.parametrize("name", ALL_OF_A_SLICE)
def test_the_core_has_the_contrast_that_was_drawn(name: str) -> None:
    painted = bleed(head_scan(), [BLEEDINGS[name]])
    assert painted.head is not None
    core_hu = painted.hu[painted.share > 0.99]
    assert np.median(core_hu) == pytest.approx(painted.head.brain_hu + 30, abs=2)


@pytest.mark.parametrize("kind", KINDS)
def test_undiluted_acute_blood_has_45_to_85_hu(kind: str) -> None:
    for seed in range(40):
        blood = KINDS[kind](np.random.RandomState(seed)).blood
        assert 8 <= blood.contrast_hu <= 52
        assert blood.contrast_hu <= 22 or 45 <= 33 + blood.contrast_hu <= 85


def test_contrasts_vary_from_faint_to_dense() -> None:
    contrasts = [KINDS["ventricular"](np.random.RandomState(seed)).blood.contrast_hu for seed in range(80)]
    assert min(contrasts) < 15
    assert max(contrasts) > 40


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("volume_ml", [1.5, 10, 40])
def test_a_hematoma_has_the_volume_that_was_drawn_on_any_grid(grid: str, volume_ml: float) -> None:
    painted = bleed(head_scan(grid), [replace(ROUND, volume_ml=volume_ml)])
    assert painted.blood_ml == pytest.approx(volume_ml, rel=0.12, abs=0.15)


def test_the_share_summed_is_the_volume() -> None:
    painted = bleed(head_scan(), [ROUND])
    voxel_ml = abs(np.linalg.det(painted.affine_ras[:3, :3])) / 1000
    assert painted.blood_ml == pytest.approx(painted.share.astype(float).sum() * voxel_ml)
    assert (painted.share >= 0.5).sum() * voxel_ml == pytest.approx(painted.blood_ml, rel=0.05)


def test_what_was_mixed_in_is_the_share() -> None:
    """Without mottle, noise or mass effect each voxel is tissue and blood by their shares."""
    scan = head_scan()
    plain = HeadScan(np.where(scan.hu < 60, 33, scan.hu).astype(np.float32), scan.share, scan.affine_ras, scan.head)
    painted = bleed(plain, [replace(ROUND, push=0.0, blood=replace(BLOOD, swirl_hu=0.0))])
    assert painted.head is not None
    within = painted.share > 0.01
    expected = 33 + painted.share * (painted.head.brain_hu + 30 - 33)
    assert np.abs(painted.hu - expected)[within].max() < 3.5  # noise of at least 0.3 HU is always there


def test_ventricular_blood_replaces_csf_and_nothing_else() -> None:
    scan = head_scan()
    painted = bleed(scan, [BLEEDINGS["cast"]])
    assert scan.head is not None
    assert np.median(scan.hu[painted.share > 0.8]) < scan.head.brain_hu - 12
    assert np.median(painted.hu[painted.share > 0.8]) > scan.head.brain_hu + 15


def test_a_layer_lies_at_the_back_of_the_ventricles() -> None:
    layer, cast = (bleed(head_scan(), [BLEEDINGS[name]]).share for name in ("layered", "cast"))
    columns = np.arange(layer.shape[2])
    fronts = [float((share * columns).sum() / share.sum()) for share in (layer, cast)]
    assert fronts[0] < fronts[1] - 8


def test_diluted_blood_is_darker_and_just_as_large() -> None:
    thick = Ventricular(BLOOD, "cast", 0.8, 0, 2, 4)
    thin = replace(thick, blood=replace(BLOOD, dilution=0.5))
    whole, diluted = (bleed(head_scan(), [bleeding]) for bleeding in (thick, thin))
    assert np.array_equal(whole.share, diluted.share)
    assert np.median(diluted.hu[diluted.share > 0.8]) < np.median(whole.hu[whole.share > 0.8]) - 15


@pytest.mark.parametrize("height_mm", [2.5, 3.5])
def test_thin_rims_stay_thin(height_mm: float) -> None:
    painted = bleed(head_scan("uneven_pixels"), [replace(BLEEDINGS["crescent"], height_mm=height_mm)])
    assert painted.blood_ml > 1
    depths = depth_of(painted, painted.share > 0.6)
    assert np.quantile(depths, 0.99) < height_mm + 2  # the lattice is 2 mm
    assert np.quantile(depths, 0.99) > 0


def test_a_fluid_level_is_denser_at_the_back() -> None:
    painted = bleed(head_scan(), [replace(ROUND, volume_ml=35, fluid_level=0.5)])
    core = np.argwhere(painted.share > 0.99)
    front = core[:, 2] > np.median(core[:, 2])
    core_hu = painted.hu[tuple(core.T)]
    assert np.median(core_hu[~front]) > np.median(core_hu[front]) + 8


def test_oedema_is_a_darker_rim_without_blood() -> None:
    dry, wet = (bleed(head_scan(), [replace(ROUND, oedema_mm=mm, oedema_hu=10)]) for mm in (0, 8))
    assert np.array_equal(dry.share, wet.share)
    rim = (dry.hu - wet.hu) > 5
    assert rim.sum() > 100
    assert wet.share[rim].max() < 0.9


def test_mixed_subdural_blood_has_two_densities() -> None:
    one, two = (
        bleed(head_scan(), [replace(BLEEDINGS["crescent"], age=age, blood=replace(BLOOD, swirl_hu=0.1))])
        for age in ("acute", "mixed")
    )
    assert np.array_equal(one.share, two.share)
    assert np.std(two.hu[two.share > 0.99]) > np.std(one.hu[one.share > 0.99]) + 2


def test_mass_effect_moves_tissue_away_from_blood() -> None:
    scan = head_scan()
    assert scan.head is not None
    growth = ROUND.grow(scan.head)
    assert growth is not None
    assert growth.shift_mm is not None
    blood = growth.extent_mm > 0
    x, y, _ = np.broadcast_arrays(*scan.head.lattice.axes_mm())
    near = (growth.extent_mm > -8) & ~blood
    outward = [axis[near] - axis[blood].mean() for axis in (x, y)]
    along = outward[0] * growth.shift_mm[0][near] + outward[1] * growth.shift_mm[1][near]
    assert (along > 0).mean() > 0.9
    assert np.hypot(*growth.shift_mm).max() > 1.5


@pytest.mark.parametrize("name", ["round", "irregular", "crescent", "lens"])
def test_displacement_folds_nothing_and_leaves_the_skull(name: str) -> None:
    head = head_scan().head
    assert head is not None
    growth = BLEEDINGS[name].grow(head)
    assert growth is not None
    assert growth.shift_mm is not None
    right, front = growth.shift_mm
    assert np.hypot(right, front)[head.depth_mm <= 0].max() < 0.5
    brain = (head.depth_mm > 2) & (growth.extent_mm < 0)
    stretch = 1 - np.gradient(right, 2.0, axis=0), 1 - np.gradient(front, 2.0, axis=1)
    across = np.gradient(right, 2.0, axis=1) * np.gradient(front, 2.0, axis=0)
    assert np.quantile((stretch[0] * stretch[1] - across)[brain], 0.001) > 0


def test_displaced_tissue_is_not_lost() -> None:
    """A bright mark beside the blood is moved away, and keeps its mass."""
    scan = head_scan("uneven_pixels")
    head = scan.head
    assert head is not None
    growth = replace(ROUND, volume_ml=25).grow(head)
    assert growth is not None
    middle = np.argwhere(growth.extent_mm > 0).mean(0)
    centre = (np.array(head.lattice.low_mm) + head.lattice.step_mm * middle) / scan.spacing_mm
    k, i, j = np.rint(centre[[2, 0, 1]]).astype(int)
    flat = np.where(scan.hu < 60, np.float32(33), scan.hu)
    rows, columns = np.indices(flat.shape[1:])
    towards_middle = int(np.sign(flat.shape[1] / 2 - i))
    distance_mm = np.hypot((rows - i - towards_middle * 26) * scan.spacing_mm[0], (columns - j) * scan.spacing_mm[1])
    mark = 20 * np.exp(-0.5 * (distance_mm / 3) ** 2)
    marked = flat.copy()
    marked[k] += mark.astype(np.float32)
    before, after = (
        bleed(HeadScan(hu, scan.share, scan.affine_ras, head), [replace(ROUND, volume_ml=25)]).hu[k]
        for hu in (flat, marked)
    )
    moved = after - before
    assert moved.sum() == pytest.approx(mark.sum(), rel=0.2)
    shift = towards_middle * ((moved * rows).sum() / moved.sum() - (mark * rows).sum() / mark.sum())
    assert shift * scan.spacing_mm[0] > 0.7


def test_a_seed_gives_the_same_again_and_another_seed_another() -> None:
    results = [SynthesizeHematoma().set_random_state(seed)(head_image())[0] for seed in (4, 4, 5)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_what_was_drawn_can_be_done_again() -> None:
    paint = SynthesizeHematoma().set_random_state(3)
    image, share = paint(head_image())
    again, share_again = paint(head_image(), randomize=False)
    assert torch.equal(image, again)
    assert torch.equal(share, share_again)
    scan = bleed(open_scan(head_image())[0], pickle.loads(pickle.dumps(paint.drawn)))
    assert scan.blood_ml == pytest.approx(float(share.sum()) * np.prod(GRIDS["thick"].spacing_mm) / 1000, rel=1e-4)


def test_metadata_stay_and_the_input_does_not_change() -> None:
    image = head_image()
    before = image.clone()
    painted, share = SynthesizeHematoma().set_random_state(3)(image)
    for result in (painted, share):
        assert isinstance(result, MetaTensor)
        assert result.shape == image.shape
        assert result.dtype == torch.float32
        assert result.meta["filename_or_obj"] == "head.nii.gz"
        torch.testing.assert_close(result.affine, image.affine)
    assert torch.equal(image, before)
    assert (share > 0.5).any()


def test_the_dictionary_twin_does_what_the_array_transform_does() -> None:
    case = Compose([SynthesizeHematomad()]).set_random_state(6)({"image": head_image(), "other": 1})
    painter = SynthesizeHematoma()
    twin = SynthesizeHematomad().set_random_state(6)
    again = twin({"image": head_image()})
    image, share = painter(head_image(), randomize=False)
    assert torch.equal(image, head_image())
    assert not share.any()
    assert case["other"] == 1
    assert case["label"].any()
    painter.drawn = twin.transform.drawn
    assert torch.equal(painter(head_image(), randomize=False)[0], again["image"])


def test_a_label_there_before_stays() -> None:
    label = torch.zeros(head_image().shape)
    label[:, 70:80, 80:90, 18] = 1
    case = SynthesizeHematomad(kinds=["epidural"]).set_random_state(1)({"image": head_image(), "label": label})
    assert case["label"].sum() > label.sum()
    assert case["label"].max() <= 1


def test_nothing_is_painted_with_probability_zero() -> None:
    case = SynthesizeHematomad(prob=0.0)({"image": head_image()})
    assert torch.equal(case["image"], head_image())
    assert not case["label"].any()


@pytest.mark.parametrize("name", ["round", "layered", "crescent", "lens", "cisterns"])
def test_a_clipped_scan_is_painted_alike_and_stays_clipped(name: str) -> None:
    scan = open_scan(clipped(head_image()))[0]
    painted, real = bleed(scan, [BLEEDINGS[name]]), bleed(head_scan(), [BLEEDINGS[name]])
    assert painted.hu.min() >= -20
    assert painted.hu.max() <= 100
    assert painted.blood_ml == pytest.approx(real.blood_ml, rel=0.35)


def test_a_single_slice_can_be_painted() -> None:
    image = head_image()[..., 15:16]
    results = [SynthesizeHematoma(["intraparenchymal", "subdural"]).set_random_state(s)(image)[1] for s in range(6)]
    assert sum(bool((share > 0.5).any()) for share in results) >= 3


def test_what_is_no_head_stays_as_it_is() -> None:
    image = torch.rand(1, 40, 50, 6) * 40
    painted, share = SynthesizeHematoma()(image)
    assert torch.equal(painted, image)
    assert not share.any()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_axes_in_any_order_are_painted_alike(order: tuple[int, int, int]) -> None:
    image = head_image()
    turned = image.as_tensor().permute(0, *(axis + 1 for axis in order)).flip(1)
    columns = image.affine[:, [*order, 3]].clone()
    columns[:3, 3] += columns[:3, 0] * (turned.shape[1] - 1)
    columns[:3, 0] *= -1
    expected = SynthesizeHematoma().set_random_state(2)(image)[1]
    share = SynthesizeHematoma().set_random_state(2)(MetaTensor(turned, affine=columns))[1]
    torch.testing.assert_close(
        share.as_tensor().flip(1).permute(0, *(int(a) + 1 for a in np.argsort(order))), expected.as_tensor()
    )


def test_kinds_are_drawn_as_often_as_asked() -> None:
    rng = np.random.RandomState(0)
    drawn = [draw_bleedings(rng, {"subdural": 3.0, "epidural": 1.0})[0].kind for _ in range(200)]
    assert drawn.count("subdural") == pytest.approx(150, abs=25)
    assert drawn.count("subdural") + drawn.count("epidural") == 200


@pytest.mark.parametrize("kinds", [["spinal"], {"subdural": -1.0}, {"subdural": 0.0}, []])
def test_kinds_that_are_none_are_an_error(kinds: object) -> None:
    with pytest.raises(ValueError, match=r"unknown kind 'spinal'|odds of 0 and above"):
        SynthesizeHematoma(kinds)  # type: ignore[arg-type]


def test_a_volume_without_three_axes_is_an_error() -> None:
    with pytest.raises(ValueError, match="three axes"):
        SynthesizeHematoma()(torch.zeros(1, 20, 20))
