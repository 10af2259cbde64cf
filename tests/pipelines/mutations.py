"""Damaged inputs, drawn by hypothesis: what is done to a good file, and the file it makes."""

import gzip
import io
import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from hypothesis import strategies as st
from miniature_dicom import Miniature, datasets, tilted_miniature
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.uid import CTImageStorage

SHAPE = (7, 6, 5)
AFFINE_RAS = np.array([[-0.7, 0, 0, 20], [0, 0.6, -1.5, -30], [0, 0.2, 4.5, 10], [0, 0, 0, 1]])
ODD_NUMBERS = (0.0, -0.0, 1.0, -1.0, 2.0, 1e-9, 1e9, 1e38, -1e38, np.inf, -np.inf, np.nan, 32767.0, -32768.0, 0.5)
ODD_TEXTS = ("", " ", "0", "-1", "1e400", "nan", "inf", "1\\2", "1\\2\\3", "abc", "1e-30", "99999999999999999999", "\\")
_BOMB_BYTES = 300 << 20

Bytes = Callable[[bytes], bytes]


class NiftiInput(NamedTuple):
    """A damaged NIfTI file and what it is called."""

    name: str
    content: bytes


def nifti_inputs() -> st.SearchStrategy[NiftiInput]:
    """Files of one volume with odd header fields, wrong bytes, cut or lengthened, plain or compressed."""
    edits = st.lists(st.one_of(_field_edits(), _field_edits(), _byte_edits(), _lengths()), max_size=3)
    return st.builds(_nifti, st.sampled_from((1, 2)), st.sampled_from("<>"), edits, _packings())


def _nifti(version: int, endianness: str, edits: list[Bytes], packing: tuple[str, Bytes]) -> NiftiInput:
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    header = kind.header_class(endianness=endianness)
    header.set_xyzt_units("mm")
    image = kind(np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE), AFFINE_RAS, header)
    image.set_sform(AFFINE_RAS, 1)
    content = image.to_bytes()
    for edit in edits:
        content = edit(content)
    suffix, packed = packing
    return NiftiInput(f"scan{suffix}", packed(content))


@st.composite
def _field_edits(draw: st.DrawFn) -> Bytes:
    names = [name for name in nib.Nifti2Header() if name not in ("sizeof_hdr", "magic")]
    name, number = draw(st.sampled_from(names)), draw(st.sampled_from(ODD_NUMBERS))
    at = draw(st.integers(0, 7))
    return lambda content: _with_field(content, name, number, at)


def _with_field(content: bytes, name: str, number: float, at: int) -> bytes:
    """The file with an odd number in one place of one field; as it is where it has no such field any more."""
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        for endianness in "<>":
            header = kind(content[: kind.sizeof_hdr], endianness, check=False) if len(content) > 540 else None
            if header is None or header["sizeof_hdr"] != kind.sizeof_hdr or name not in header:
                continue
            field = header._structarr[name]
            with np.errstate(all="ignore"):
                if field.dtype.kind in "iuf" and field.ndim:
                    field[at % len(field)] = _as(number, field.dtype)
                elif field.dtype.kind in "iuf":
                    header._structarr[name] = _as(number, field.dtype)
            return header.binaryblock + content[kind.sizeof_hdr :]
    return content


def _as(number: float, dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "f":
        return np.float64(number).astype(dtype)
    limits = np.iinfo(dtype)
    return 0 if np.isnan(number) else int(min(max(number, limits.min), limits.max))


@st.composite
def _byte_edits(draw: st.DrawFn) -> Bytes:
    edits = draw(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))

    def changed(content: bytes) -> bytes:
        whole = bytearray(content)
        for at, value in edits:
            if whole:
                whole[int(at * min(len(whole), 600))] = value
        return bytes(whole)

    return changed


@st.composite
def _lengths(draw: st.DrawFn) -> Bytes:
    share, junk = draw(st.floats(0, 1.0)), draw(st.binary(max_size=300))
    return lambda content: content[: int(share * len(content))] + junk


def _packings() -> st.SearchStrategy[tuple[str, Bytes]]:
    plain = st.sampled_from(
        [(".nii", _plain), (".nii.gz", _plain), (".nii.gz", gzip.compress), (".nii", gzip.compress)]
    )
    harmed = st.builds(
        lambda edit: (".nii.gz", lambda content: edit(gzip.compress(content))), st.one_of(_lengths(), _byte_edits())
    )
    return st.integers(0, 99).flatmap(lambda n: st.just((".nii.gz", bomb)) if n == 0 else harmed if n < 20 else plain)


def _plain(content: bytes) -> bytes:
    return content


def bomb(content: bytes) -> bytes:
    """The file with far more behind its voxels than it says, in few bytes: 300 MB in a third of one."""
    return gzip.compress(content) + _packed_zeros()


@cache
def _packed_zeros() -> bytes:
    return gzip.compress(bytes(_BOMB_BYTES))


class DicomInput(NamedTuple):
    """The files of a damaged series."""

    contents: list[bytes]


