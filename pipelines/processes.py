"""Which of the processes that train together this one is, and what it trains on."""

import os

import torch
import torch.distributed as dist


def rank() -> int:
    """This process's number from 0; 0 where it trains alone."""
    return dist.get_rank() if _together() else 0


def world_size() -> int:
    """How many processes train together; 1 where this one is alone."""
    return dist.get_world_size() if _together() else 1


def own_device() -> torch.device:
    """The CUDA device of this process among its machine's, as torchrun counts them; without CUDA the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def join(device: torch.device | str) -> None:
    """Makes this process, started by torchrun, one of those that train together: over nccl on CUDA, else over gloo."""
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def share_buffers(network: torch.nn.Module) -> None:
    """Gives every process the first one's buffers: each takes batch norm's statistics of its own batches."""
    if _together():
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
