"""The values of one DICOM slice: decoded, rescaled, padding made air."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset, dcmread
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, generate_uid

from sliceweave.pipelines.bounded_file import BoundedFile
from sliceweave.pipelines.dicom_headers import DAMAGED, PixelCoding, SliceHeader, damaged
from sliceweave.pipelines.errors import InputError

AIR_HU = -1024
_TISSUE_HU = (-500, 1500)
_PIXEL_TAGS = [
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "FloatPixelData", "DoubleFloatPixelData", "PixelData"),
]


def slice_values(header: SliceHeader) -> NDArray[Any]:
    """Values (columns, rows) of a slice, int64 where slope and intercept are whole numbers, else float64.

    Padding is air, -1024 HU, in CT and 0 in anything else.

    Raises:
        InputError: the pixels are cut short, damaged or compressed in a way that nothing here decodes.
    """
    stored, coding = _stored(header.path).T, header.coding
    if stored.shape != header.size[::-1]:
        raise InputError(damaged(header.path, ValueError(f"pixels of shape {stored.shape[::-1]}, not {header.size}")))
    line = (int(coding.slope), int(coding.intercept)) if is_whole(coding) else (coding.slope, coding.intercept)
    values = stored.astype(np.int64 if is_whole(coding) else np.float64) * line[0] + line[1]
    if coding.padding is not None:
        lowest, highest = coding.padding
        values[(stored >= lowest) & (stored <= highest)] = AIR_HU if coding.is_ct else 0
    return np.asarray(values)


def is_whole(coding: PixelCoding) -> bool:
    """Whether whole stored numbers become whole values."""
    return coding.slope.is_integer() and coding.intercept.is_integer()


def padding_is_tissue(coding: PixelCoding) -> bool:
    """Whether a CT header calls numbers padding that tissue has."""
    if coding.padding is None or not coding.is_ct:
        return False
    lowest, highest = sorted(coding.slope * end + coding.intercept for end in coding.padding)
    return highest > _TISSUE_HU[0] and lowest < _TISSUE_HU[1]


def _stored(path: Path) -> NDArray[Any]:
    """Stored numbers (rows, columns): pydicom's decoders first, then GDCM's for what they lack."""
    try:
        with BoundedFile(path) as file:
            dataset = dcmread(file, specific_tags=_PIXEL_TAGS, force=True)
        dataset.file_meta.setdefault("TransferSyntaxUID", ImplicitVRLittleEndian)  # what has no preamble has none
        try:
            return np.asarray(dataset.pixel_array)
        except (NotImplementedError, RuntimeError):
            if not dataset.file_meta.TransferSyntaxUID.is_compressed:
                raise
            return _decoded_by_gdcm(dataset)
    except OSError as error:
        raise InputError(f"{path.name}: expected a file that can be read, got: {error.strerror or error}") from error
    except DAMAGED as error:
        raise InputError(damaged(path, error)) from error


def _decoded_by_gdcm(dataset: FileDataset) -> NDArray[Any]:
    """The same through a file that holds the pixels alone: GDCM rescales some kinds of image and not others."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "slice.dcm")
        _pixels_alone(dataset).save_as(path, enforce_file_format=True)
        return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(path, imageIO="GDCMImageIO"))[0])


def _pixels_alone(dataset: FileDataset) -> Dataset:
    alone = Dataset()
    alone.update({element.tag: element for element in dataset})
    alone.SOPClassUID, alone.SOPInstanceUID = CTImageStorage, generate_uid()
    alone.ensure_file_meta()
    alone.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    return alone
