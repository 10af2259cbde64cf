import pytest
import torch

from sliceweave.transforms import AdjacentSlices, gather_slab


def numbered(shape: tuple[int, ...], axis: int) -> torch.Tensor:
    """A volume whose voxels hold their slice number along the axis, plus 100 per channel."""
    volume = torch.zeros(shape)
    view = volume.movedim(axis + 1, -1)
    view += torch.arange(shape[axis + 1])
    return volume + 100 * torch.arange(shape[0]).view(-1, *[1] * (len(shape) - 1))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("index", "expected"), [(0, [0, 0, 0, 1, 2]), (2, [0, 1, 2, 3, 4]), (5, [3, 4, 5, 5, 5])])
def test_neighbours_become_channels_and_edges_are_replicated(axis: int, index: int, expected: list[int]) -> None:
    shape = [1, 7, 8, 9]
    shape[axis + 1] = 6
    slab = gather_slab(numbered(tuple(shape), axis), index, 5, axis)
    assert slab.shape == (5, *(n for i, n in enumerate(shape[1:]) if i != axis))
    assert slab.flatten(1)[:, 0].tolist() == expected


def test_channels_of_the_volume_stay_together() -> None:
    slab = gather_slab(numbered((2, 3, 4, 5), 2), 1, 3, 2)
    assert slab[:, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]


def test_a_single_slice_is_its_own_neighbour() -> None:
    volume = torch.rand(1, 6, 7, 1)
    assert torch.equal(gather_slab(volume, 0, 3, 2), volume[..., 0].expand(3, 6, 7))


def test_adjacent_slices_holds_every_slab() -> None:
    volume = torch.rand(1, 4, 5, 6)
    for axis in range(3):
        stacked = AdjacentSlices(3, axis)(volume)
        for index in range(volume.shape[axis + 1]):
            assert torch.equal(stacked.select(axis + 1, index), gather_slab(volume, index, 3, axis))


def test_an_even_width_has_no_middle() -> None:
    with pytest.raises(ValueError, match="odd width, got 4"):
        gather_slab(torch.zeros(1, 2, 2, 9), 0, 4, 2)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_slice_outside_the_volume_is_an_error(index: int) -> None:
    with pytest.raises(IndexError, match="of a volume with 3"):
        gather_slab(torch.zeros(1, 2, 2, 3), index, 1, 2)
