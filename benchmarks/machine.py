"""What a figure was measured on, as benchmarks print it."""

import platform

import torch


def machine_and_torch() -> str:
    return f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
