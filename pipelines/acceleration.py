"""A network made fast for inference on the machine at hand: what its processor has, found when the run begins."""

import ctypes
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.folding import fold_batch_norms
from sliceweave.pipelines.openvino_network import OpenVinoNetwork, has_openvino
from sliceweave.pipelines.options import yes_or_no

logger = logging.getLogger(__name__)

_BF16_UNITS = ("avx512_bf16", "amx_bf16")
_SLICES_ON_GPU = 8
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT_BYTES = 1 << 29
_LARGEST_KEPT = (1 << 26, 1 << 25)  # C libraries before 2.35 refuse the first


def use_bf16(value: Any, device: torch.device | str = "cpu") -> bool:
    """Whether to compute in bf16 what may be: as told, or with `auto` where the device was made for it.

    Elsewhere bf16 is emulated, and slower than float32; who asks for it on such a processor is told so.

    Raises:
        InputError: none of auto, true and false.
    """
    if str(value).lower() == "auto":
        kind = torch.device(device).type
        return _has_bf16_units() if kind == "cpu" else kind == "cuda" and torch.cuda.is_bf16_supported(False)
    try:
        is_wanted = yes_or_no(value, "bf16")
    except InputError as error:
        raise InputError(f"--bf16 is auto, True or False, got {value!r}") from error
    if is_wanted and torch.device(device).type == "cpu" and not _has_bf16_units():
        logger.warning("--bf16 True: this processor has no bf16 and is far slower with it; --bf16 auto asks it first")
    return is_wanted


def slices_a_batch(device: torch.device | str) -> int:
    """How many slices a network gets at once: one on a processor, whose caches hold no more, several on a GPU."""
    return 1 if torch.device(device).type == "cpu" else _SLICES_ON_GPU


def _has_bf16_units() -> bool:
    """Of the processor; False where torch (before 2.10) cannot tell."""
    found: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(found.get(unit, False) for unit in _BF16_UNITS)


def for_inference(
    network: torch.nn.Module, device: torch.device | str = "cpu", compile: Any = False
) -> torch.nn.Module:
    """The network in evaluation mode, changed in place so that it gives the same logits, but for rounding, sooner.

    Batch normalisation goes into the convolutions before it. Channels come last where that layout serves.

    Args:
        compile: `openvino`: run by OpenVINO, which pays from some studies; `auto`: so where it is installed and the
            device a processor; true: compiled by `torch.compile`, once a run, which pays from some thousand slices.

    Raises:
        InputError: `compile` on a machine that cannot, or none of these.
    """
    keep_freed_memory()
    network.eval()
    fold_batch_norms(network)
    if torch.device(device).type in ("cpu", "cuda") and serves_channels_last(network):
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.in_channels == 1:
                layer.register_forward_pre_hook(_channel_last)
    match chosen_compiler(compile, device):
        case "openvino":
            return OpenVinoNetwork(network)
        case "torch":
            return compiled(network)
    return network


def chosen_compiler(value: Any, device: torch.device | str) -> str:
    """`openvino`, `torch` or `none`, as `--compile` and the machine have it.

    Raises:
        InputError: none of auto, openvino, true and false; OpenVINO on anything but a processor.
    """
    told, kind = str(value).lower(), torch.device(device).type
    if told == "openvino" and kind != "cpu":
        raise InputError(f"--compile openvino is for processors, the device is {kind}: add --device cpu")
    if told == "auto":
        told = "openvino" if kind == "cpu" and has_openvino() else "false"
    choices = {"openvino": "openvino", "true": "torch", "false": "none"}
    if told not in choices:
        raise InputError(f"--compile is auto, openvino, True or False, got {value!r}")
    return choices[told]


def _channel_last(_layer: torch.nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """A single channel is first and last at once; said to be last, what is made of it has its channels last too."""
    (maps,) = inputs
    rows, columns = maps.shape[2:]
    return (maps.contiguous().as_strided(maps.shape, (rows * columns, 1, columns, 1)),)


def keep_freed_memory() -> None:
    """Has the C library hold on to the memory of a layer's output for the next one's, from here on in this process.

    By itself glibc returns each array of more than some megabytes to the system, which then has to clear every page of
    the next one: a good part of a training step. Kept are up to 512 MiB, of arrays of up to 64 MiB; larger ones go back
    as before. Elsewhere than in glibc nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        any(mallopt(_M_MMAP_THRESHOLD, size) for size in _LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


@contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """In this thread and those it starts: some processors take a hundred times longer over subnormal numbers."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def compiled(network: torch.nn.Module) -> torch.nn.Module:
    """The network behind `torch.compile`, which translates it when it is first asked.

    Raises:
        InputError: this machine has no compiler that torch can use.
    """
    logger.info("compiling the network: the first slice takes ten seconds or more")
    try:
        torch.compile(torch.nn.Hardtanh())(torch.zeros(8))
    except Exception as error:  # whatever is missing, torch raises what it likes
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"--compile True: torch cannot compile here ({reason[:160]}): install a C++ compiler"
        ) from error
    network.compile()
    return network


def serves_channels_last(network: torch.nn.Module) -> bool:
    """Whether the network is faster with its channels last: in two dimensions, without group normalisation.

    On a processor torch's group normalisation is slower in that layout, and off by up to 1e-3.
    """
    is_flat = all(weights.dim() < 5 for weights in network.parameters())
    return is_flat and not any(isinstance(module, torch.nn.GroupNorm) for module in network.modules())
