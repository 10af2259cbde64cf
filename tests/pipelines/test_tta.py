import weakref

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SlidingWindowInferer
from monai.transforms import Compose, Orientationd, Resized

from sliceweave.pipelines.bundles import task_settings, tasks
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.inferers import SlabInferer
from sliceweave.pipelines.tta import Member, TtaInferer, members
from sliceweave.transforms import CropToRegiond, KeepSureLesionsd

SHAPE = (20, 24, 5)
AFFINE = np.diag([0.5, 0.6, 5.0, 1.0])
GEOMETRY = Geometry(AFFINE, SHAPE)
STEPS = [(4, 0), (-4, 0), (0, 4), (0, -4)]


def image(channels: int = 1) -> MetaTensor:
    voxels = torch.rand(1, channels, *SHAPE, generator=torch.Generator().manual_seed(0))
    return MetaTensor(voxels, affine=torch.from_numpy(AFFINE))


def ramp(shape: tuple[int, ...]) -> np.ndarray:
    return np.add.outer(np.linspace(-2, 1, shape[0]), np.linspace(-1, 2, shape[1]) ** 2).astype(np.float32)


def placed(slices: torch.Tensor) -> torch.Tensor:
    """A network that looks at where a pixel is: what it says is neither mirrored nor shifted with the image."""
    return 3 * slices[:, :1] - 1 + torch.from_numpy(ramp(slices.shape[2:]))


def three_classes(slices: torch.Tensor) -> torch.Tensor:
    logits = placed(slices)
    return torch.cat([logits, 2 * slices[:, :1], -logits], 1)


def as_members(voxels: np.ndarray, logits_of: object) -> list[np.ndarray]:
    """Logits of every member of a left-right augmentation, put back in place, in numpy alone; voxels (I, J, K)."""
    plain = [logits_of(voxels), logits_of(voxels[::-1])[..., ::-1, :, :]]
    return plain + [np.roll(logits_of(np.roll(voxels, at, (0, 1))), (-at[0], -at[1]), (-3, -2)) for at in STEPS]


