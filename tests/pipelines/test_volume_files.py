import pickle
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.volume_files import StoredVolume, open_volume, packed, write_volume

SHAPE = (2, 7, 5, 4)
AFFINE = torch.tensor([[-0.7, 0, 0.1, 60], [0, -0.8, 0, 55.5], [0, 0, 2.5, -100], [0, 0, 0, 1]], dtype=torch.float64)


def image_of(shape: tuple[int, ...] = SHAPE) -> MetaTensor:
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    meta = {"filename_or_obj": "a/s1.nii.gz", "spatial_shape": np.array(shape[1:]), "reader": object()}
    return MetaTensor(values, affine=AFFINE, meta=meta)


def label_of(values: torch.Tensor) -> MetaTensor:
    return MetaTensor(values, affine=AFFINE, meta={"filename_or_obj": "b/s1.nii.gz"})


def marked_label() -> torch.Tensor:
    label = torch.zeros(1, *SHAPE[1:])
    label[0, 3, 2, 1] = label[0, 0, 0, 3] = 2
    return label


def stored(path: Path, image: MetaTensor, label: MetaTensor) -> StoredVolume:
    write_volume(path, packed(image, label))
    volume = open_volume(path)
    assert volume is not None
    return volume


def test_a_volume_comes_back_slices_first_within_what_float16_rounds(tmp_path: Path) -> None:
    volume = stored(tmp_path / "a.volume", image_of(), label_of(marked_label()))
    assert volume.image.dtype == torch.float16
    assert volume.label.dtype == torch.uint8
    assert volume.image.shape == (4, 2, 7, 5)
    assert (volume.image.float() - image_of().as_tensor().movedim(-1, 0)).abs().max() <= 2**-12
    assert torch.equal(volume.label.float(), marked_label().movedim(-1, 0))
    assert volume.marked.tolist() == [False, True, False, True]


def test_every_grey_value_of_an_8_bit_picture_is_kept_apart(tmp_path: Path) -> None:
    levels = (torch.arange(256) / 255).view(1, 16, 8, 2)
    volume = stored(tmp_path / "a.volume", MetaTensor(levels), MetaTensor(torch.zeros_like(levels)))
    assert torch.equal((volume.whole("image") * 255).round(), (levels * 255).round())


def test_shares_of_a_pixel_are_kept_as_shares(tmp_path: Path) -> None:
    volume = stored(tmp_path / "a.volume", image_of(), label_of(marked_label() / 8))
    assert volume.label.dtype == torch.float16
    assert volume.whole("label").max() == 0.25


def test_a_whole_volume_has_its_affine_and_metadata(tmp_path: Path) -> None:
    volume = stored(tmp_path / "a.volume", image_of(), label_of(marked_label()))
    image, label = volume.whole("image"), volume.whole("label")
    assert isinstance(image, MetaTensor)
    assert image.dtype == label.dtype == torch.float32
    assert image.shape == SHAPE
    assert torch.equal(image.affine, AFFINE)
    assert image.meta["filename_or_obj"] == "a/s1.nii.gz"
    assert label.meta["filename_or_obj"] == "b/s1.nii.gz"
    assert image.meta["spatial_shape"].tolist() == list(SHAPE[1:])
    assert torch.equal(label.as_tensor(), marked_label())


def test_each_slice_is_one_stretch_of_the_file(tmp_path: Path) -> None:
    volume = stored(tmp_path / "a.volume", image_of(), label_of(marked_label()))
    start, _, shape = volume.blocks["image"]
    assert start % 4096 == 0
    size = 2 * int(np.prod(shape[1:]))
    third = np.frombuffer(volume.path.read_bytes()[start + 2 * size : start + 3 * size], np.float16)
    assert np.array_equal(third.reshape(shape[1:]), volume.image[2].numpy())


def test_opening_or_sending_a_volume_copies_no_voxels(tmp_path: Path) -> None:
    image = MetaTensor(torch.zeros(1, 512, 256, 16))
    path = stored(tmp_path / "a.volume", image, MetaTensor(torch.zeros_like(image))).path
    assert path.stat().st_size > 6e6
    tracemalloc.start()
    volume = open_volume(path)
    assert volume is not None
    assert volume.image[3].sum() == 0
    sent = pickle.dumps(volume)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    assert len(sent) < 5000
    assert torch.equal(pickle.loads(sent).label, volume.label)


def test_writing_into_a_mapped_volume_does_not_reach_the_file(tmp_path: Path) -> None:
    volume = stored(tmp_path / "a.volume", image_of(), label_of(marked_label()))
    before = volume.path.read_bytes()
    volume.image.fill_(7)
    assert volume.path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:0],
        lambda content: content[:5],
        lambda content: content[:50],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"\xff" * 8 + content[8:],
        lambda content: content[:8] + b"[" + content[9:],
        lambda content: content.replace(b'"marked"', b'"m4rked"'),
        lambda content: content.replace(b'"marked": [1, 3]', b'"marked": [1, 9]'),
        lambda content: content.replace(b'"float16"', b'"flo4t16"'),
    ],
)
def test_a_damaged_file_is_none(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = stored(tmp_path / "a.volume", image_of(), label_of(marked_label())).path
    assert damage(path.read_bytes()) != path.read_bytes()
    path.write_bytes(damage(path.read_bytes()))
    assert open_volume(path) is None


def test_no_file_is_none(tmp_path: Path) -> None:
    assert open_volume(tmp_path / "a.volume") is None


@pytest.mark.parametrize("shapes", [((1, 7, 5), (1, 7, 5)), ((1, 7, 5, 4), (1, 7, 4, 5)), ((1, 7, 5, 4), (7, 5, 4))])
def test_other_shapes_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    image, label = (MetaTensor(torch.zeros(shape)) for shape in shapes)
    with pytest.raises(InputError, match=r"expected image and label \(C, H, W, slices\) of one size"):
        packed(image, label)


@pytest.mark.parametrize("value", [7e4, float("nan"), float("inf")])
def test_grey_values_that_float16_does_not_hold_are_refused(value: float) -> None:
    image = MetaTensor(torch.full((1, 3, 4, 5), value))
    with pytest.raises(InputError, match="within ±65504 after preprocessing"):
        packed(image, MetaTensor(torch.zeros(1, 3, 4, 5)))


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(
    tmp_path: Path, largest_file_bytes: Callable[[int], AbstractContextManager[None]]
) -> None:
    volume = packed(MetaTensor(torch.zeros(1, 64, 32, 16)), MetaTensor(torch.zeros(1, 64, 32, 16)))
    with largest_file_bytes(20_000), pytest.raises(InputError, match=r"cannot write .*a\.volume: .*; free space"):
        write_volume(tmp_path / "a.volume", volume)
    assert list(tmp_path.iterdir()) == []
