import numpy as np
import pytest
import torch
from numpy_layers import Array, conv_norm, excited, relu, sigmoid, weights

from sliceweave.networks import EASUNet
from sliceweave.networks.eas_unet import EAS, ECA, separable_conv

NARROW = (4, 6, 8, 10, 12)


@pytest.mark.parametrize(("spatial_dims", "expected"), [(2, 16_153_189), (3, 35_131_255)])
def test_parameter_counts_are_pinned(spatial_dims: int, expected: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in EASUNet(spatial_dims, 1, 3).parameters()) == expected


@pytest.mark.parametrize("size", [(5, 6), (3, 4, 5)])
def test_the_basic_block_follows_figure_2c(size: tuple[int, ...]) -> None:
    module, x = excited(separable_conv(len(size), 4, 6)), torch.randn(1, 4, *size, dtype=torch.float64)
    w = weights(module)
    depthwise = conv_norm(x[0].numpy(), w, "0", groups=4)
    pointwise = conv_norm(np.where(depthwise > 0, depthwise, 0.01 * depthwise), w, "1")
    expected = pointwise * np.clip(pointwise + 3, 0, 6) / 6  # h-swish
    np.testing.assert_allclose(module(x)[0].detach(), expected, atol=1e-9)


@pytest.mark.parametrize(
    ("channels", "size"), [(4, 1), (8, 3), (16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5)]
)
def test_eca_adapts_its_kernel_to_the_width(channels: int, size: int) -> None:
    """|log₂(C)/2 + 1/2|, truncated, or the odd number above: 1.5, 2, 2.5, 3.5, 4, 4.5, 5, 5.5."""
    assert ECA(channels).conv.kernel_size == (size,)


def eca(x: Array, kernel: Array) -> Array:
    pooled = np.pad(x.reshape(len(x), -1).mean(1), len(kernel) // 2)
    scale = sigmoid(np.array([pooled[c : c + len(kernel)] @ kernel for c in range(len(x))]))
    return x * scale.reshape(-1, *[1] * (x.ndim - 1))


@pytest.mark.parametrize("size", [(5, 6), (3, 4, 5)])
def test_eca_follows_its_formula(size: tuple[int, ...]) -> None:
    module, x = excited(ECA(32)), torch.randn(1, 32, *size, dtype=torch.float64)
    expected = eca(x[0].numpy(), weights(module)["conv.weight"][0, 0])
    np.testing.assert_allclose(module(x)[0].detach(), expected, atol=1e-12)


@pytest.mark.parametrize("size", [(21, 40), (20, 8, 21)])
def test_eas_follows_figure_3(size: tuple[int, ...]) -> None:
    module, x = excited(EAS(len(size), 8)), torch.randn(1, 8, *size, dtype=torch.float64)
    w, image = weights(module), x[0].numpy()
    pooled = relu(w["pooled.weight"] @ image.reshape(8, -1).mean(1) + w["pooled.bias"])
    paths = [
        eca(image, w["eca.conv.weight"][0, 0]),
        *(relu(conv_norm(image, w, f"dilated.{i}", dilation=d)) for i, d in enumerate((6, 12, 18))),
        np.broadcast_to(pooled.reshape(-1, *[1] * len(size)), (2, *size)),
    ]
    expected = relu(conv_norm(np.concatenate(paths), w, "project"))
    np.testing.assert_allclose(module(x)[0].detach(), expected, atol=1e-9)


@pytest.mark.parametrize(("stages", "built"), [(None, [0, 1, 2, 3, 4]), ((4,), [4]), ((1, 2), [1, 2]), ((), [])])
def test_the_stages_that_end_in_eas_are_chosen(stages: tuple[int, ...] | None, built: list[int]) -> None:
    net = EASUNet(2, 1, 1, NARROW, stages)
    encoder = [*net.u.encoder, net.u.bottom]
    assert [i for i, stage in enumerate(encoder) if any(isinstance(m, EAS) for m in stage)] == built


def test_training_gives_the_fused_and_four_side_outputs_and_evaluation_the_fused() -> None:
    net, image = EASUNet(2, 1, 3, NARROW), torch.rand(2, 1, 37, 50)
    outputs = net.train()(image)
    assert [tuple(x.shape) for x in outputs] == [(2, 3, 37, 50)] * 5
    assert net.eval()(image).shape == (2, 3, 37, 50)


def test_monai_supervises_every_output() -> None:
    from monai.losses import DeepSupervisionLoss, DiceCELoss

    net, image = EASUNet(2, 1, 3, NARROW).train(), torch.rand(2, 1, 32, 32)
    label = torch.randint(0, 3, (2, 1, 32, 32))
    DeepSupervisionLoss(DiceCELoss(to_onehot_y=True, softmax=True))(net(image), label).backward()
    assert all(side.weight.grad.abs().sum() > 0 for side in net.fusion.sides)
