"""Which of several DICOM series in a folder is meant."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydicom is an extra
    from sliceweave.pipelines.dicom_headers import SliceHeader

ALL_SERIES = "all"
_ADVICE = f"pass --series with a number, a part of a description, an UID, or {ALL_SERIES}"


def chosen(series: "Sequence[list[SliceHeader]]", choice: str) -> "list[list[SliceHeader]]":
    """Those with the choice as UID; if none, as number; if none, as part of their description, whatever the case."""
    heads = [(one, one[0]) for one in series]
    by_uid = [one for one, head in heads if head.series_uid == choice]
    by_number = [one for one, head in heads if str(head.series_number) == choice]
    by_text = [one for one, head in heads if choice and choice.lower() in head.description.lower()]
    return by_uid or by_number or by_text


def listing(series: "Sequence[list[SliceHeader]]", choice: str, matches: int) -> str:
    """One line that lists all series, for a choice that is not one of them."""
    got = f"{matches or 'none'} that '{choice}' fits, of {len(series)}" if choice else str(len(series))
    return f"expected one series in the folder, got {got}: {'; '.join(map(_text, series))}; {_ADVICE}"


def descriptions(series: "Sequence[list[SliceHeader]]") -> str:
    """What tells the series apart and may name a patient: for the screen, not for a file."""
    heads = [one[0] for one in series]
    return "; ".join(f"number {head.series_number}: {head.description!r}, UID {head.series_uid}" for head in heads)


def _text(series: "list[SliceHeader]") -> str:
    head = series[0]
    number = "without number" if head.series_number is None else f"number {head.series_number}"
    sizes = sorted({f"{one.size[1]}x{one.size[0]}" for one in series})
    return f"{number} ({len(series)} slice{'s' * (len(series) > 1)} of {' and '.join(sizes)}, {_thickness(series)})"


def _thickness(series: "list[SliceHeader]") -> str:
    thicknesses = sorted({one.thickness_mm for one in series if one.thickness_mm})
    return (
        " to ".join(f"{end:g}" for end in (*thicknesses[:1], *thicknesses[1:][-1:])) + " mm" if thicknesses else "? mm"
    )
