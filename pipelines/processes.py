"""Which of the processes that train together this one is."""

import torch.distributed as dist


def rank() -> int:
    """This process's number from 0; 0 where it trains alone."""
    return dist.get_rank() if _together() else 0


def world_size() -> int:
    """How many processes train together; 1 where this one is alone."""
    return dist.get_world_size() if _together() else 1


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()
