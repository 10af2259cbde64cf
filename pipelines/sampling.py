"""Chance in training that can be repeated: which empty samples an epoch has, and in which order samples come."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data.distributed import DistributedSampler

from sliceweave.pipelines.options import amount, whole_number
from sliceweave.pipelines.processes import rank, world_size


@dataclass(frozen=True)
class Draw:
    """What is left to chance in training, and its seed.

    Args:
        empty_share: samples without label per sample with one.
        seed: whole number from 0.

    Raises:
        InputError: a negative share or seed.
    """

    empty_share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        amount(self.empty_share, "empty_share")
        whole_number(self.seed, "seed", least=0)

    def count(self, full: int, empty: int) -> int:
        """How many of the empty samples an epoch has: as many in each."""
        return min(empty, round(self.empty_share * full))

    def picks(self, full: int, empty: int, epoch: int) -> NDArray[np.int64]:
        """Which of the empty samples this epoch has, in order."""
        return np.sort(self.rng(epoch, 0).permutation(empty)[: self.count(full, empty)])

    def rng(self, epoch: int, *keys: int) -> np.random.Generator:
        """Chance that depends on the seed, the epoch and the keys alone."""
        return np.random.default_rng([self.seed, epoch, *keys])


class Epochs(Protocol):
    """A data set whose samples depend on the epoch."""

    def __len__(self) -> int: ...

    def set_epoch(self, epoch: int) -> None:
        """Draws from now on as this epoch does."""


class SeededSampler(DistributedSampler[Any]):
    """Shuffled indices of training samples, the same permutation for any number of processes.

    Each process takes every n-th index, so that n processes with a batch of b see in each step what one process with a
    batch of n·b sees (where the samples do not divide among them, the first are repeated at the end). MONAI's trainer
    calls `set_epoch` before each epoch, a resumed one too; it reaches the data set, and it seeds torch, so that dropout
    too depends on seed, epoch and process alone.

    Args:
        dataset: told of every new epoch.
        seed: as the data set's.
    """

    def __init__(self, dataset: Epochs, seed: int = 0) -> None:
        super().__init__(dataset, world_size(), rank(), shuffle=True, seed=seed)  # type: ignore[arg-type]
        self.samples = dataset

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.samples.set_epoch(epoch)
        torch.manual_seed(int(np.random.SeedSequence([self.seed, epoch, self.rank]).generate_state(1)[0]))
