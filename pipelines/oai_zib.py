"""OAI-ZIB: the Osteoarthritis Initiative's knee MR images, and the Zuse Institute's masks that carry no position.

Ambellan, Tack, Ehlke, Zachow: Automated segmentation of knee bone and cartilage. Medical Image Analysis 52 (2019).
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack, SourceFiles, broken
from sliceweave.pipelines.dicom_series import find_dicom
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry, same_grid
from sliceweave.pipelines.volume_pairs import open_named

_BONES_AND_CARTILAGES = {0: 0, 1: 0, 2: 1, 3: 0, 4: 2}
_VOLUME = r"(?:\.nii(?:\.gz)?|\.mhd|\.mha|\.nrrd)"
_MASK = rf"(\d{{7}})\.segmentation_masks{_VOLUME}"
_IMAGE = rf"(\d{{7}})(?:[._-](?!segmentation_masks)\w+)?{_VOLUME}"
_PATIENT = re.compile(r"(?<!\d)(\d{7})(?!\d)")
_SPACING_TOLERANCE = 0.01
_LARGEST_TURN_DEG = 30.0


def find_oai_zib(files: SourceFiles, options: PrepareOptions) -> list[Case]:
    """Masks `ID.segmentation_masks.mhd` (1 femur, 2 femoral cartilage, 3 tibia, 4 tibial cartilage) and their images.

    The image of a patient is a volume `ID.nii.gz` or `ID.mhd`, or the DICOM series in a folder below `ID`; where
    there are several, the one that `oai_mri_paths.txt` of the masks' documentation names.
    """
    masks = {match[1]: path for path, match in files.named(_MASK)}
    if not masks:
        return []
    files.take(masks.values())
    files.take(path.with_suffix(".raw") for path in masks.values())
    images = _volumes(files)
    for patient, cases in _dicom(files, options).items():
        images[patient] += cases
    return [_case(patient, masks.get(patient), images[patient]) for patient in sorted(masks.keys() | images.keys())]


def lie_on(label: SliceStack, grid: Geometry) -> SliceStack:
    """The label on the grid of its image: as it is, or turned to the image's axes where it has no position of its own.

    A label without position begins at 0, 0, 0 and lies along the scanner's axes. It is turned to the order and
    direction of the image's axes, nearest to nearest; nothing is resampled.

    Raises:
        InputError: its size or spacing is not the image's then.
    """
    if same_grid(label.geometry, grid) or not _has_no_position(label.geometry):
        return label
    turning = ornt_transform(io_orientation(label.geometry.affine_ras), io_orientation(grid.affine_ras))
    voxels = apply_orientation(np.concatenate(list(label.blocks()), axis=2), turning)
    turned_ras = label.geometry.affine_ras @ inv_ornt_aff(turning, label.geometry.shape)
    _check_fit(turned_ras, voxels.shape, grid)

    def blocks() -> Iterator[NDArray[Any]]:
        yield voxels

    return SliceStack(grid, label.dtype, blocks, flags=(*label.flags, "label_without_position"))


def _has_no_position(geometry: Geometry) -> bool:
    affine = geometry.affine_ras
    along_axes = np.count_nonzero(np.abs(affine[:3, :3]) > 1e-6) == 3
    return along_axes and np.allclose(affine[:3, 3], 0, atol=1e-3)


def _check_fit(turned_ras: NDArray[np.float64], shape: tuple[int, ...], grid: Geometry) -> None:
    own, image = (nib.affines.voxel_sizes(affine) for affine in (turned_ras, grid.affine_ras))
    directions = (turned_ras[:3, :3] / own * (grid.affine_ras[:3, :3] / image)).sum(axis=0)
    if shape != grid.shape or np.abs(own / image - 1).max() > _SPACING_TOLERANCE:
        sizes = (" x ".join(map(str, size)) for size in (grid.shape, shape))
        spacings = (" x ".join(f"{step:.4g}" for step in spacing) for spacing in (image, own))
        raise InputError(
            "label without position: expected the image's {} voxels of {} mm, got {} of {} mm; "
            "is it another image's label?".format(
                *(text for pair in zip(sizes, spacings, strict=True) for text in pair)
            )
        )
    if directions.min() < np.cos(np.radians(_LARGEST_TURN_DEG)):
        raise InputError("label without position: the image lies too oblique to tell which of its axes is which")


def _volumes(files: SourceFiles) -> defaultdict[str, list[Case]]:
    images: defaultdict[str, list[Case]] = defaultdict(list)
    found = files.named(_IMAGE)
    files.take(path for path, _ in found)
    for path, match in found:
        images[match[1]].append(Case(path.name, partial(open_named, path)))
    return images


def _dicom(files: SourceFiles, options: PrepareOptions) -> dict[str, list[Case]]:
    """DICOM studies by patient; those that the list of the data set does not name give way to those it does."""
    listed = _listed(files)
    images: dict[str, list[Case]] = defaultdict(list)
    for case in find_dicom(files, options):
        if found := _PATIENT.search(case.study_id):
            images[found[1]].append(case)
    return {patient: _named_first(cases, listed) for patient, cases in images.items()}


def _listed(files: SourceFiles) -> list[str]:
    """Series folders of `oai_mri_paths.txt`, as DICOM study ids end."""
    texts = (path.read_bytes().decode(errors="replace") for path, _ in files.named(r"oai_mri_paths\.txt"))
    lines = (line for text in texts for line in text.splitlines())
    return [line.strip().strip("/").replace("/", "_") for line in lines if line.strip()]


def _named_first(cases: list[Case], listed: list[str]) -> list[Case]:
    named = [case for case in cases if any(case.study_id.endswith(ending) for ending in listed)]
    return named or cases


def _case(patient: str, mask: Path | None, images: list[Case]) -> Case:
    if not images:
        return broken(
            patient, f"expected the image {patient}.nii.gz, {patient}.mhd or DICOM below {patient}/, got none"
        )
    if len(images) > 1:
        got = ", ".join(case.study_id for case in images)
        return broken(patient, f"expected one image, got {got}; keep one, or add the data set's oai_mri_paths.txt")
    image, files = images[0].image, images[0].files
    if mask is None:
        return Case(patient, image, files=files)
    return Case(patient, image, partial(_label_on, image, mask), _BONES_AND_CARTILAGES, files=(*files, mask))


def _label_on(image: Callable[[], SliceStack], mask: Path) -> SliceStack:
    return lie_on(open_named(mask), image().geometry)
