"""Who trains, who validates, who tests: patients drawn by seed, nothing of one patient on two sides."""

import hashlib
import math
from collections.abc import Iterable, Mapping

from sliceweave.pipelines.errors import InputError

SPLITS = ("training", "validation", "test")


def draw_splits(
    patients: Iterable[str], settled: Mapping[str, str], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """The split of every patient: as settled, or drawn so that the whole comes nearest to the shares.

    Each split with a share above zero gets a patient if there are enough. Who is drawn first depends on the seed and
    the patient alone, so the same patients always land on the same sides, and those settled stay where they were.
    """
    everyone = sorted({*patients, *settled})
    wanted = _counts(len(everyone), shares)
    for split in settled.values():
        wanted[split] -= 1
    splits = dict(settled)
    for patient in sorted(set(everyone) - set(settled), key=lambda name: _draw(name, seed)):
        split = max(SPLITS, key=lambda name: wanted[name])
        splits[patient] = split
        wanted[split] -= 1
    return splits


def parse_shares(text: str) -> dict[str, float]:
    """`8:1:1` as the shares of training, validation and test.

    Raises:
        InputError: not three numbers of zero or more with a training share above zero.
    """
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) != len(SPLITS) or not all(0 <= number < math.inf for number in numbers) or not numbers[0]:
        raise InputError(f"--split is training:validation:test such as 8:1:1, got '{text}'")
    return dict(zip(SPLITS, numbers, strict=True))


def _counts(patients: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Patients of each split: the rounded share, at least one, and the rest for training."""
    total = sum(shares.values())
    counts = dict.fromkeys(SPLITS, 0)
    left = patients - 1
    for split in SPLITS[1:]:
        if shares[split]:
            counts[split] = min(max(1, round(patients * shares[split] / total)), max(left, 0))
            left -= counts[split]
    counts[SPLITS[0]] = patients - sum(counts.values())
    return counts


def _draw(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{patient}".encode("utf-8", "backslashreplace")).digest()
