import subprocess
import sys
import textwrap

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer

from sliceweave.networks import SelfAttentionUNet
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.inferers import MixedPrecision, QuickLook, SlabInferer, shows_something
from sliceweave.transforms import gather_slab


def network(slab: int = 3, classes: int = 2) -> torch.nn.Module:
    torch.manual_seed(0)
    return SelfAttentionUNet(2, slab, classes, widths=(4, 8, 12, 16)).eval()


def slice_by_slice(volume: torch.Tensor, net: torch.nn.Module, slab: int, axis: int) -> torch.Tensor:
    count = volume.shape[axis + 2]
    return torch.stack([net(gather_slab(volume[0], i, slab, axis)[None]) for i in range(count)], dim=axis + 2)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slab", [1, 3, 5])
@torch.no_grad()
def test_one_slice_a_batch_equals_the_loop_bit_for_bit(axis: int, slab: int) -> None:
    volume, net = torch.rand(1, 1, 19, 23, 21), network(slab)
    assert torch.equal(SlabInferer(slab, axis)(volume, net), slice_by_slice(volume, net, slab, axis))


@pytest.mark.parametrize("batch", [2, 4, 7, 100])
@torch.no_grad()
def test_any_batch_gives_the_same_mask_and_probabilities(batch: int) -> None:
    volume, net = torch.rand(1, 1, 19, 23, 21), network()
    one, many = (SlabInferer(3, 2, b)(volume, net).sigmoid() for b in (1, batch))
    torch.testing.assert_close(many, one, rtol=0, atol=1e-5)
    assert torch.equal(many > 0.5, one > 0.5)


@torch.no_grad()
def test_volumes_of_a_batch_do_not_mix() -> None:
    volumes, net = torch.rand(2, 1, 19, 23, 5), network()
    apart = torch.cat([SlabInferer(3)(volume[None], net) for volume in volumes])
    assert torch.equal(SlabInferer(3)(volumes, net), apart)


@torch.no_grad()
def test_a_study_of_one_slice_is_a_study() -> None:
    assert SlabInferer(3)(torch.rand(1, 1, 19, 23, 1), network()).shape == (1, 2, 19, 23, 1)


@pytest.mark.parametrize("slab", [1, 3])
@pytest.mark.parametrize("classes", [1, 3])
@torch.no_grad()
def test_a_slab_without_anything_in_it_is_background_unasked(classes: int, slab: int) -> None:
    volume, net = torch.rand(1, 1, 19, 23, 9), network(slab, classes)
    volume[..., :3] = 0
    volume[..., 7:] = 0.25
    full, sparse = SlabInferer(slab)(volume, net), SlabInferer(slab, skip_empty=True)(volume, net)
    beside = slab // 2
    seen = slice(3 - beside, 7 + beside)
    assert torch.equal(sparse[..., seen], full[..., seen])
    probability = sparse.sigmoid() if classes == 1 else 1 - sparse.softmax(1)[:, :1]
    empty = torch.cat([probability[..., : 3 - beside], probability[..., 7 + beside :]], -1)
    assert empty.shape[-1] == 5 - 2 * beside
    assert empty.max() < 1e-7


@torch.no_grad()
def test_of_an_empty_study_among_others_nothing_is_found() -> None:
    volumes, net = torch.rand(2, 1, 19, 23, 4), network(3)
    volumes[0] = 0.5
    logits = SlabInferer(3, skip_empty=True)(volumes, net)
    assert torch.equal(logits[1:], SlabInferer(3)(volumes[1:], net))
    assert (logits[0].argmax(0) == 0).all()
    assert (logits[0].softmax(0)[0] > 1 - 1e-6).all()


def test_what_comes_out_may_be_written_to_outside_inference_mode() -> None:
    with torch.no_grad():
        logits = SlabInferer(3)(torch.rand(1, 1, 19, 23, 2), network())
        assert torch.equal(logits.clone().add_(1), logits.add_(1))
    assert not logits.is_inference()


@torch.no_grad()
def test_metadata_are_kept() -> None:
    image = MetaTensor(torch.rand(1, 1, 8, 9, 4), affine=torch.diag(torch.tensor([0.5, 0.6, 5, 1])))
    logits = SlabInferer(3)(image, network())
    assert isinstance(logits, MetaTensor)
    assert torch.equal(logits.affine, image.affine)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
