"""Values from a command line, checked where a run begins: a bundle's options arrive as whatever was typed."""

import math
from collections.abc import Sequence
from typing import Any

from sliceweave.pipelines.errors import InputError


def yes_or_no(value: Any, name: str) -> bool:
    """True or False, also as text: `--resume false` arrives as the text `false`, which Python takes for true.

    Raises:
        InputError: anything else.
    """
    answer = {"true": True, "false": False}.get(str(value).lower())
    if answer is None:
        raise InputError(f"--{name} is True or False, got {value!r}")
    return answer


def probability(value: Any) -> float:
    """A threshold on probabilities.

    Raises:
        InputError: not a number between 0 and 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise InputError(f"--threshold is a probability between 0 and 1, got {value!r}")
    return float(value)


def not_given(value: Any, name: str) -> None:
    """Nothing, in the place of an option that a task does not have.

    Raises:
        InputError: the option was given.
    """
    if value is not None:
        raise InputError(f"--{name} means nothing in this task: leave it out; got {value!r}")


def amount(value: Any, name: str) -> float:
    """A size that may be 0.

    Raises:
        InputError: not a finite number from 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(f"--{name} is a number from 0, got {value!r}")
    return float(value)


def intensity_window(value: Any, name: str) -> tuple[float, float] | None:
    """Two rising numbers, as a pair or as the text `LOW,HIGH`; None where nothing was given.

    Raises:
        InputError: anything else.
    """
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value
    try:
        low, high = (float(part) for part in parts if not isinstance(part, bool))
    except (TypeError, ValueError):
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise InputError(f"--{name} is LOW,HIGH in HU, such as -20,100 for a brain window; got {value!r}")
    return low, high


def in_plane_size(plane_size: Any) -> list[int]:
    """The size to bring slices to, with -1 for the axis along which they are stacked: it stays as it is.

    Raises:
        InputError: not two whole numbers of pixels.
    """
    is_pair = isinstance(plane_size, Sequence) and len(plane_size) == 2
    if not is_pair or not all(isinstance(side, int) and side > 0 for side in plane_size):
        raise InputError(f'--plane_size is two numbers of pixels, like "[256,256]", got {plane_size!r}')
    return [*plane_size, -1]


def check_schedule(epochs: Any, batch_size: Any, val_interval: Any) -> None:
    """That a training can begin and will keep weights: those of a validation.

    Raises:
        InputError: not positive whole numbers, or no validation before the last epoch is over.
    """
    for name, value in {"epochs": epochs, "batch_size": batch_size, "val_interval": val_interval}.items():
        whole_number(value, name)
    if val_interval > epochs:
        raise InputError(f"--val_interval is at most --epochs ({epochs}), else no weights are kept; got {val_interval}")


def whole_number(value: Any, name: str, odd: bool = False, least: int = 1) -> int:
    """A whole number from `least`, odd if it has to be.

    Raises:
        InputError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (odd and value % 2 == 0):
        raise InputError(f"--{name} is {'an odd' if odd else 'a'} whole number from {least}, got {value!r}")
    return value


def share_of_one(value: Any, name: str) -> float:
    """A share, 0 and 1 included.

    Raises:
        InputError: not a number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"--{name} is a share from 0 to 1, got {value!r}")
    return float(value)
