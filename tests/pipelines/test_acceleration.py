"""What a network is given on the machine at hand."""

import subprocess
import sys
from typing import Any

import pytest
import torch

from sliceweave.networks import RAUNet, SelfAttentionUNet
from sliceweave.pipelines.acceleration import for_inference, slices_a_batch, subnormals_as_zero, use_bf16
from sliceweave.pipelines.errors import InputError


def processor_with(*units: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"avx2": True} | dict.fromkeys(units, True), raising=False
    )


@pytest.mark.parametrize(("units", "expected"), [((), False), (("avx512_bf16",), True), (("amx_bf16",), True)])
def test_auto_takes_bf16_where_the_processor_was_made_for_it(
    units: tuple[str, ...], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor_with(*units, monkeypatch=monkeypatch)
    assert use_bf16("auto") is expected
    assert use_bf16("Auto", torch.device("cpu")) is expected
    assert use_bf16("false") is False
    assert use_bf16(True) is True


@pytest.mark.parametrize(("units", "told"), [((), 1), (("avx512_bf16",), 0)])
def test_who_asks_for_bf16_where_it_is_emulated_is_told(
    units: tuple[str, ...], told: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    processor_with(*units, monkeypatch=monkeypatch)
    assert use_bf16(True)
    assert not use_bf16(False)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * told


@pytest.mark.parametrize("expected", [True, False])
def test_auto_asks_a_gpu_for_bf16_of_its_own(expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated: expected and not emulated)
    assert use_bf16("auto", "cuda:0") is expected
    assert use_bf16("auto", "mps") is False


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's own setting")
def test_memory_that_was_freed_is_used_again() -> None:
    """Pages that the system had to clear for forty arrays of 48 MB: those of the first few at most."""
    code = """
import resource, torch
from sliceweave.pipelines.acceleration import keep_freed_memory
keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(40):
    torch.ones(12_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4 * 48_000_000 / 4096


def test_a_processor_gets_one_slice_at_once_and_a_gpu_several() -> None:
    assert slices_a_batch("cpu") == 1
    assert slices_a_batch(torch.device("cuda", 1)) == 8


def test_a_torch_that_cannot_tell_has_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert use_bf16("auto") is False


@pytest.mark.parametrize("typed", ["maybe", None, 2])
def test_anything_else_is_refused(typed: Any) -> None:
    with pytest.raises(InputError, match="--bf16 is auto, True or False, got"):
        use_bf16(typed)


def is_channels_last(network: torch.nn.Module) -> bool:
    weights = [w for w in network.parameters() if w.dim() == 4 and w.shape[1] > 1 and w.shape[2] > 1]
    return all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


def test_channels_come_last_in_two_dimensions_but_for_group_norm() -> None:
    assert is_channels_last(for_inference(SelfAttentionUNet(2, 1, 1, (4, 8))))
    assert not is_channels_last(for_inference(RAUNet(2, 1, 1, (4, 8, 8, 8, 8))))
    for_inference(SelfAttentionUNet(3, 1, 1, (4, 8)))


@torch.no_grad()
def test_what_is_made_of_a_single_channel_has_its_channels_last_too() -> None:
    network = for_inference(SelfAttentionUNet(2, 1, 1, (4, 8)))
    are_last: list[bool] = []

    def look(_: torch.nn.Module, inputs: tuple[torch.Tensor], maps: torch.Tensor) -> None:
        if inputs[0].shape[1] == 1 < maps.shape[1]:
            are_last.append(maps.is_contiguous(memory_format=torch.channels_last))

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(look)
    network(torch.rand(2, 1, 20, 36))
    assert are_last == [True, True]  # the first convolution, and the shortcut beside it


def test_the_logits_stay() -> None:
    torch.manual_seed(0)
    network, image = SelfAttentionUNet(2, 1, 1, (4, 8)).eval(), torch.rand(1, 1, 32, 48)
    before = network(image)
    torch.testing.assert_close(for_inference(network)(image), before, rtol=1e-4, atol=1e-5)


def test_subnormal_numbers_count_as_zero() -> None:
    with subnormals_as_zero():
        assert (torch.tensor([1e-39]) * 1).item() == 0.0
    assert (torch.tensor([1e-39]) * 1).item() > 0


def test_a_machine_that_cannot_compile_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(_: Any) -> Any:
        raise RuntimeError("No working C++ compiler found\nmuch more")

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(
        InputError, match=r"^--compile True: torch cannot compile here \(No working C\+\+ compiler found\): \S"
    ):
        for_inference(torch.nn.Identity(), compile="True")
    assert for_inference(torch.nn.Identity(), compile="false")
