"""Where a scan comes from, as a mark of ours in its header says; it goes from file to file with the grid."""

import nibabel as nib

REAL = "real"
GENERATED = "generated"
PAINTED = "painted"
SOURCES = (REAL, GENERATED, PAINTED)
_MARKS = {GENERATED: b"sliceweave phantom", PAINTED: b"sliceweave painted"}


def source_of(header: nib.Nifti1Header) -> str:
    """`generated` or `painted` if `descrip` holds our mark; whatever else stands there, the scan is `real`."""
    return _source_in(header["descrip"].item())


def source_in_text(text: str) -> str:
    """The same of the text in which ITK hands `descrip` on to other formats."""
    return _source_in(text.strip().encode(errors="replace"))


def mark(header: nib.Nifti1Header, source: str) -> None:
    """Writes where a scan comes from into its header; of a real one nothing is said."""
    header["descrip"] = _MARKS.get(source, b"")


def _source_in(text: bytes) -> str:
    return next((source for source, known in _MARKS.items() if text == known), REAL)
