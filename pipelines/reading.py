"""One study read whole and checked, and the mask written back onto its grid."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import nibabel as nib
import numpy as np
from isal import igzip
from numpy.typing import NDArray

from sliceweave.pipelines.atomic import remove, write_atomically
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.itk_files import read_itk, voxel_file
from sliceweave.pipelines.nifti_files import NiftiFile, Volume, read_nifti
from sliceweave.pipelines.studies import CONVERSION_ADVICE, READABLE, file_stem, image_suffix
from sliceweave.pipelines.volume_checks import check_finite
from sliceweave.transforms.swappable import let_go

if TYPE_CHECKING:
    from sliceweave.pipelines.intracranial import IntracranialSpace

_FAST = 1


class Gridded(Protocol):
    """What lies on a grid in the patient: a scan, or a label map."""

    @property
    def geometry(self) -> Geometry: ...

    @property
    def header(self) -> nib.Nifti1Header: ...


@dataclass(frozen=True, eq=False)
class Scan:
    """The voxels (I, J, K) of a study in HU, its grid, and the NIfTI header a mask on that grid has."""

    voxels: NDArray[np.float32]
    geometry: Geometry
    header: nib.Nifti1Header

    @cached_property
    def intracranial_space(self) -> "IntracranialSpace":
        """The inside of the skull, looked for once."""
        from sliceweave.pipelines.intracranial import intracranial_space  # brings torch, which a reader does without

        return intracranial_space(self.voxels, self.geometry)


def read_scan(image: Path, study_id: str = "") -> Scan:
    """The scan of one file, with the slice positions from `<image stem>.geometry.json` or `<study_id>.geometry.json`.

    Raises:
        InputError: the file is missing, damaged or no volume of finite numbers in mm; says which file and why.
    """
    with naming(image):
        volume = _read_volume(image)
        check_finite(volume.voxels)
        let_go(volume.voxels)
        sidecar = find_sidecar(image, study_id)
        geometry = Geometry.with_sidecar(volume.affine_ras, volume.header.get_data_shape(), sidecar)
        return Scan(volume.voxels, geometry, volume.header)


def read_grid(image: Path, study_id: str = "") -> tuple[Geometry, nib.Nifti1Header]:
    """The geometry and header that `read_scan` gives, without reading the voxels of a NIfTI file.

    Raises:
        InputError: as `read_scan`, but for what is wrong with voxels that are not read.
    """
    if not image_suffix(image).startswith(".nii"):
        scan = read_scan(image, study_id)
        return scan.geometry, scan.header
    with naming(image):
        nifti = NiftiFile.open(image)
        return Geometry.with_sidecar(nifti.affine_ras, nifti.shape, find_sidecar(image, study_id)), nifti.grid_header


def write_mask(mask: NDArray[Any], scan: Scan, path: Path) -> None:
    """Writes the mask (I, J, K) as uint8 NIfTI with the scan's affine, qform, sform and codes; never half a file.

    Of uneven slices a sidecar beside it says where they lie, so that the mask measures the same wherever it goes.

    Raises:
        InputError: a file cannot be written.
    """
    if mask.shape != scan.geometry.shape:
        raise ValueError(f"expected a mask of shape {scan.geometry.shape}, got {mask.shape}")
    is_nifti2 = isinstance(scan.header, nib.Nifti2Header)
    image_class: type[nib.Nifti1Image] = nib.Nifti2Image if is_nifti2 else nib.Nifti1Image
    image = image_class(mask.astype(np.uint8, copy=False), scan.header.get_best_affine(), scan.header)
    buffer = io.BytesIO()
    if path.suffix == ".gz":
        with igzip.IGzipFile("", "wb", _FAST, buffer, mtime=0) as compressed:
            image.to_stream(compressed)
    else:
        image.to_stream(buffer)
    write_sidecar(path, scan.geometry)
    write_atomically(path, buffer.getvalue())


def write_sidecar(image: Path, geometry: Geometry) -> None:
    """Says beside an image or mask where its uneven slices lie; beside even ones nothing may say so.

    Raises:
        InputError: the file cannot be written.
    """
    if geometry.slice_origins_ras_mm is None:
        remove(sidecar_path(image))
    else:
        write_atomically(sidecar_path(image), geometry.sidecar_bytes())


def sidecar_path(image: Path) -> Path:
    """`<image stem>.geometry.json` beside an image or mask."""
    return image.with_name(f"{image.name[: len(image.name) - len(image_suffix(image))]}.geometry.json")


@contextmanager
def naming(image: Path) -> Iterator[None]:
    """Errors inside say which file they are about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{image.name}: {error}") from error
    except OSError as error:
        reason = f"expected a file that can be read, got: {error.strerror or error}; check the path"
        raise InputError(f"{image.name}: {reason}") from error


def _read_volume(image: Path) -> Volume:
    suffix = image_suffix(image)
    if not suffix:
        raise InputError(f"expected one of {READABLE}, got '{image.suffix}'; {CONVERSION_ADVICE}")
    if image.exists() and not image.is_file():
        raise InputError("expected a file, got a folder or device; give the path of the image itself")
    return read_nifti(image) if suffix.startswith(".nii") else read_itk(image)


def find_sidecar(image: Path, study_id: str = "") -> Path | None:
    """`<image stem>.geometry.json` or `<study_id>.geometry.json` beside the image, where there is one."""
    return next((path for path in _sidecar_paths(image, study_id) if path.is_file()), None)


def files_of(image: Path, study_id: str = "") -> list[Path]:
    """All files that an image is read from: itself, voxels that its header names, sidecars; not all need be there."""
    voxels = voxel_file(image)
    return [image, *([voxels] if voxels else []), *_sidecar_paths(image, study_id)]


def _sidecar_paths(image: Path, study_id: str) -> list[Path]:
    of_study = [image.with_name(f"{file_stem(study_id)}.geometry.json")] if study_id else []
    return [sidecar_path(image), *of_study]
