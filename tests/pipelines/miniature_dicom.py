"""Small DICOM series with known voxels and places, and everything real headers do to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from sliceweave.pipelines.cases import SliceStack
from sliceweave.pipelines.dicom_headers import read_header
from sliceweave.pipelines.dicom_stack import open_series

PATIENT_NAME = "Miniature^Never^Surfaces"
BIRTH_DATE = "19010203"
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
SUPINE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


@dataclass(frozen=True, eq=False)
class Miniature:
    """A series of slices in order along their normal.

    Attributes:
        stored: (K, rows, columns) int16 or uint16, the numbers in the files.
        origins_lps_mm: (K, 3) centre of the first pixel of each slice.
        directions: of a row and of a column.
        pixel_mm: distance of rows, distance of columns.
        rescale: slope and intercept of each slice.
    """

    stored: NDArray[np.integer]
    origins_lps_mm: NDArray[np.float64]
    directions: tuple[Sequence[float], Sequence[float]] = SUPINE
    pixel_mm: tuple[float, float] = (0.7, 0.5)
    rescale: tuple[tuple[float, float], ...] = ()
    modality: str = "CT"

    @property
    def origins_ras_mm(self) -> NDArray[np.float64]:
        return self.origins_lps_mm * LPS_TO_RAS

    @property
    def in_plane_ras_mm(self) -> NDArray[np.float64]:
        """(3, 2) steps to the next column and to the next row."""
        row, column = np.array(self.directions) * LPS_TO_RAS
        return np.column_stack([row * self.pixel_mm[1], column * self.pixel_mm[0]])

    @property
    def voxels(self) -> NDArray[np.float64]:
        """(columns, rows, K) rescaled values."""
        slopes, intercepts = np.array(self.lines).T
        return self.stored.T * slopes + intercepts

    @property
    def lines(self) -> tuple[tuple[float, float], ...]:
        return self.rescale or ((1.0, 0.0),) * len(self.stored)


def miniature(gaps_mm: Sequence[float] = (5.0, 5.0, 5.0), step=None, seed: int = 0, **changes) -> Miniature:
    """Random grey values on slices whose perpendicular gaps are given; `step` is the table's direction in LPS."""
    directions = changes.pop("directions", SUPINE)
    normal = np.cross(*directions)
    along = normal if step is None else np.array(step) / (np.array(step) @ normal)
    origins = np.array([-12.5, 31.25, -40.0]) + np.outer(np.append(0, np.cumsum(gaps_mm)), along)
    stored = np.random.default_rng(seed).integers(-1000, 2000, (len(origins), 13, 11), dtype=np.int16)
    return Miniature(changes.pop("stored", stored), origins, directions, **changes)


def tilted_miniature(gaps_mm: Sequence[float], degrees: float = 18.5) -> Miniature:
    """Slices that lean around R while the table moves along S."""
    angle = np.radians(degrees)
    return miniature(gaps_mm, step=(0, 0, 1), directions=((1, 0, 0), (0, np.cos(angle), -np.sin(angle))))


def datasets(series: Miniature, number: int = 2, description: str = "HEAD 5mm", patient_id: str = "") -> list[Dataset]:
    """The slices as data sets that can still be changed, in the order of the miniature."""
    uid, study_uid = generate_uid(), generate_uid()
    made = []
    for index, line in enumerate(series.lines):
        dataset = _slice(series, index, line)
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = uid, study_uid
        dataset.SeriesNumber, dataset.SeriesDescription = number, description
        dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = patient_id, PATIENT_NAME, BIRTH_DATE
        made.append(dataset)
    return made


def _slice(series: Miniature, index: int, line: tuple[float, float]) -> Dataset:
    stored = series.stored[index]
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage if series.modality == "CT" else MRImageStorage
    dataset.SOPInstanceUID, dataset.Modality = generate_uid(), series.modality
    dataset.InstanceNumber, dataset.SliceThickness = index + 1, 5.0
    dataset.ImagePositionPatient = [round(float(x), 7) for x in series.origins_lps_mm[index]]
    dataset.ImageOrientationPatient = [round(float(x), 9) for x in np.ravel(series.directions)]
    dataset.PixelSpacing = list(series.pixel_mm)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.RescaleSlope, dataset.RescaleIntercept = line
    dataset.PixelData = stored.tobytes()
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def save(slices: Sequence[Dataset], folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Writes the slices as 001.dcm and so on, or under the names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names or [f"{index + 1:03d}.dcm" for index in range(len(slices))]]
    for dataset, path in zip(slices, paths, strict=True):
        dataset.save_as(path, enforce_file_format=True)
    return paths


def compressed_by_gdcm(dataset: Dataset, compressor: str, folder: Path) -> Dataset:
    """The same slice, its pixels compressed without loss by GDCM (JPEG, JPEG2000)."""
    image = sitk.GetImageFromArray(dataset.pixel_array[None])
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(folder / "compressed.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(image[:, :, 0])
    written = dcmread(folder / "compressed.dcm")
    (folder / "compressed.dcm").unlink()
    dataset.PixelData = written.PixelData
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = UID(written.file_meta.TransferSyntaxUID)
    return dataset


def stack_of_files(paths: Sequence[Path]) -> SliceStack:
    """The series that the files are, objects that are no images left out."""
    return open_series([header for path in paths if (header := read_header(path))])
