"""Plain numpy in float64 for the layers that the networks' formulas are rewritten with. A map is `(C, *S)`."""

import itertools

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]


def weights(module: torch.nn.Module) -> dict[str, Array]:
    """Parameters and buffers by name."""
    return {name: value.detach().double().numpy() for name, value in module.state_dict().items()}


def excited(module: torch.nn.Module) -> torch.nn.Module:
    """The module in float64 and evaluation mode, no parameter or statistic left at a neutral 0 or 1."""
    with torch.no_grad():
        for name, value in module.double().eval().state_dict().items():
            if value.dtype == torch.float64:
                value.copy_(torch.rand_like(value) + 0.5 if "var" in name else torch.randn_like(value) * 0.5)
    return module


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def conv(x: Array, w: dict[str, Array], name: str, dilation: int = 1, stride: int = 1, groups: int = 1) -> Array:
    """Zero-padded convolution, by its definition: one shifted product after another."""
    kernel, bias = w[f"{name}.weight"], w.get(f"{name}.bias", np.zeros(len(w[f"{name}.weight"])))
    reach = [dilation * (n // 2) for n in kernel.shape[2:]]
    padded = np.pad(x, [(0, 0), *((r, r) for r in reach)])
    result = np.zeros((len(kernel), *x.shape[1:]))
    per_group = len(kernel) // groups
    for tap in itertools.product(*(range(n) for n in kernel.shape[2:])):
        window = padded[
            (slice(None), *(slice(dilation * t, dilation * t + n) for t, n in zip(tap, x.shape[1:], strict=True)))
        ]
        for group in range(groups):
            own = slice(group * per_group, (group + 1) * per_group)
            taken = window[group * kernel.shape[1] : (group + 1) * kernel.shape[1]]
            result[own] += np.tensordot(kernel[(own, slice(None), *tap)], taken, axes=1)
    result += bias.reshape(-1, *[1] * (x.ndim - 1))
    return result[(slice(None), *[slice(None, None, stride)] * (x.ndim - 1))]


def batch_norm(x: Array, w: dict[str, Array], name: str) -> Array:
    def column(values: Array) -> Array:
        return values.reshape(-1, *[1] * (x.ndim - 1))

    centred = x - column(w[f"{name}.running_mean"])
    scaled = centred / np.sqrt(column(w[f"{name}.running_var"]) + 1e-5)
    return scaled * column(w[f"{name}.weight"]) + column(w[f"{name}.bias"])


def group_norm(x: Array, w: dict[str, Array], name: str, groups: int) -> Array:
    flat = x.reshape(groups, -1)
    normal = ((flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + 1e-5)).reshape(x.shape)
    shape = (-1, *[1] * (x.ndim - 1))
    return normal * w[f"{name}.weight"].reshape(shape) + w[f"{name}.bias"].reshape(shape)


def conv_norm(x: Array, w: dict[str, Array], name: str, **options: int) -> Array:
    """Convolution and batch normalisation of a `conv_norm_act` named `name`."""
    return batch_norm(conv(x, w, f"{name}.conv", **options), w, f"{name}.adn.N")