_TAGS = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "InstanceNumber"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("RescaleSlope", "RescaleIntercept", "PhotometricInterpretation", "SeriesInstanceUID", "SOPClassUID", "Modality"),
)
_INTEGERS = frozenset(
    ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
)


def dicom_inputs() -> st.SearchStrategy[DicomInput]:
    """Small series whose slices lack entries, have odd ones, come twice, or are cut or otherwise harmed."""
    edit = st.tuples(st.integers(0, 3), st.one_of(_entries(), _entries(), _gone()))
    harm = st.tuples(st.integers(0, 3), st.one_of(_lengths(), _byte_edits(), st.just(None)))
    return st.builds(_dicom, st.lists(edit, max_size=3), st.lists(harm, max_size=2))


@st.composite
def _entries(draw: st.DrawFn) -> Callable[[Dataset], None]:
    tag = draw(st.sampled_from(_TAGS))
    number, text = draw(st.sampled_from((0, 1, 2, 3, 8, 11, 16, 32, 65535))), draw(st.sampled_from(ODD_TEXTS))
    return lambda dataset: dataset.__setitem__(tag, _element(tag, number if tag in _INTEGERS else text))


def _element(tag: str, value: int | str) -> Any:
    return DataElement(tag, "US" if isinstance(value, int) else "LO", value)


@st.composite
def _gone(draw: st.DrawFn) -> Callable[[Dataset], None]:
    tag = draw(st.sampled_from(_TAGS))
    return lambda dataset: dataset.__delitem__(tag) if tag in dataset else None


def tilted_series() -> Miniature:
    """The series before any damage."""
    return tilted_miniature((5.0, 5.0, 5.0))


def _dicom(edits: list[tuple[int, Callable[[Dataset], None]]], harms: list[tuple[int, Bytes | None]]) -> DicomInput:
    slices = datasets(tilted_series())
    for at, edit in edits:
        edit(slices[at])
    contents = [_bytes_of(dataset) for dataset in slices]
    for at, harm in harms:
        contents.append(contents[at]) if harm is None else contents.__setitem__(at, harm(contents[at]))
    return DicomInput(contents)


def _bytes_of(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"  # told, for what else would tell may be gone
    dataset.preamble = bytes(128)
    dataset.save_as(buffer, enforce_file_format=False)  # which would refuse to write what is to be refused when read
    return buffer.getvalue()


def json_inputs(good: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """LabelMe files with odd values anywhere, entries gone, or harmed as text."""
    odd = st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from(ODD_NUMBERS),
        st.integers(-(10**30), 10**30),
        st.sampled_from(
            (*ODD_TEXTS, "../../secret.png", "/etc/passwd", "C:\\x.png", "\0", "a" * 5000, "circle", "\ud800")
        ),
        st.lists(st.lists(st.sampled_from(ODD_NUMBERS), max_size=3), max_size=4),
        st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    )
    edits = st.lists(st.tuples(st.integers(0, 40), st.one_of(st.just(...), odd)), max_size=3)
    harm = st.one_of(st.just(_plain), st.just(_plain), st.just(_plain), _lengths(), _byte_edits())
    return st.builds(lambda changes, harmed: harmed(_json(good, changes)), edits, harm)


def _json(good: dict[str, Any], edits: list[tuple[int, Any]]) -> bytes:
    content = json.loads(json.dumps(good))
    for at, value in edits:
        places = _places(content)
        holder, key = places[at % len(places)]
        if value is ...:
            del holder[key]
        else:
            holder[key] = value
    return json.dumps(content).encode()


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every entry of nested objects and lists, as its holder and its key."""
    keys = list(content) if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    return [place for key in keys for place in [(content, key), *_places(content[key])]] or [({"": 0}, "")]


def csv_inputs() -> st.SearchStrategy[bytes]:
    """Manifests with odd ids and paths, missing columns, broken quotes, other encodings."""
    cell = st.one_of(
        st.text(max_size=8),
        st.sampled_from(
            ("scan.nii", "../scan.nii", "/etc/passwd", "=1+1", "con", ".", "..", "a/b", "a\0b", "~root/x", "'")
        ),
        st.text(st.sampled_from("\",\n\r'=;\t"), max_size=4),
    )
    good = ("study_id,image", "study_id,image,label", "STUDY_ID, image")
    header = st.sampled_from((*good, *good, "id,image", "", "study_id;image"))
    pair = st.tuples(
        st.text("abc019._-", min_size=1, max_size=6), st.sampled_from(("a.nii", "sub/b.nii.gz", "../c.nrrd"))
    )
    rows = st.lists(st.one_of(pair, pair, pair, st.lists(cell, max_size=4)), max_size=6)
    harm = st.one_of(st.just(_plain), st.just(_plain), st.just(_plain), _lengths(), _byte_edits())
    coding = st.sampled_from(("utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))
    return st.builds(_csv, header, rows, coding, harm)


def _csv(header: str, rows: list[Sequence[str]], coding: str, harm: Bytes) -> bytes:
    text = "\n".join([header, *(",".join(row) for row in rows)]) + "\n"
    return harm(text.encode(coding, "replace"))
