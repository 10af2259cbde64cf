"""What the header of one DICOM image says about its slice; the patient's own data are never read, but for the ID."""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, CTImageStorage

from sliceweave.pipelines.bounded_file import BoundedFile
from sliceweave.pipelines.errors import InputError

DAMAGED = (
    BytesLengthException,
    InvalidDicomError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_TAGS = [
    *("SOPClassUID", "Modality", "PatientID", "StudyInstanceUID"),
    *("SeriesDescription", "SeriesInstanceUID", "SeriesNumber"),
    *("InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
]


_LARGEST_RESCALE = 1e9
_MOST_BITS = 64


@dataclass(frozen=True, slots=True)
class PixelCoding:
    """How the stored numbers of a slice become values: bits, the line slope · stored + intercept, and padding.

    Attributes:
        frames, samples, photometric: 1, 1 and MONOCHROME2 for a plain grey slice.
        padding: lowest and highest stored number that stand for no measurement; None where there are none.
    """

    is_ct: bool
    frames: int
    samples: int
    photometric: str
    bits_stored: int
    is_signed: bool
    slope: float
    intercept: float
    has_table: bool
    padding: tuple[int, int] | None

    def stored_range(self) -> tuple[int, int]:
        """The lowest and highest number that the stored bits can hold."""
        half = 1 << (self.bits_stored - 1)
        return (-half, half - 1) if self.is_signed else (0, 2 * half - 1)


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """One slice: what series it is of, where it lies (LPS mm, as DICOM has it), and how its pixels are coded.

    Attributes:
        size: rows and columns.
        position_mm: centre of the first pixel.
        directions: of a row (to the next column), then of a column (to the next row).
        pixel_mm: distance of rows, then distance of columns, in DICOM's order.
    """

    path: Path
    series_uid: str
    series_number: int | None
    modality: str
    description: str
    instance: int | None
    patient_id: str = field(repr=False)
    study_uid: str = field(repr=False)
    size: tuple[int, int]
    position_mm: tuple[float, ...] | None
    directions: tuple[float, ...] | None
    pixel_mm: tuple[float, ...] | None
    thickness_mm: float | None
    coding: PixelCoding


def read_header(path: Path) -> SliceHeader | None:
    """The header of an image; None for an object that is no image: a directory, report, plan, dose, segmentation.

    Raises:
        InputError: damaged, or an entry that is not what DICOM wants; the file's name leads the message.
    """
    try:
        with BoundedFile(path) as file:
            dataset = dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        return _header(path, dataset) if _is_image(dataset) else None
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    except OSError as error:
        raise InputError(f"{path.name}: expected a file that can be read, got: {error.strerror or error}") from error
    except DAMAGED as error:
        raise InputError(damaged(path, error)) from error


def damaged(path: Path, error: Exception) -> str:
    """The line for a DICOM file that cannot be read, with its cause."""
    cause = " ".join(str(error).split()) or type(error).__name__
    return f"{path.name}: expected a whole DICOM image, got one cut short or damaged ({cause}); copy it again"


def _is_image(dataset: Dataset) -> bool:
    """Whether it holds, or by its kind should hold, pixels of a scan.

    Raises:
        InputError: the kind is that of an image, but the header does not say the size; or it is no DICOM.
    """
    kind = UID(str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or ""))
    is_known = kind.name != kind
    if not kind and "Rows" not in dataset:
        raise InputError("expected a DICOM object, got none that can be recognised; copy it again, or take it away")
    if is_known and "Image Storage" not in kind.name:
        return False
    if is_known and "Rows" not in dataset:
        raise InputError(f"expected an image ({kind.name}), got a header without Rows: cut short; copy it again")
    return "Rows" in dataset


def _header(path: Path, dataset: Dataset) -> SliceHeader:
    return SliceHeader(
        path,
        series_uid=_text(dataset, "SeriesInstanceUID"),
        series_number=_integer(dataset, "SeriesNumber"),
        modality=_text(dataset, "Modality"),
        description=_text(dataset, "SeriesDescription"),
        instance=_integer(dataset, "InstanceNumber"),
        patient_id=_text(dataset, "PatientID"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        size=(_integer(dataset, "Rows") or 0, _integer(dataset, "Columns") or 0),
        position_mm=_numbers(dataset, "ImagePositionPatient", 3),
        directions=_numbers(dataset, "ImageOrientationPatient", 6),
        pixel_mm=_numbers(dataset, "PixelSpacing", 2),
        thickness_mm=_number(dataset, "SliceThickness"),
        coding=_coding(dataset),
    )


def _coding(dataset: Dataset) -> PixelCoding:
    bits = _bits(dataset, "BitsAllocated") or 16
    slope, intercept = _rescale(dataset, "RescaleSlope"), _rescale(dataset, "RescaleIntercept")
    return PixelCoding(
        is_ct=(_text(dataset, "Modality") or dataset.get("SOPClassUID")) in ("CT", CTImageStorage),
        frames=_integer(dataset, "NumberOfFrames") or 1,
        samples=_integer(dataset, "SamplesPerPixel") or 1,
        photometric=_text(dataset, "PhotometricInterpretation") or "MONOCHROME2",
        bits_stored=_bits(dataset, "BitsStored") or bits,
        is_signed=_integer(dataset, "PixelRepresentation") == 1,
        slope=1.0 if slope is None else slope,
        intercept=intercept or 0.0,
        has_table="ModalityLUTSequence" in dataset,
        padding=_padding(dataset, bits),
    )


def _bits(dataset: Dataset, keyword: str) -> int | None:
    number = _integer(dataset, keyword)
    if number is not None and not 0 <= number <= _MOST_BITS:
        raise InputError(f"expected at most {_MOST_BITS} {keyword}, got {number}; repair the header")
    return number


def _rescale(dataset: Dataset, keyword: str) -> float | None:
    number = _number(dataset, keyword)
    if number is not None and abs(number) > _LARGEST_RESCALE:
        raise InputError(f"expected a {keyword} that gives values of a scan, got {number:g}; repair the header")
    return number


def _padding(dataset: Dataset, bits: int) -> tuple[int, int] | None:
    first, last = (_integer(dataset, f"PixelPadding{end}") for end in ("Value", "RangeLimit"))
    if first is None:
        return None
    ends = [_as_stored(end, dataset, bits) for end in (first, first if last is None else last)]
    return min(ends), max(ends)


def _as_stored(value: int, dataset: Dataset, bits: int) -> int:
    """Many headers give -2000 as 63536, or the reverse: the same bits, read with the pixels' sign."""
    unsigned = value % (1 << bits)
    is_negative = _integer(dataset, "PixelRepresentation") == 1 and unsigned >> (bits - 1)
    return unsigned - (1 << bits) if is_negative else unsigned


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _integer(dataset: Dataset, keyword: str) -> int | None:
    number = _number(dataset, keyword)
    return None if number is None else int(number)


def _number(dataset: Dataset, keyword: str) -> float | None:
    numbers = _numbers(dataset, keyword, 1)
    return None if numbers is None else numbers[0]


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """The numbers of an entry; None where it is absent or empty."""
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return None
        values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
        numbers = tuple(float(number) for number in values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"expected numbers in {keyword}, got: {error}; repair the header") from error
    if len(numbers) not in (0, count) or not all(abs(number) < float("inf") for number in numbers):
        raise InputError(f"expected {count} finite numbers in {keyword}, got {list(numbers)}; repair the header")
    return numbers or None
