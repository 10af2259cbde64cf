"""Networks leave a bundle: through the zoo's check of shapes, as TorchScript and as ONNX."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle_runs import FolderOf, config_files, every_bundle
from monai.bundle import ConfigParser, ckpt_export, onnx_export, verify_net_in_out

from sliceweave.pipelines.bundles import bundle_root

PLANE = (1, 32, 48)


def image_for(root: Path) -> torch.Tensor:
    """A batch of one picture of the bundle's channels."""
    parser = ConfigParser()
    parser.read_meta(str(root / "configs/metadata.json"))
    channels = parser["_meta_::network_data_format::inputs::image::num_channels"]
    return torch.rand((1, channels, *PLANE[1:]), generator=torch.Generator().manual_seed(0))


def network_of(task: str, root: Path) -> torch.nn.Module:
    """The network of inference with the bundle's weights, as evaluation runs it."""
    parser = ConfigParser()
    parser.read_config(config_files(task, ["inference"], root))
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(root / "models/model.pt", weights_only=True))
    return network.eval()


def export_arguments(task: str, root: Path, target: Path) -> dict[str, Any]:
    return {
        "net_id": "network_def",
        "filepath": str(target),
        "ckpt_file": str(root / "models/model.pt"),
        "meta_file": str(root / "configs/metadata.json"),
        "config_file": config_files(task, ["inference"], root)[0],
    }


@pytest.mark.parametrize("multiple", [1, 4], ids=["smallest", "larger"])
@every_bundle
def test_the_network_takes_and_gives_what_the_metadata_say(task: str, multiple: int) -> None:
    root = bundle_root(task)
    metadata, config = str(root / "configs/metadata.json"), config_files(task, ["inference"])[0]
    verify_net_in_out("network_def", metadata, config, device="cpu", n=multiple, bundle_root=str(root))


@every_bundle
def test_shipped_weights_export_to_torchscript(task: str, tmp_path: Path) -> None:
    root, target = bundle_root(task), tmp_path / "model.ts"
    ckpt_export(**export_arguments(task, root, target))
    image = image_for(root)
    with torch.inference_mode():
        torch.testing.assert_close(torch.jit.load(target)(image), network_of(task, root)(image))


@pytest.mark.slow
@every_bundle
def test_onnx_runtime_computes_what_torch_does(task: str, own_bundle: FolderOf, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    root, target = own_bundle(task), tmp_path / "model.onnx"
    image = image_for(root)
    onnx_export(**export_arguments(task, root, target), input_shape=list(image.shape))
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.inference_mode():
        expected = network_of(task, root)(image).numpy()
    assert expected.std() > 0.1  # weights that have learned, so that a difference would show
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
