"""What is typed after `sliceweave prepare`, checked before anything is read."""

from collections.abc import Container

from sliceweave.pipelines.errors import InputError


def recoding(text: str, labels: Container[int]) -> dict[int, int]:
    """`2=1,1=0` as label by value.

    Args:
        labels: what the task knows, background left out.

    Raises:
        InputError: not pairs of whole numbers, or a label that the task does not have.
    """
    pairs = [pair.split("=") for pair in text.split(",") if pair.strip()]
    try:
        values = {int(value): int(label) for value, label in pairs}
    except ValueError as error:
        raise InputError(f"--recode is VALUE=LABEL,… such as \"2=1,1=0\", got '{text}'") from error
    for label in values.values():
        check_label(label, labels, "--recode")
    return values


def check_label(label: int | None, labels: Container[int], option: str) -> None:
    """Raises InputError where an option names a label that the task does not have."""
    if label and label not in labels:
        raise InputError(f"{option} names the label {label}; the task has 0 and {labels}")


def listed(text: str) -> tuple[str, ...]:
    """`a, b` as its parts."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def slice_indices(text: str) -> tuple[int, ...]:
    """`4,7` as indices of slices; none for `auto`.

    Raises:
        InputError: not whole numbers from 0.
    """
    if text.strip() == "auto":
        return ()
    parts = listed(text)
    if not parts or not all(part.isdecimal() for part in parts):
        raise InputError(f"--slices is auto or INDEX,… such as 4,7, counted from 0, got '{text}'")
    return tuple(map(int, parts))
