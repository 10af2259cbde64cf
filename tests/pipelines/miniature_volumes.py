"""Tiny copies of LiTS, MSD Task03, CT-ICH 1.3.1, OAI-ZIB and plain folders as they lie there, and what they hold."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from miniature_dicom import SAGITTAL, datasets, miniature
from miniature_dicom import save as save_slices
from numpy.typing import NDArray

SHAPE = (14, 11, 6)
AFFINE = np.array([[-0.7, 0, 0, 60.0], [0, -0.8, 0, 55.5], [0, 0, 2.5, -100], [0, 0, 0, 1]])
# As a knee is scanned, and a little oblique: rows run backwards, columns downwards, slices to the right.
SAGITTAL_AFFINE = np.array([[0.03, 0, 2.5, 40], [-0.7, 0, 0.1, 55.5], [0, -0.8, 0, 90], [0, 0, 0, 1]])


@dataclass(frozen=True, eq=False)
class Truth:
    """What a study must come out as."""

    image: NDArray[np.integer]
    label: NDArray[np.uint8]
    affine_ras: NDArray[np.float64]

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine_ras[:3, :3]))) / 1000


def numbers(seed: int, values: int, shape: tuple[int, ...] = SHAPE) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """An image in HU and a label in which every value below `values` occurs."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, values, shape).astype(np.uint8)
    label[0, 0, :values] = np.arange(values)[: shape[2]]
    return rng.integers(-1000, 1500, shape).astype(np.int16), label


def save(path: Path, voxels: NDArray, affine_ras: NDArray[np.float64] = AFFINE) -> Path:
    """Writes a NIfTI file whose header tells a name that must not surface."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, affine_ras)
    image.header["descrip"] = b"DOE^JANE"
    nib.save(image, path)
    return path


def write_lits(folder: Path) -> dict[str, Truth]:
    """Two batches, of which the first is in double precision as some of LiTS; and a test volume without label."""
    truths = {}
    for number, batch in enumerate(("Training Batch 1", "Training Batch 2", "Training Batch 2")):
        image, label = numbers(number, 3)
        save(folder / batch / f"volume-{number}.nii", image.astype(np.float64) if number == 0 else image)
        save(folder / batch / f"segmentation-{number}.nii", label)
        truths[f"volume-{number}"] = Truth(image, (label == 2).astype(np.uint8), AFFINE)
    (folder / "Training Batch 1" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return truths


def write_msd(folder: Path) -> dict[str, Truth]:
    """Task03 with macOS's twins of every file and a test image."""
    truths = {}
    for number in (0, 12):
        image, label = numbers(number, 3)
        name = f"liver_{number}.nii.gz"
        save(folder / "imagesTr" / name, image)
        save(folder / "labelsTr" / name, label.astype(np.float32))
        for kind in ("imagesTr", "labelsTr"):
            (folder / kind / f"._{name}").write_bytes(b"\0\5\x16\7")
        truths[f"liver_{number}"] = Truth(image, (label == 2).astype(np.uint8), AFFINE)
    (folder / "dataset.json").write_text(
        '{"name": "Liver", "labels": {"0": "background", "1": "liver", "2": "cancer"}}'
    )
    return truths


def write_ct_ich_nifti(folder: Path) -> dict[str, Truth]:
    """CT-ICH 1.3.1, whose masks hold 0 and 255."""
    truths = {}
    for number in ("049", "050"):
        image, label = numbers(int(number), 2)
        save(folder / "ct_scans" / f"{number}.nii", image)
        save(folder / "masks" / f"{number}.nii", label * np.uint8(255))
        truths[f"patient{number}"] = Truth(image, label, AFFINE)
    (folder / "Patient_demographics.csv").write_text("Patient Number,Age,Gender\n49,58,Male\n")
    return truths


def write_pairs(folder: Path, studies: int = 2, labels: int = 2) -> dict[str, Truth]:
    """`images/` and `labels/`."""
    truths = {}
    for number in range(studies):
        image, label = numbers(100 + number, labels)
        save(folder / "images" / f"s{number}.nii.gz", image)
        save(folder / "labels" / f"s{number}.nii.gz", label)
        truths[f"s{number}"] = Truth(image, label, AFFINE)
    return truths


def write_oai_zib(folder: Path) -> dict[str, Truth]:
    """One knee as a sagittal DICOM series, one as MetaImage; the masks lie along the scanner's axes and nowhere."""
    series = miniature((0.7,) * 4, directions=SAGITTAL, modality="MR")
    slices = datasets(series, patient_id="9000099")
    save_slices(slices, folder / "00m/0.C.2/9000099/20050819/10583703", [f"{n:03d}" for n in range(1, 6)])
    affine = np.eye(4)
    affine[:3, :2] = series.in_plane_ras_mm
    affine[:3, 2] = series.origins_ras_mm[1] - series.origins_ras_mm[0]
    affine[:3, 3] = series.origins_ras_mm[0]
    dicom = _with_mask(folder, "9000099", series.voxels.astype(np.int16), affine)
    image, _ = numbers(7, 2)
    metaimage = _with_mask(folder, "9001104", image, SAGITTAL_AFFINE)
    write_itk(folder / "images" / "9001104.mhd", image, SAGITTAL_AFFINE)
    (folder / "segmentation" / "doc").mkdir(parents=True)
    paths = "0.C.2/9000099/20050819/10583703\n0.E.1/9001104/20050101/10101010\n"
    (folder / "segmentation" / "doc" / "oai_mri_paths.txt").write_text(paths)
    return {"9000099": dicom, "9001104": metaimage}


def _with_mask(folder: Path, patient: str, image: NDArray, affine_ras: NDArray[np.float64]) -> Truth:
    """Writes the mask that lies on the image, as left-posterior-superior voxels of an image that begins at 0, 0, 0."""
    label = np.random.default_rng(int(patient)).integers(0, 5, image.shape).astype(np.uint8)
    to_lps = nib.orientations.ornt_transform(nib.io_orientation(affine_ras), nib.orientations.axcodes2ornt("LPS"))
    mask = nib.orientations.apply_orientation(label, to_lps)
    sizes = nib.affines.voxel_sizes(affine_ras @ nib.orientations.inv_ornt_aff(to_lps, image.shape))
    path = folder / "segmentation" / "segmentation_masks" / f"{patient}.segmentation_masks.mhd"
    write_itk(path, mask, np.diag([-sizes[0], -sizes[1], sizes[2], 1]))
    recoded = np.array([0, 0, 1, 0, 2], np.uint8)[label]
    return Truth(image, recoded, affine_ras)


def write_itk(path: Path, voxels: NDArray, affine_ras: NDArray[np.float64]) -> None:
    """Writes a MetaImage or NRRD file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    lps = np.diag([-1, -1, 1, 1]) @ affine_ras
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    image.SetSpacing(steps.tolist())
    image.SetDirection((lps[:3, :3] / steps).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    sitk.WriteImage(image, str(path))
