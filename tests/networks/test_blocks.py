import numpy as np
import pytest
import torch
from numpy_layers import batch_norm, conv, excited, relu, weights

from sliceweave.networks import blocks


def test_a_strided_convolution_keeps_every_second_pixel_of_the_unstrided() -> None:
    module = excited(blocks.conv(2, 3, 4, kernel_size=5, stride=2))
    x = torch.randn(1, 3, 8, 10, dtype=torch.float64)
    w = {f"c.{name}": value for name, value in weights(module).items()}
    np.testing.assert_allclose(module(x)[0].detach(), conv(x[0].numpy(), w, "c", stride=2), atol=1e-12)


def test_a_pre_activated_convolution_normalises_first() -> None:
    module, x = excited(blocks.act_conv(2, 3, 4)), torch.randn(1, 3, 5, 6, dtype=torch.float64)
    w = weights(module)
    expected = conv(relu(batch_norm(x[0].numpy(), w, "0.N")), w, "1")
    np.testing.assert_allclose(module(x)[0].detach(), expected, atol=1e-12)


def test_concat_puts_the_skip_first() -> None:
    x, skip = torch.zeros(1, 2, 3, 3), torch.ones(1, 1, 3, 3)
    assert blocks.Concat()(x, skip)[0, :, 0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_multi_scale_fusion_concatenates_the_scales_at_full_size(spatial_dims: int) -> None:
    module = excited(blocks.MultiScaleFusion(spatial_dims, [6, 4], 3))
    coarse = torch.randn(1, 6, *[2] * spatial_dims, dtype=torch.float64)
    fine = torch.randn(1, 4, *[4] * spatial_dims, dtype=torch.float64)
    fused, *sides = module([coarse, fine])
    assert [tuple(s.shape) for s in sides] == [(1, 3, *[4] * spatial_dims)] * 2
    torch.testing.assert_close(sides[0], module.sides[1](fine))
    torch.testing.assert_close(sides[1], blocks.linear_up(spatial_dims)(module.sides[0](coarse)))
    torch.testing.assert_close(fused, module.fuse(torch.cat(sides, 1)))


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown parts \['CBAM'\]: choose from \['CA', 'SA'\]"):
        blocks.check_parts(("SA", "CBAM"), ("SA", "CA"))


def test_a_network_of_two_dimensions_says_so() -> None:
    with pytest.raises(ValueError, match="SegNet is defined in 2D only: expected spatial_dims 2, got 3"):
        blocks.two_dimensional_only("SegNet", 3)


def test_linear_upsampling_meets_pixels_at_their_centres() -> None:
    row = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)
    assert blocks.linear_up(2)(row)[0, 0, 0].tolist() == [0, 0.25, 0.75, 1]


@pytest.mark.parametrize(
    ("spatial_dims", "widths", "stages", "message"),
    [
        (4, (8, 16), None, "spatial_dims: expected 2 or 3, got 4"),
        (2, (), None, r"widths: expected two or more positive numbers, got \[\]"),
        (2, (8,), None, r"widths: expected two or more positive numbers, got \[8\]"),
        (3, (8, 0), None, r"widths: expected two or more positive numbers, got \[8, 0\]"),
        (2, (8, 8), 5, r"widths: expected 5 positive numbers, got \[8, 8\]"),
    ],
)
def test_a_shape_that_makes_no_network_is_one_clear_line(
    spatial_dims: int, widths: tuple[int, ...], stages: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        blocks.check_shape(spatial_dims, widths, stages)


def test_a_level_that_does_not_exist_is_named() -> None:
    assert blocks.check_levels("eas_stages", [0, 2], 3) == {0, 2}
    with pytest.raises(ValueError, match=r"eas_stages: expected numbers from 0 to 2, got \[-1, 7\]"):
        blocks.check_levels("eas_stages", (-1, 0, 7), 3)