def test_members_are_the_volume_its_mirrors_and_its_shifts() -> None:
    assert members(False, [0], 4) == (Member(),)
    assert members("True", [0, 2], 3) == (
        Member(),
        Member(flips=(0,)),
        Member(flips=(2,)),
        *(Member(shift=at) for at in ((3, 0), (-3, 0), (0, 3), (0, -3))),
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("maybe", [0], 4), "--tta is True or False, got 'maybe'"),
        ((True, [3], 4), "--tta_flips is a list of axes from 0 to 2"),
        ((True, 0, 4), "--tta_flips is a list of axes from 0 to 2"),
        ((False, [], 0), "--tta_shift is a whole number from 1, got 0"),
    ],
)
def test_members_that_cannot_be_are_refused(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(InputError, match=words.replace("[", "\\[")):
        members(*arguments)


@pytest.mark.parametrize("member", [*members(True, [0, 1, 2], 4), Member((0, 2), (-3, 5))])
def test_what_a_member_does_to_a_volume_is_undone_to_the_bit(member: Member) -> None:
    assert torch.equal(member.undone(member.seen(image())), image())


@pytest.mark.parametrize("at", STEPS)
def test_a_convolution_sees_the_interior_of_a_shifted_volume_as_it_sees_the_volumes_own(at: tuple[int, int]) -> None:
    weight = torch.randint(-9, 9, (1, 1, 3, 3), generator=torch.Generator().manual_seed(1)).float()
    volume = torch.randint(0, 99, (1, 1, *SHAPE), generator=torch.Generator().manual_seed(2)).float()
    inferer, member = SlabInferer(), Member(shift=at)

    def network(slices: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(slices, weight, padding=1)

    plain, shifted = inferer(volume, network), member.undone(inferer(member.seen(volume), network))
    assert torch.equal(shifted[:, :, 5:-5, 5:-5], plain[:, :, 5:-5, 5:-5])
    assert not torch.equal(shifted, plain)


@torch.no_grad()
def test_the_sigmoid_of_the_result_is_the_mean_of_the_members_in_numpy() -> None:
    def logits_of(voxels: np.ndarray) -> np.ndarray:
        return 3 * voxels - 1 + ramp(SHAPE)[..., None]

    expected = np.mean([1 / (1 + np.exp(-z)) for z in as_members(image()[0, 0].numpy(), logits_of)], axis=0)
    logits = TtaInferer(SlabInferer(), members(True, [0], 4), 0.5)(image(), placed)
    assert isinstance(logits, MetaTensor)
    assert torch.equal(logits.affine, image().affine)
    np.testing.assert_allclose(logits.sigmoid()[0, 0].numpy(), expected, atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_softmax_of_the_result_is_the_mean_of_the_members_in_numpy() -> None:
    def logits_of(voxels: np.ndarray) -> np.ndarray:
        first = 3 * voxels - 1 + ramp(SHAPE)[..., None]
        return np.stack([first, 2 * voxels, -first])

    logits = as_members(image()[0, 0].numpy(), logits_of)
    shares = np.array([np.exp(z) / np.exp(z).sum(0) for z in logits])
    inferer = TtaInferer(SlabInferer(), members(True, [0], 4))
    found = inferer(image(), three_classes).softmax(1)[0].numpy()
    np.testing.assert_allclose(found, shares.mean(0), atol=1e-6, rtol=0)
    winners = shares.argmax(1)
    volumes_ml = np.array([[(w == value).sum() * 0.0015 for value in (1, 2)] for w in winners])
    np.testing.assert_allclose(inferer.counts.spreads_ml(GEOMETRY), volumes_ml.std(0), rtol=1e-9)


@torch.no_grad()
def test_the_spread_of_a_network_blind_on_one_side_is_known() -> None:
    """It sees 24 voxels as they are and in every shift, and the 10 on its blind side once mirrored."""
    lesions = torch.zeros(1, 1, *SHAPE)
    lesions[..., 4:6, 8:12, 1:4], lesions[..., 14:15, 8:13, 2:4] = 1, 1
    half = (torch.arange(SHAPE[0]) < SHAPE[0] // 2).float().reshape(-1, 1)
    inferer = TtaInferer(SlabInferer(), members(True, [0], 4), 0.5)
    inferer(MetaTensor(lesions, affine=torch.from_numpy(AFFINE)), lambda slices: 20 * (slices * half) - 10)
    assert inferer.counts is not None
    assert inferer.counts.voxels.sum(-1).ravel().tolist() == [24, 10, 24, 24, 24, 24]
    expected_ml = 0.5 * 0.6 * 5 / 1000 * 14 * np.sqrt(5) / 6
    assert inferer.counts.spreads_ml(GEOMETRY) == pytest.approx([expected_ml])


@torch.no_grad()
def test_a_member_that_is_sure_of_nothing_has_found_nothing() -> None:
    """Mirrored, the lesion has another probability, which reaches the threshold but not certainty."""
    lesions = torch.zeros(1, 1, *SHAPE)
    lesions[..., 4:6, 8:12, 1:4] = 1
    left = (torch.arange(SHAPE[0]) < SHAPE[0] // 2).float().reshape(-1, 1)
    certainty = KeepSureLesionsd("pred", 0.2, 0.85)
    inferer = TtaInferer(SlabInferer(), members(True, [0], 4), 0.2, certainty)
    inferer(MetaTensor(lesions, affine=torch.from_numpy(AFFINE)), lambda slices: slices * (11 + 3 * left) - 10)
    assert inferer.counts is not None
    assert inferer.counts.voxels.sum(-1).ravel().tolist() == [24, 0, 24, 24, 24, 24]


@pytest.mark.parametrize(
    ("inferer", "network"),
    [
        (SlabInferer(), lambda x: 4 * x[:, :1] - 2),
        (SlabInferer(3, batch=2), lambda x: 4 * x[:, 1:2] - 2),
        (SlidingWindowInferer([16, 16, 5], overlap=0.25, mode="gaussian"), lambda x: 4 * x - 2),
    ],
    ids=["2d", "2.5d", "3d"],
)
@torch.no_grad()
def test_members_agree_on_a_network_that_looks_at_single_voxels(inferer: Inferer, network: object) -> None:
    augmented = TtaInferer(inferer, members(True, [0, 1, 2], 4), 0.5)
    found = augmented(image(), network).sigmoid()
    torch.testing.assert_close(found.as_tensor(), (4 * image() - 2).sigmoid().as_tensor(), atol=1e-6, rtol=0)
    assert augmented.counts.spreads_ml(GEOMETRY) == pytest.approx([0])


@torch.no_grad()
def test_without_augmentation_the_inferer_is_the_other_one_and_knows_no_spread() -> None:
    plain = TtaInferer(SlabInferer(), members(False, [0], 4), 0.5)
    assert torch.equal(plain(image(), placed), SlabInferer()(image(), placed))
    assert plain.counts is None


@torch.no_grad()
def test_a_volume_that_does_not_say_where_it_lies_has_a_mean_but_no_spread() -> None:
    inferer = TtaInferer(SlabInferer(), members(True, [], 4), 0.5)
    inferer(image(), placed)
    assert inferer.counts is not None
    assert inferer(image().as_tensor(), placed).shape == (1, 1, *SHAPE)
    assert inferer.counts is None


@torch.no_grad()
def test_certain_probabilities_stay_finite_logits() -> None:
    logits = TtaInferer(SlabInferer(), members(True, [], 4), 0.5)(image(), lambda slices: 1e4 * (slices - 0.5))
    assert torch.isfinite(logits).all()
    assert float(logits.sigmoid().min()) < 1e-6
    assert float(logits.sigmoid().max()) > 1 - 1e-6


@torch.no_grad()
def test_half_precision_comes_back_whole() -> None:
    inferer = TtaInferer(SlabInferer(), members(True, [], 4), 0.5)
    assert inferer(image(), lambda slices: slices.bfloat16()).dtype == torch.float32


@torch.no_grad()
def test_one_members_logits_are_held_at_a_time() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    class Watching(Inferer):
        def __call__(self, inputs: torch.Tensor, *_args: object, **_kwargs: object) -> torch.Tensor:
            assert not any(ref() is not None for ref in held)
            logits = 2 * inputs
            held.append(weakref.ref(logits))
            return logits

    TtaInferer(Watching(), members(True, [0], 4), 0.5)(image(), placed)
    assert len(held) == 6


@torch.no_grad()
def test_a_network_that_marks_everything_measures_the_whole_scan_whatever_its_own_grid() -> None:
    affine = AFFINE @ np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1.0]])
    chain = Compose(
        [
            Orientationd("image", "RAS", labels=None),
            CropToRegiond("image"),
            Resized("image", [32, 48, -1], mode="trilinear"),
        ]
    )
    scan = MetaTensor(torch.rand(1, 24, 20, 5), affine=torch.from_numpy(affine))
    seen = chain({"image": scan})["image"]
    inferer = TtaInferer(SlabInferer(), members(True, [0], 4), 0.5)
    inferer(seen[None], lambda slices: torch.full_like(slices, 9))
    assert inferer.counts is not None
    geometry = Geometry(affine, (24, 20, 5))
    np.testing.assert_allclose(inferer.counts.volumes_ml(geometry), 24 * 20 * 5 * geometry.voxel_ml, rtol=1e-6)


def test_only_tasks_that_train_on_mirrored_studies_mirror_them() -> None:
    settings = {task: task_settings(task) for task in tasks()}
    flips = {task: settings[task]["inference"].get("tta_flips", []) for task in tasks()}
    assert {task for task, axes in flips.items() if axes} == {"hematoma", "liver_tumor"}
    for task in ("hematoma", "liver_tumor"):
        mirrored = [t for t in settings[task]["train"]["augmentation"]["transforms"] if t["_target_"] == "RandFlipd"]
        assert {t["spatial_axis"] for t in mirrored} >= set(flips[task])
