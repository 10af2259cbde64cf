"""Damaged inputs: each is read right or refused in one line, soon, and without much memory.

Some hundred in the suite; `make soak` tries ten thousand (`SLICEWEAVE_SOAK`, inputs of each kind).
"""

import gzip
import io
import os
import signal
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from miniature_pictures import COLUMNS, ROWS, corners, labelme, random_grey, shape, write_json, write_picture
from mutations import (
    DicomInput,
    NiftiInput,
    bomb,
    csv_inputs,
    dicom_inputs,
    json_inputs,
    nifti_inputs,
    tilted_series,
)
from numpy.typing import NDArray
from pydicom import dcmread

from sliceweave.pipelines.cases import Case, PrepareOptions, SourceFiles
from sliceweave.pipelines.dicom_series import find_dicom
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.label_maps import read_label_map
from sliceweave.pipelines.labelme_studies import find_labelme_ct
from sliceweave.pipelines.nifti_headers import raw_header
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.studies import file_stem, find_studies

INPUTS = int(os.environ.get("SLICEWEAVE_SOAK", "80"))
MOST_SECONDS = 10  # of processor time, for one input of a few kilobytes
MOST_BYTES = 128 << 20
BYTES_PER_BYTE = 5000  # a compressed file of zeros grows by 1032, times the four bytes of a float

fuzzed = settings(
    max_examples=INPUTS,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)


