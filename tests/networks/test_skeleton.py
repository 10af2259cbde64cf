import pytest
import torch
from torch import nn

from sliceweave.networks.blocks import Concat, DecoderStage, linear_up
from sliceweave.networks.skeleton import EncoderDecoder, crop_like, max_pool, pad_to_multiple


@pytest.mark.parametrize(
    ("size", "padded"),
    [((16, 24), (16, 24)), ((17, 23), (24, 24)), ((1, 9), (16, 16)), ((20, 33, 3), (24, 40, 16))],
)
def test_padding_reaches_the_multiple_and_leaves_two_pixels_at_the_bottom(
    size: tuple[int, ...], padded: tuple[int, ...]
) -> None:
    assert pad_to_multiple(torch.rand(1, 2, *size), 8).shape[2:] == padded


def test_padding_repeats_the_far_edge_and_cropping_undoes_it() -> None:
    x = torch.rand(1, 1, 9, 5)
    padded = pad_to_multiple(x, 4)
    assert torch.equal(crop_like(padded, x), x)
    assert torch.equal(padded[..., 9:, :5], x[..., 8:, :].expand(-1, -1, 3, -1))
    assert torch.equal(padded[..., 5:], padded[..., 4:5].expand(-1, -1, -1, 3))


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_each_decoder_stage_meets_the_skip_of_its_own_level(spatial_dims: int) -> None:
    u = EncoderDecoder(
        down=max_pool(spatial_dims),
        encoder=[Scale(2), Scale(3), Scale(5)],
        bottom=Scale(7),
        decoder=[DecoderStage(linear_up(spatial_dims), Concat(), nn.Identity()) for _ in range(3)],
    )
    maps = u(torch.ones(1, 1, *[16] * spatial_dims))
    assert [m.shape[-1] for m in maps] == [2, 4, 8, 16]
    centre = (0, slice(None), *[1] * spatial_dims)
    assert [m[centre].tolist() for m in maps] == [[210], [30, 210], [6, 30, 210], [2, 6, 30, 210]]
