"""The real head CTs of a data folder as files for the hematoma bundle, each in several kinds of input."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from sliceweave.pipelines.cli import app
from sliceweave.pipelines.ct_ich_windows import THICKNESS_MM, mask_reader
from sliceweave.pipelines.pictures import picture_file, read_grey
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.slice_pictures import to_hu
from sliceweave.transforms.head_hu import BRAIN_WINDOW_HU

FOR_TRAINING = 16
"""So many of the healthy CT-ICH heads, first by name, are to train on; the others validate."""

PLANE_MM = 0.45 * 512  # of CT-ICH, assumed as its README says
_CLIPPED_HU = 98.0  # JPEG moves saturated bone by a few grey levels

Voxels = NDArray[np.float32]


def in_hu(hu: Voxels) -> Voxels:
    """Real HU; where a brain window has cut them off, -1000 stands for air and 1000 for bone."""
    if hu.min() < BRAIN_WINDOW_HU[0] - 1:
        return hu
    return np.where(hu <= BRAIN_WINDOW_HU[0] + 2, -1000, np.where(hu >= _CLIPPED_HU, 1000, hu)).astype(np.float32)


def clipped(hu: Voxels) -> Voxels:
    return np.clip(hu, *BRAIN_WINDOW_HU)


def eight_bit(hu: Voxels) -> Voxels:
    low_hu, high_hu = BRAIN_WINDOW_HU
    return np.rint((clipped(hu) - low_hu) * (255 / (high_hu - low_hu))).astype(np.float32)


def clipped_0_255(hu: Voxels) -> Voxels:
    return np.clip(in_hu(hu), 0, 255)


KINDS: dict[str, Callable[[Voxels], Voxels]] = {
    "HU": in_hu,
    "clipped": clipped,
    "8-bit": eight_bit,
    "0…255 HU": clipped_0_255,
}


@dataclass(frozen=True, eq=False)
class Head:
    """One study: its voxels in HU as far as they are known, on a grid, and what is haemorrhage."""

    name: str
    group: str
    given_as: str
    hu: Voxels
    affine_ras: NDArray[np.float64]
    label: NDArray[np.bool_]
    sidecar: Path | None = None

    def write(self, kind: str, folder: Path) -> str:
        """Writes the study as one kind; its id there."""
        study_id = f"{self.name} {kind}"
        image = nib.Nifti1Image(KINDS[kind](self.hu), self.affine_ras)
        image.header.set_xyzt_units("mm")
        image.to_filename(folder / f"{study_id}.nii.gz")
        if self.sidecar:
            (folder / f"{study_id}.geometry.json").write_bytes(self.sidecar.read_bytes())
        return study_id


def healthy_paths(data: Path) -> list[Path]:
    return sorted((data / "head_ct/ct_ich/negative").glob("*_ct.nii.gz"))


def healthy(paths: list[Path]) -> Iterator[Head]:
    """CT-ICH heads without haemorrhage."""
    for path in paths:
        scan = read_scan(path)
        nothing = np.zeros(scan.geometry.shape, bool)
        yield Head(path.name[:5], "negative", "clipped", scan.voxels, scan.geometry.affine_ras, nothing)


def labelled_volume(data: Path) -> Head:
    """The CT-ICH head with a small haemorrhage."""
    folder = data / "head_ct/ct_ich/labelled"
    scan, label = (read_scan(folder / f"pt079_{what}.nii.gz") for what in ("ct", "label"))
    return Head("pt079", "volume", "clipped", scan.voxels, scan.geometry.affine_ras, label.voxels > 0)


def labelled_slices(data: Path) -> Iterator[Head]:
    """The labelled CT-ICH slices, each a study of its own."""
    folder = data / "head_ct/ct_ich/labelled/slices"
    with (folder / "index.csv").open(encoding="utf-8", newline="") as lines:
        names = [row["file"] for row in csv.DictReader(lines)]
    for name in names:
        grey = read_grey(picture_file(folder / name))
        label = mask_reader(folder / name.replace(".jpg", "_mask.png"), above=0)(grey.shape) > 0
        pixel_mm = PLANE_MM / grey.shape[0]
        affine = np.diag([-pixel_mm, -pixel_mm, THICKNESS_MM, 1.0])
        hu = to_hu(grey, BRAIN_WINDOW_HU)[..., None]
        yield Head(f"slice {name[:-4]}", "slice", "8-bit", hu, affine, label[..., None])


def tilted(data: Path, work: Path) -> Head:
    """The GE series, as `sliceweave prepare` reads its DICOM files."""
    prepared = work / "prepared"
    app(["prepare", "hematoma", str(data / "head_ct/ge_tilt_dicom"), str(prepared)], standalone_mode=False)
    (path,) = (prepared / "images").glob("*.nii.gz")
    scan, (sidecar,) = read_scan(path), path.parent.glob("*.geometry.json")
    nothing = np.zeros(scan.geometry.shape, bool)
    return Head("GE tilted", "tilted", "HU", scan.voxels, scan.geometry.affine_ras, nothing, sidecar)


def heads(data: Path, work: Path) -> list[Head]:
    """All that are scored: validation negatives, the labelled volume, the labelled slices, the GE series."""
    found = [*healthy(healthy_paths(data)[FOR_TRAINING:]), labelled_volume(data), *labelled_slices(data)]
    return [*tqdm(found, desc="reading", disable=None), tilted(data, work)]
