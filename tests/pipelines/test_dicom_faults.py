import pytest
from miniature_dicom import (
    BIRTH_DATE,
    PATIENT_NAME,
    SAGITTAL,
    compressed_by_gdcm,
    datasets,
    miniature,
    save,
    stack_of_files,
)
from pydicom import Sequence
from pydicom.uid import JPEGLossless

from sliceweave.pipelines.errors import InputError


def opened_and_read(paths):
    return list(stack_of_files(paths).blocks())


def fault(paths):
    """The message, which has to be one line and keep the patient out."""
    with pytest.raises(InputError) as caught:
        opened_and_read(paths)
    message = str(caught.value)
    assert "\n" not in message
    assert PATIENT_NAME.split("^")[0] not in message
    assert BIRTH_DATE not in message
    return message


def changed(index, **values):
    """Four slices, one with other header entries."""
    slices = datasets(miniature())
    for keyword, value in values.items():
        setattr(slices[index], keyword, value)
    return slices


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"ImagePositionPatient": None}, "003.dcm: expected ImagePositionPatient in every slice, got none"),
        ({"ImageOrientationPatient": None}, "003.dcm: expected ImageOrientationPatient in every slice"),
        ({"PixelSpacing": None}, "003.dcm: expected PixelSpacing in every slice"),
        ({"PixelSpacing": [0.5, 0.7]}, "003.dcm: expected one PixelSpacing in the series, got (0.5, 0.7) among"),
        ({"ImageOrientationPatient": [*SAGITTAL[0], *SAGITTAL[1]]}, "003.dcm: expected one orientation in the series"),
        ({"Rows": 11, "Columns": 13}, "003.dcm: expected one size (rows x columns) in the series, got (11, 13) among"),
        ({"NumberOfFrames": 20}, "003.dcm: expected one slice in each file, got 20 frames in one"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "003.dcm: expected grey values, got 3 samples"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "003.dcm: expected MONOCHROME2, got MONOCHROME1"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "003.dcm: expected grey values, got 1 samples"),
        ({"ModalityLUTSequence": Sequence()}, "003.dcm: expected RescaleSlope and RescaleIntercept, got a lookup"),
        ({"RescaleSlope": 0}, "003.dcm: expected RescaleSlope and RescaleIntercept, got RescaleSlope 0"),
        ({"ImagePositionPatient": [1, 2]}, "003.dcm: expected 3 finite numbers in ImagePositionPatient, got [1.0, 2.0"),
        ({"PixelData": b"\0" * 100}, "003.dcm: expected a whole DICOM image, got one cut short or damaged"),
        ({"BitsAllocated": 12}, "003.dcm: expected a whole DICOM image, got one cut short or damaged"),
    ],
)
def test_one_odd_slice_is_named_in_one_line(values, expected, tmp_path):
    assert fault(save(changed(2, **values), tmp_path)).startswith(expected)


def test_several_odd_slices_are_counted(tmp_path):
    slices = datasets(miniature([5.0] * 6))
    for dataset in slices[:3]:
        dataset.ImagePositionPatient = None
    assert fault(save(slices, tmp_path)).startswith("001.dcm and 2 more of 7 files: expected ImagePositionPatient")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"PixelSpacing": [0.7, 0.0]}, "expected a PixelSpacing above 0 mm, got (0.7, 0)"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "expected two unit vectors at right angles"),
        ({"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]}, "expected two unit vectors at right angles"),
        ({"Rows": 0}, "expected a 3D image"),
        ({"Rows": 40000}, "expected a 3D image"),
    ],
)
def test_a_grid_that_none_can_be_is_refused(values, expected, tmp_path):
    slices = datasets(miniature())
    for dataset in slices:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    assert expected in fault(save(slices, tmp_path))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.4, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_file_cut_short_anywhere_is_named(share, is_compressed, tmp_path):
    slices = datasets(miniature())
    if is_compressed:
        slices = [compressed_by_gdcm(dataset, "JPEG", tmp_path) for dataset in slices]
    paths = save(slices, tmp_path)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[: int(share * len(content))])
    assert fault(paths).startswith("002.dcm: ")


def test_pixels_that_no_decoder_takes_are_named(tmp_path):
    slices = datasets(miniature())
    slices[1].file_meta.TransferSyntaxUID = JPEGLossless
    slices[1].PixelData = b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x08\0\0\0nonsense\xfe\xff\xdd\xe0\0\0\0\0"
    slices[1]["PixelData"].is_undefined_length = True
    assert fault(save(slices, tmp_path)).startswith("002.dcm: expected a whole DICOM image")


@pytest.mark.parametrize("content", [b"", b"not a scan at all\n" * 40, b"\0" * 128 + b"DICM" + b"\xff" * 300])
def test_what_is_named_dicom_and_is_none_is_named(content, tmp_path):
    paths = save(datasets(miniature()), tmp_path)
    paths[2].write_bytes(content)
    assert fault(paths).startswith("003.dcm: expected a")


def test_a_file_that_went_away_is_named(tmp_path):
    paths = save(datasets(miniature()), tmp_path)
    stack = stack_of_files(paths)
    paths[2].unlink()
    with pytest.raises(InputError, match=r"^003.dcm: expected a file that can be read, got: No such file"):
        list(stack.blocks())
