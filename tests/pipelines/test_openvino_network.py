"""A network run by OpenVINO gives the logits that torch gives, or torch runs it."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SlidingWindowInferer

from sliceweave.networks import EASUNet, InceptionResUNet, LGNet, RAUNet, SelfAttentionUNet
from sliceweave.pipelines import openvino_network
from sliceweave.pipelines.acceleration import chosen_compiler, for_inference
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.openvino_network import OpenVinoNetwork

NETWORKS = {
    "hematoma": lambda: SelfAttentionUNet(2, 3, 1, (4, 8, 8, 8)),
    "lung_infection": lambda: LGNet(2, 3, 1, (4, 4, 8, 8, 8), key_pooling=[4, 2, 1, 1]),
    "liver_tumor": lambda: RAUNet(2, 3, 1, (4, 8, 8, 8, 8)),
    "knee_cartilage": lambda: EASUNet(2, 1, 3, (8, 8, 8, 8, 8)),
    "echo_left_ventricle": lambda: InceptionResUNet(2, 3, 1, (8, 8, 8, 8, 8), attention_levels=[0, 3]),
}


def image_for(network: torch.nn.Module, *plane: int) -> torch.Tensor:
    weights = next(weights for weights in network.parameters() if weights.dim() == 4)
    return torch.rand(1, weights.shape[1], *plane)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("task", NETWORKS)
def test_the_logits_are_torchs_in_float32_and_nearly_so_in_bf16(task: str, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    network = for_inference(NETWORKS[task]())
    translated, image = OpenVinoNetwork(network), image_for(network, 64, 48)
    with torch.inference_mode():
        expected = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            glance = translated(image)
        logits = translated(image)
        others = translated(torch.rand_like(image))
    assert warnings_in(caplog) == []
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    assert glance.dtype == torch.float32
    assert (glance - expected).abs().max() < 0.1 * expected.abs().max()
    assert not torch.equal(others, logits)  # each result is its own, not the last one's


def test_images_of_another_shape_go_to_the_network_itself() -> None:
    network = for_inference(NETWORKS["hematoma"]())
    translated, wide = OpenVinoNetwork(network), image_for(network, 32, 64)
    with torch.inference_mode():
        translated(image_for(network, 32, 32))
        assert torch.equal(translated(wide), network(wide))


def test_blocks_of_a_volume_are_translated_too(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    network, volume = for_inference(SelfAttentionUNet(3, 1, 1, (4, 8))), MetaTensor(torch.rand(1, 1, 24, 16, 20))
    inferer = SlidingWindowInferer((16, 16, 16), overlap=0.25)
    with torch.inference_mode():
        expected, found = (inferer(volume, asked) for asked in (network, OpenVinoNetwork(network)))
    assert warnings_in(caplog) == []
    torch.testing.assert_close(found.as_tensor(), expected.as_tensor(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reason", ["its logits would be others", "no such operation"])
def test_torch_runs_what_openvino_cannot_and_the_user_is_told(
    reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rightly = openvino_network._translated

    def wrongly(_: torch.nn.Module, image: torch.Tensor) -> object:
        if reason == "no such operation":
            raise ValueError(f"{reason}\nmuch more")
        return rightly(torch.nn.Conv2d(3, 1, 3, padding=1), image)

    monkeypatch.setattr(openvino_network, "_translated", wrongly)
    network = for_inference(NETWORKS["hematoma"]())
    translated, image = OpenVinoNetwork(network), image_for(network, 32, 32)
    with torch.inference_mode():
        for _ in range(2):
            assert torch.equal(translated(image), network(image))
    told = f"OpenVINO does not serve this network ({reason}): torch does; --compile False does not try"
    assert warnings_in(caplog) == [told]


def test_torch_runs_what_takes_openvino_longer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    passes = iter([0.0, 1.0, 2.0, 10.0, 15.0, 17.0])  # 5 s against 2 s, when both are warm
    monkeypatch.setattr(openvino_network, "time", SimpleNamespace(perf_counter=lambda: next(passes)))
    network = for_inference(NETWORKS["hematoma"]())
    translated, image = OpenVinoNetwork(network), image_for(network, 32, 32)
    with torch.inference_mode():
        assert torch.equal(translated(image), network(image))
    reason = "a pass takes 5.0 s, torch's 2.0 s"
    told = f"OpenVINO does not serve this network ({reason}): torch does; --compile False does not try"
    assert warnings_in(caplog) == [told]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="has no such signals")
def test_signals_are_handled_when_a_network_is_gone() -> None:
    """OpenVINO gives signals a stack of its own, and takes that back in another order than it gave it."""
    code = """
import os, signal, torch
from sliceweave.pipelines.openvino_network import OpenVinoNetwork
network, image = OpenVinoNetwork(torch.nn.Conv2d(1, 1, 3).eval()), torch.rand(1, 1, 8, 8)
network(image)
with torch.autocast("cpu", torch.bfloat16):
    network(image)
del network
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "handled\n"


def test_nothing_is_reported_to_anyone(tmp_path: Path) -> None:
    code = """
import sys, torch
from sliceweave.pipelines.openvino_network import OpenVinoNetwork
OpenVinoNetwork(torch.nn.Conv2d(1, 1, 3).eval())(torch.rand(1, 1, 8, 8))
assert "openvino" in sys.modules
print([name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module])
"""
    environment = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert not (tmp_path / "intel").exists()


@pytest.mark.parametrize(
    ("told", "device", "is_installed", "expected"),
    [
        ("auto", "cpu", True, "openvino"),
        ("Auto", "cpu", False, "none"),
        ("auto", "cuda:0", True, "none"),
        ("openvino", "cpu", True, "openvino"),
        (True, "cuda", False, "torch"),
        ("true", "cpu", True, "torch"),
        (False, "cpu", True, "none"),
    ],
)
def test_what_runs_the_network(
    told: object, device: str, is_installed: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sliceweave.pipelines.acceleration.has_openvino", lambda: is_installed)
    assert chosen_compiler(told, device) == expected


@pytest.mark.parametrize(
    ("told", "device", "reason"),
    [
        ("maybe", "cpu", "--compile is auto, openvino, True or False, got 'maybe'"),
        (None, "cpu", "--compile is auto, openvino, True or False, got None"),
        ("openvino", "cuda:1", "--compile openvino is for processors, the device is cuda: add --device cpu"),
    ],
)
def test_anything_else_is_refused(told: object, device: str, reason: str) -> None:
    with pytest.raises(InputError, match=f"^{reason}$"):
        chosen_compiler(told, device)


def test_where_openvino_is_not_installed_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_network, "has_openvino", lambda: False)
    with pytest.raises(
        InputError, match=r'^--compile openvino: .* not installed: pip install "sliceweave\[openvino\]"$'
    ):
        for_inference(torch.nn.Identity(), compile="openvino")
