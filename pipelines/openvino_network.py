"""A network run by OpenVINO, which takes less time over it on a processor than torch does."""

import importlib.util
import logging
import sys
import time
import warnings
from functools import cache
from typing import Any

import torch

from sliceweave.pipelines.errors import InputError

logger = logging.getLogger(__name__)

_SLOW_S = 1.0  # a pass below is not worth comparing
_CLOSE = 1e-3  # of logits in float32; a translation that is right is off by some 1e-6 of the largest


def has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


class OpenVinoNetwork(torch.nn.Module):
    """Logits of another network on a processor: `(B, C, *S)` → `(B, K, *S)`, in bf16 under autocast, else in float32.

    The network is translated for the shape that is asked first, which takes a second or two; images of any other shape
    go to the network itself. So do all, and a warning says so, if it cannot be translated, or if the translation gives
    other logits or takes twice as long, and more than a second: both are asked about the first image, and about noise.

    Args:
        network: in evaluation mode.

    Raises:
        InputError: OpenVINO is not installed.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        if not has_openvino():
            raise InputError('--compile openvino: OpenVINO is not installed: pip install "sliceweave[openvino]"')
        self.network = network
        self.shape: torch.Size | None = None
        self._model: Any = None
        self._requests: dict[bool, Any] = {}

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.shape is None:
            self.shape = image.shape
            self._translate(image)
        if self._model is None or image.shape != self.shape:
            return self.network(image)
        return self._asked(image, is_bf16=torch.is_autocast_enabled("cpu"))

    def _translate(self, image: torch.Tensor) -> None:
        logger.info("translating the network for OpenVINO")
        reason = ""
        with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
            noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
            try:
                self._model = _translated(self.network, noise)
                for one in (image.clone(), noise):
                    began = time.perf_counter()
                    found, asked = self._asked(one), time.perf_counter()
                    expected, ended = self.network(one), time.perf_counter()
                    if not _is_close(found, expected):
                        reason = "its logits would be others"
                if asked - began > max(_SLOW_S, 2 * (ended - asked)):
                    reason = reason or f"a pass takes {asked - began:.1f} s, torch's {ended - asked:.1f} s"
            except Exception as error:  # whatever it cannot do, OpenVINO raises what it likes
                reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:160]
        if reason:
            self._model = None
            logger.warning(
                "OpenVINO does not serve this network (%s): torch does; --compile False does not try", reason
            )

    def _asked(self, image: torch.Tensor, is_bf16: bool = False) -> torch.Tensor:
        if is_bf16 not in self._requests:
            self._requests[is_bf16] = _request(self._model, is_bf16)
        logits = self._requests[is_bf16].infer([image.contiguous().numpy()])[0]
        return torch.from_numpy(logits.copy())  # the next image's are written over these


def _translated(network: torch.nn.Module, image: torch.Tensor) -> Any:
    """OpenVINO's model of a network at this shape."""
    _keep_silent()
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes, which are the same in every image, and of tracing's age
        traced = TorchScriptPythonDecoder(network, example_input=image, trace_kwargs={"check_trace": False})
    reader = FrontEndManager().load_by_framework("pytorch")
    model = reader.convert(reader.load(traced))
    model.reshape(list(image.shape))
    return model


@cache
def _core() -> Any:
    """One for all networks, and for good: when two have gone, signals find no stack for their handlers."""
    from openvino import Core

    return Core()


def _request(model: Any, is_bf16: bool) -> Any:
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if is_bf16 else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    return _core().compile_model(model, "CPU", settings).create_infer_request()


def _keep_silent() -> None:
    """OpenVINO reports over the network that it was imported, and writes an id into the home folder, unless the package
    that does so cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def _is_close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found, expected, rtol=_CLOSE, atol=_CLOSE)
