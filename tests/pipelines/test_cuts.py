from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, RandAffined, RandFlipd, RandRotated, RandZoomd

from sliceweave.pipelines.cuts import Blocks, Cut, Slabs
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.volume_files import StoredVolume, open_volume, packed, write_volume
from sliceweave.transforms import gather_slab

SHAPE = (3, 20, 14, 9)  # channels, H, W, slices
KEYS = ["image", "label"]


def grey_values(shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Values that float16 holds exactly."""
    return torch.randint(1, 1024, shape, generator=torch.Generator().manual_seed(0)) / 1024


def stored(folder: Path, image: torch.Tensor, label: torch.Tensor) -> StoredVolume:
    write_volume(folder / "a.volume", packed(MetaTensor(image), MetaTensor(label)))
    volume = open_volume(folder / "a.volume")
    assert volume is not None
    return volume


def one_pixel(place: tuple[int, int, int], shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    label = torch.zeros(1, *shape[1:])
    label[0][place] = 1
    return label


def sample_of(cut: Cut, volume: StoredVolume, slices: range, seed: int = 0) -> dict[str, torch.Tensor]:
    return cut.finish(cut.cut(volume, slices, np.random.default_rng(seed)))


@pytest.mark.parametrize("slab", [1, 3, 5])
@pytest.mark.parametrize("index", [0, 1, 4, 8])
def test_a_slab_is_what_gather_slab_gives_and_its_label_is_the_middle_slice(
    tmp_path: Path, slab: int, index: int
) -> None:
    image, label = grey_values(), one_pixel((5, 6, index))
    sample = sample_of(Slabs(slab), stored(tmp_path, image, label), range(index, index + 1))
    assert sample["image"].dtype == sample["label"].dtype == torch.float32
    assert torch.equal(sample["image"], gather_slab(image, index, slab, axis=2))
    assert torch.equal(sample["label"], label[..., index])


def test_slabs_stand_at_every_slice() -> None:
    assert Slabs(5).positions(3) == [range(1), range(1, 2), range(2, 3)]


@pytest.mark.parametrize("slab", [0, 2, -1, 1.5, True, "3"])
def test_a_slab_needs_a_middle(slab: object) -> None:
    with pytest.raises(InputError, match="--slab is an odd whole number"):
        Slabs(slab)  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [0, 4])
def test_a_share_of_the_slabs_sees_its_slice_alone(tmp_path: Path, index: int) -> None:
    image, label = grey_values(), one_pixel((5, 6, index))
    volume, cut = stored(tmp_path, image, label), Slabs(3, alone_share=0.25)
    amid, alone = gather_slab(image, index, 3, axis=2), gather_slab(image[..., index, None], 0, 3, axis=2)
    samples = [sample_of(cut, volume, range(index, index + 1), seed) for seed in range(200)]
    are_alone = [torch.equal(sample["image"], alone) for sample in samples]
    assert all(a or torch.equal(sample["image"], amid) for a, sample in zip(are_alone, samples, strict=True))
    assert 30 <= sum(are_alone) <= 70
    assert all(torch.equal(sample["label"], label[..., index]) for sample in samples)


@pytest.mark.parametrize("share", [-0.1, 1.1, True, "some"])
def test_alone_share_is_a_share(share: object) -> None:
    with pytest.raises(InputError, match="--alone_share is a share from 0 to 1, got"):
        Slabs(3, share)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("slices", "starts"), [(9, [0, 2, 4, 5]), (8, [0, 2, 4]), (5, [0, 1]), (4, [0]), (3, [0]), (1, [0])]
)
def test_blocks_overlap_by_half_and_reach_both_ends(slices: int, starts: list[int]) -> None:
    positions = Blocks((8, 6, 4)).positions(slices)
    assert [block.start for block in positions] == starts
    assert all(len(block) == min(slices, 4) for block in positions)
    assert {index for block in positions for index in block} == set(range(slices))


def test_blocks_of_one_slice_stand_at_every_slice() -> None:
    assert [block.start for block in Blocks((8, 6, 1)).positions(3)] == [0, 1, 2]


def found_at(volume: torch.Tensor, block: torch.Tensor) -> tuple[int, int]:
    """Row and column at which a block of some slices lies in the volume."""
    height, width = block.shape[1:3]
    return next(
        (row, column)
        for row in range(volume.shape[1] - height + 1)
        for column in range(volume.shape[2] - width + 1)
        if torch.equal(volume[:, row : row + height, column : column + width], block)
    )


def test_a_block_is_a_piece_of_image_and_label_at_one_place(tmp_path: Path) -> None:
    image, label = grey_values(), (grey_values((1, *SHAPE[1:])) > 0.5).float()
    sample = sample_of(Blocks((8, 6, 4)), stored(tmp_path, image, label), range(2, 6), seed=3)
    assert sample["image"].shape == (3, 8, 6, 4)
    assert sample["label"].shape == (1, 8, 6, 4)
    assert found_at(image[..., 2:6], sample["image"]) == found_at(label[..., 2:6], sample["label"])


def test_crops_lie_everywhere_in_the_plane(tmp_path: Path) -> None:
    image = grey_values()
    volume = stored(tmp_path, image, torch.zeros(1, *SHAPE[1:]))
    places = {found_at(image[..., :4], sample_of(Blocks((8, 6, 4)), volume, range(4), n)["image"]) for n in range(300)}
    assert {row for row, _ in places} == set(range(13))
    assert {column for _, column in places} == set(range(9))


@pytest.mark.parametrize("place", [(0, 0, 3), (19, 13, 3), (10, 7, 3), (19, 0, 2)])
def test_half_of_the_crops_are_drawn_around_a_marked_pixel(tmp_path: Path, place: tuple[int, int, int]) -> None:
    volume = stored(tmp_path, grey_values(), one_pixel(place))
    hits = [bool(sample_of(Blocks((2, 3, 4)), volume, range(2, 6), n)["label"].any()) for n in range(400)]
    by_chance = 2 / 19 * 3 / 12  # at most, where the pixel is in the middle
    assert 0.5 - 4 * 0.025 < np.mean(hits) < 0.5 + by_chance / 2 + 4 * 0.025


def test_an_aimed_crop_may_hold_its_pixel_at_any_place(tmp_path: Path) -> None:
    volume = stored(tmp_path, grey_values(), one_pixel((10, 7, 3)))
    samples = [sample_of(Blocks((4, 3, 4)), volume, range(2, 6), n)["label"][0] for n in range(400)]
    assert {tuple(sample.nonzero()[0].tolist()) for sample in samples if sample.any()} == {
        (row, column, 1) for row in range(4) for column in range(3)
    }


def test_a_block_without_a_marked_pixel_is_cropped_anywhere(tmp_path: Path) -> None:
    volume = stored(tmp_path, grey_values(), one_pixel((10, 7, 8)))
    assert not any(sample_of(Blocks((8, 6, 4)), volume, range(4), n)["label"].any() for n in range(20))


def test_a_study_smaller_than_the_block_lies_in_its_middle_amid_zeros(tmp_path: Path) -> None:
    image, label = grey_values((3, 5, 6, 2)), torch.ones(1, 5, 6, 2)
    cut = Blocks((8, 6, 5))
    (slices,) = cut.positions(2)
    sample = sample_of(cut, stored(tmp_path, image, label), slices)
    assert sample["image"].shape == (3, 8, 6, 5)
    assert torch.equal(sample["image"][:, 1:6, :, 1:3], image)
    assert torch.equal(sample["label"][:, 1:6, :, 1:3], label)
    assert (sample["image"] != 0).sum() == image.numel()
    assert sample["label"].sum() == label.numel()


def chain() -> Compose:
    """The bundles' augmentation in the plane, certain to happen."""
    return Compose(
        [
            RandFlipd(KEYS, prob=0.5, spatial_axis=0),
            RandAffined(KEYS, prob=1, translate_range=[2, 2], mode="nearest", padding_mode="zeros"),
            RandRotated(KEYS, prob=1, range_x=0.26, padding_mode="zeros"),
            RandZoomd(KEYS, prob=1, min_zoom=0.9, max_zoom=1.15, mode="bilinear", padding_mode="constant"),
        ]
    )


def test_the_slices_of_a_block_are_augmented_alike_image_and_label(tmp_path: Path) -> None:
    plane = torch.zeros(20, 14)
    plane[6:15, 5:10] = 1
    image = plane.expand(3, 9, 20, 14).permute(0, 2, 3, 1).clone()
    cut = Blocks((20, 14, 4))
    volume = stored(tmp_path, image, image[:1])
    augment = chain()
    augment.set_random_state(0)
    sample = cut.finish(augment(cut.cut(volume, range(2, 6), np.random.default_rng(0))))
    turned = sample["label"][:, ..., :1]
    assert sample["image"].shape == (3, 20, 14, 4)
    assert (turned[0, ..., 0] - plane).abs().max() > 0.5
    for key in KEYS:
        assert torch.allclose(sample[key], turned.expand_as(sample[key]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("cut", [Slabs(3), Blocks((16, 10, 4))])
def test_an_augmented_sample_keeps_its_shape(tmp_path: Path, cut: Cut) -> None:
    volume = stored(tmp_path, grey_values(), one_pixel((10, 7, 3)))
    (slices,) = [slices for slices in cut.positions(9) if slices.start == 2]
    plain = cut.cut(volume, slices, np.random.default_rng(1))
    assert {key: cut.finish(chain()(plain))[key].shape for key in KEYS} == {
        key: cut.finish(plain)[key].shape for key in KEYS
    }


@pytest.mark.parametrize("size", [(8, 6), (8, 6, 0), (8, 6, 2.5), 8, "abc", None])
def test_a_block_needs_three_sizes(size: object) -> None:
    with pytest.raises(InputError, match="--block_size is three numbers of voxels"):
        Blocks(size)  # type: ignore[arg-type]