@torch.no_grad()
def test_logits_have_the_networks_own_precision(kind: torch.dtype) -> None:
    assert SlabInferer(3)(torch.rand(1, 1, 8, 9, 4, dtype=kind), network().to(kind)).dtype == kind


@torch.no_grad()
def test_mixed_precision_is_close_and_comes_back_as_float32() -> None:
    volume, net = torch.rand(1, 1, 19, 23, 5), network()
    exact = MixedPrecision(SlabInferer(3), enabled=False)(volume, net)
    mixed = MixedPrecision(SlabInferer(3))(volume, net)
    assert torch.equal(exact, SlabInferer(3)(volume, net))
    assert mixed.dtype == torch.float32
    assert not torch.equal(mixed, exact)
    torch.testing.assert_close(mixed.sigmoid(), exact.sigmoid(), rtol=0, atol=0.05)


@torch.no_grad()
def test_without_bf16_an_engines_own_mixed_precision_stays_on() -> None:
    volume, net = torch.rand(1, 1, 19, 23, 5), network()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert MixedPrecision(SlabInferer(3), enabled=False)(volume, net).dtype == torch.bfloat16


def test_bf16_may_be_said_in_text() -> None:
    assert not MixedPrecision(SimpleInferer(), enabled="false").enabled
    with pytest.raises(InputError, match="--bf16 is True or False, got 'maybe'"):
        MixedPrecision(SimpleInferer(), enabled="maybe")


def test_mixed_precision_trains() -> None:
    net = network(1, 1).train()
    MixedPrecision(SimpleInferer())(torch.rand(2, 1, 16, 16), net).mean().backward()
    assert all(p.grad is not None for p in net.parameters())


class Recorded(torch.nn.Module):
    """Finds what is bright, a logit of 4 or -8, and says in which precision it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 1, bias=False)
        self.conv.weight.data.fill_(12.1)
        self.asked: list[torch.dtype] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.conv(x) - 8
        self.asked.append(logits.dtype)
        return logits


@torch.no_grad()
def test_slices_that_show_something_are_decided_in_full_precision() -> None:
    volume, net = torch.zeros(1, 1, 8, 9, 7), Recorded()
    volume[..., 3:5, 2:5] = 1
    logits = QuickLook(SlabInferer())(volume, net)
    low, full = torch.bfloat16, torch.float32
    assert net.asked == [low, low, low, full, full, full, full, low]
    assert torch.equal(logits[..., 2:6], SlabInferer()(volume, Recorded())[..., 2:6])
    assert logits.dtype == full
    assert (logits[..., [0, 1, 6]] == -8).all()


@torch.no_grad()
def test_without_the_quick_look_the_inferer_is_as_it_is() -> None:
    volume, net = torch.rand(1, 1, 19, 23, 5), network()
    assert torch.equal(QuickLook(SlabInferer(3), enabled="False")(volume, net), SlabInferer(3)(volume, net))
    with pytest.raises(InputError, match="--bf16 is True or False"):
        QuickLook(SlabInferer(), enabled="maybe")


def test_something_is_a_twentieth_of_probability_in_any_channel() -> None:
    one = torch.full((1, 1, 4, 4), -3.1)
    three = torch.zeros(1, 3, 4, 4)
    three[:, 0] = 5.0
    assert not shows_something(one)
    assert not shows_something(three)
    one[..., 2, 2] = -2.9
    three[:, 1, 3, 3] = 2.0
    assert shows_something(one)
    assert shows_something(three)


MEMORY = """
    import re, sys, torch
    from pathlib import Path
    from sliceweave.pipelines.inferers import SlabInferer

    classes, slab, shape = int(sys.argv[1]), 5, (1, 1, 384, 384, 200)
    weight = torch.rand(classes, slab, 1, 1)
    network = lambda x: torch.nn.functional.conv2d(x, weight)
    # not ru_maxrss: a child inherits its parent's
    peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
    volume = torch.rand(shape)
    with torch.inference_mode():
        network(torch.rand(1, slab, 384, 384))
        before = peak()
        logits = SlabInferer(slab)(volume, network)
        assert logits.shape == (1, classes, *shape[2:])
    print((peak() - before) / (volume.numel() * 4))
"""


def test_memory_is_the_result_and_less_than_a_third_of_the_volume() -> None:
    classes = 2
    run = [sys.executable, "-c", textwrap.dedent(MEMORY), str(classes)]
    volumes = float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)
    assert classes <= volumes < classes + 0.3
