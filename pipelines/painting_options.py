"""What is typed after `sliceweave paint --kinds`."""

from sliceweave.pipelines.errors import InputError
from sliceweave.transforms.head_transform import chances_of
from sliceweave.transforms.hematoma import KIND_ODDS, KINDS


def kind_odds(text: str) -> dict[str, float]:
    """`ventricular,subdural=2` as odds by kind; the usual ones for no text.

    Raises:
        InputError: an unknown kind, or odds that are no number above 0.
    """
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    try:
        odds = {kind.strip(): float(share or 1) for kind, _, share in pairs}
        return chances_of(odds or None, KINDS, KIND_ODDS)
    except ValueError as error:
        raise InputError(f"--kinds is KIND[=ODDS],… such as ventricular,subdural=2, got '{text}': {error}") from error
