"""V·ReLU(KᵀQ) without ever holding the affinities: block by block, forward and backward."""

import math
from typing import Any

import torch
from torch.nn import functional as F


def rectified_affinity(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Σ_j ReLU(k_j·q_i)·v_j for `(B, D, N)`, `(B, D, M)`, `(B, E, M)` → `(B, E, N)`, in float32 at least.

    The products are computed in bfloat16 where the values are, else in float32 at least: float16 would overflow. A
    scripted network (TorchScript knows no custom gradient) computes the same, but holds the affinities in training.
    """
    if torch.jit.is_scripting():
        return affinity_sums(query, key, value)
    result: torch.Tensor = RectifiedAffinity.apply(query, key, value)  # type: ignore[no-untyped-call]
    return result


def tile_size(x: torch.Tensor) -> int:
    """Pixels a side of a block: on a processor a batch's blocks stay in its cache, other devices want larger ones."""
    affinities = 1 << 19 if x.is_cpu else 1 << 26
    return max(int(math.sqrt(affinities / x.shape[0])), 64)


def affinity_sums(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """`rectified_affinity`, block by block.

    Raises:
        RuntimeError: traced, where so many blocks would be written down that it would take minutes and gigabytes.
    """
    tile = tile_size(query)
    blocks = math.ceil(query.shape[2] / tile) * math.ceil(key.shape[2] / tile)
    most = 128
    if torch.jit.is_tracing() and blocks > most:
        raise RuntimeError(f"{blocks} blocks of affinities are too many to trace, {most} at most")
    wide = torch.promote_types(value.dtype, torch.float32)
    dtype = value.dtype if value.dtype == torch.bfloat16 else wide
    query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    columns = []
    for part in query.split(tile, dim=2):
        sums = torch.zeros([query.shape[0], value.shape[1], part.shape[2]], dtype=wide, device=value.device)
        for j in range(0, key.shape[2], tile):
            cosines = torch.bmm(key[:, :, j : j + tile].transpose(1, 2), part)
            affinity = F.relu(cosines, inplace=not torch.jit.is_tracing())  # OpenVINO loses what is done in place
            sums = sums + torch.bmm(value[:, :, j : j + tile], affinity)
        columns.append(sums)
    return torch.cat(columns, dim=2)


class RectifiedAffinity(torch.autograd.Function):
    """`rectified_affinity` whose gradient computes the blocks of affinities again instead of keeping them."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(query, key, value)
        if not torch.amp.is_autocast_available(query.device.type):
            return affinity_sums(query, key, value)
        with torch.autocast(query.device.type, enabled=False):
            return affinity_sums(query, key, value)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        inputs = ctx.saved_tensors
        query, key, value = (x.to(grad.dtype) for x in inputs)
        grads = [torch.zeros_like(x) for x in (query, key, value)]
        tile = tile_size(query)
        for i in range(0, query.shape[2], tile):
            q, g = query[:, :, i : i + tile], grad[:, :, i : i + tile]
            for j in range(0, key.shape[2], tile):
                k, v = key[:, :, j : j + tile], value[:, :, j : j + tile]
                affinity = torch.bmm(k.transpose(1, 2), q).relu_()
                grad_cosine = torch.bmm(v.transpose(1, 2), g).mul_(affinity > 0)
                grads[0][:, :, i : i + tile] += torch.bmm(k, grad_cosine)
                grads[1][:, :, j : j + tile] += torch.bmm(q, grad_cosine.transpose(1, 2))
                grads[2][:, :, j : j + tile] += torch.bmm(g, affinity.transpose(1, 2))
        return tuple(x.to(original.dtype) for x, original in zip(grads, inputs, strict=True))