@pytest.fixture(scope="module", autouse=True)
def tally(request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """What became of the inputs; printed at the end, with -s."""
    counts: Counter[str] = Counter()
    yield counts
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        if "SLICEWEAVE_SOAK" in os.environ:
            print(f"\n{sum(counts.values())} inputs: {', '.join(f'{n} {what}' for what, n in sorted(counts.items()))}")


@contextmanager
def bounded(size_bytes: int) -> Iterator[None]:
    """Fails where what is done inside takes too long, or too much memory for a file of such a size."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {MOST_SECONDS} s for one input")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
    tracemalloc.start(1)
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        tracemalloc.stop()
        signal.signal(signal.SIGPROF, before)
    assert peak < MOST_BYTES + BYTES_PER_BYTE * size_bytes


def outcome_of(kind: str, act: Callable[[], None], tally: Counter[str]) -> None:
    """Counts whether it was read or refused; anything but an InputError goes through."""
    message = None
    try:
        act()
    except InputError as error:
        message = str(error)
    assert "\n" not in (message or "")
    tally[f"{kind} {'refused' if message else 'read'}"] += 1


def check_spacing(geometry: Geometry) -> None:
    assert geometry.spacing_mm.min() >= 0.05
    assert geometry.spacing_mm.max() <= 30
    assert np.isfinite(geometry.voxel_ml)


def check_as_nibabel(path: Path) -> None:
    """Reads it as scan; where that works, nibabel reads the same grid and the same numbers."""
    scan, content = read_scan(path), path.read_bytes()
    is_packed = content[:2] == b"\x1f\x8b"
    plain = path.with_name("plain.nii")
    plain.write_bytes(_behind_the_header(gzip.decompress(content) if is_packed else content))
    image = nib.load(plain)
    np.testing.assert_array_equal(scan.geometry.affine_ras, image.affine)
    assert (*image.shape, 1, 1)[:3] == scan.geometry.shape
    assert np.prod(scan.geometry.shape) == np.prod(image.shape)
    with np.errstate(all="ignore"):
        expected = np.asarray(image.dataobj).astype(np.float32).reshape(scan.geometry.shape)
    np.testing.assert_allclose(scan.voxels, expected, rtol=1e-5, atol=1e-5)
    check_spacing(scan.geometry)


def _behind_the_header(content: bytes) -> bytes:
    """The file with the offset that 0 stands for: with 0 nibabel takes the header itself for voxels."""
    header = raw_header(content[: nib.Nifti2Header.sizeof_hdr])
    if 0 <= float(header["vox_offset"]) < 1:
        header["vox_offset"] = type(header).single_vox_offset
    return header.binaryblock + content[header.sizeof_hdr :]


@fuzzed
@given(nifti_inputs())
def test_a_damaged_nifti_is_refused_or_read_as_nibabel_reads_it(
    tmp_path_factory: pytest.TempPathFactory, tally: Counter[str], damaged: NiftiInput
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz" / damaged.name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(damaged.content)
    with bounded(len(damaged.content)):
        outcome_of("NIfTI", lambda: check_as_nibabel(path), tally)
        outcome_of("mask", lambda: check_spacing(read_label_map(path).geometry), Counter())


def consume(cases: list[Case], check: Callable[[Case], None]) -> None:
    if not cases:
        raise InputError("no cases")
    for case in cases:
        check(case)


def origins_said(contents: list[bytes]) -> NDArray[np.float64]:
    """(n, 3) RAS mm: those of the series before the damage, and what the damaged headers say themselves."""
    origins = [tuple(origin) for origin in tilted_series().origins_ras_mm]
    for content in contents:
        with suppress(Exception):
            left, posterior, superior = map(float, dcmread(io.BytesIO(content), force=True).ImagePositionPatient)
            origins.append((-left, -posterior, superior))
    return np.array(origins)


def check_dicom(case: Case, wanted: NDArray[np.float64]) -> None:
    stack = case.image()
    for block in stack.blocks():
        assert np.isfinite(block).all()
    check_spacing(stack.geometry)
    origins_ras_mm = stack.geometry.to_ras_mm([(0, 0, k) for k in range(stack.geometry.shape[2])])
    farthest_mm = [np.linalg.norm(wanted - origin, axis=1).min() for origin in origins_ras_mm]
    assert max(farthest_mm) < 0.01


@fuzzed
@given(dicom_inputs())
def test_a_damaged_series_is_refused_or_lies_where_its_headers_say(
    tmp_path_factory: pytest.TempPathFactory, tally: Counter[str], damaged: DicomInput
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz_dicom"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for number, content in enumerate(damaged.contents):
        (folder / f"{number}.dcm").write_bytes(content)
    with bounded(sum(map(len, damaged.contents))):
        wanted = origins_said(damaged.contents)
        found = partial(find_dicom, SourceFiles(folder), PrepareOptions())
        outcome_of("DICOM", lambda: consume(found(), partial(check_dicom, wanted=wanted)), tally)


@pytest.fixture(scope="module")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz_labelme") / "P01"
    grey = random_grey(2, 3)
    for number in (1, 2):
        write_picture(folder / f"{number}.png", grey[..., number - 1])
        write_json(folder / f"{number}.json", GOOD_ANNOTATION | {"imagePath": f"{number}.png"})
    return folder


GOOD_ANNOTATION = labelme(
    [
        shape(corners(3, 2, 9, 7)),
        shape([[5, 5], [8, 5]], "circle"),
        shape([[2, 3], [6, 9]], "rectangle", group_id=1),
    ],
    "1.png",
)


def check_labelme(case: Case) -> None:
    image, label = case.image(), case.label() if case.label else None
    assert image.geometry.shape[:2] == (COLUMNS, ROWS)
    check_spacing(image.geometry)
    for stack in (image, label):
        for block in stack.blocks() if stack else ():
            assert block.shape[:2] == (COLUMNS, ROWS)


@fuzzed
@given(json_inputs(GOOD_ANNOTATION))
def test_a_damaged_annotation_is_refused_or_a_mask_on_its_picture(
    picture_folder: Path, tally: Counter[str], damaged: bytes
) -> None:
    (picture_folder / "1.json").write_bytes(damaged)
    options = PrepareOptions(pixel_mm=0.5, thickness_mm=5.0, names=("hematoma",))

    def read() -> None:
        consume(find_labelme_ct(SourceFiles(picture_folder.parent), options), check_labelme)

    with bounded(len(damaged)):
        outcome_of("LabelMe", read, tally)


@fuzzed
@given(csv_inputs())
def test_a_damaged_manifest_is_refused_or_names_studies_with_safe_files(
    tmp_path_factory: pytest.TempPathFactory, tally: Counter[str], damaged: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "manifest.csv"
    path.write_bytes(damaged)

    def read() -> None:
        for study in find_studies(path):
            out = path.parent / f"{file_stem(study.study_id)}_mask.nii.gz"
            assert out.parent == path.parent
            assert out.resolve().parent == path.parent.resolve()
            assert len(out.name.encode()) < 255

    with bounded(len(damaged)):
        outcome_of("CSV", read, tally)


def test_a_compressed_file_that_unpacks_to_far_more_than_its_voxels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(bomb(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)).to_bytes()))
    with bounded(path.stat().st_size), pytest.raises(InputError, match="got much more behind them"):
        read_scan(path)


@pytest.mark.parametrize("offset", [1e9, 1e38, np.inf, np.nan])
def test_voxels_that_begin_nowhere_are_refused(tmp_path: Path, offset: float) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))
    header = image.header.copy()
    header["vox_offset"] = offset
    header["magic"] = b"n+1"
    path = tmp_path / "a.nii"
    path.write_bytes(header.binaryblock + image.to_bytes()[348:])
    with pytest.raises(InputError):
        read_scan(path)
