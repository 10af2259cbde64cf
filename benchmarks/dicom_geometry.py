"""Where readers put the slices of a DICOM series: python benchmarks/dicom_geometry.py [FOLDER] [--box 100]

For every reader the largest distance between a slice and its ImagePositionPatient, the volume of a voxel, and the
volume of a box of box × box pixels drawn on all slices, against the slices' true thicknesses: half the distance to each
neighbour along the normal, the one distance in full at the ends. Without a folder: head_ct/ge_tilt_dicom in
SLICEWEAVE_REAL_DATA.
"""

import argparse
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import itk
import numpy as np
import pandas as pd
import SimpleITK as sitk
from monai.data import ITKReader, PydicomReader
from numpy.typing import NDArray
from pydicom import dcmread

from sliceweave.pipelines.dicom_stack import stack_of_files
from sliceweave.pipelines.geometry import Geometry

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def sliceweave(folder: Path) -> Geometry:
    return stack_of_files(sorted(folder.iterdir())).geometry


def simple_itk(folder: Path) -> Geometry:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    directions = np.reshape(image.GetDirection(), (3, 3))
    return uniform(directions * image.GetSpacing(), image.GetOrigin(), image.GetSize())


def plain_itk(folder: Path) -> Geometry:
    names = itk.GDCMSeriesFileNames.New()
    names.SetDirectory(str(folder))
    image = itk.imread(names.GetFileNames(names.GetSeriesUIDs()[0]), itk.F)
    directions = itk.array_from_matrix(image.GetDirection())
    return uniform(directions * list(image.GetSpacing()), list(image.GetOrigin()), list(itk.size(image)))


def monai_itk(folder: Path) -> Geometry:
    reader = ITKReader()
    voxels, meta = reader.get_data(reader.read(folder))
    return Geometry(np.asarray(meta["affine"], dtype=float), voxels.shape)


def monai_pydicom(folder: Path) -> Geometry:
    reader = PydicomReader()
    voxels, meta = reader.get_data(reader.read(folder))
    return Geometry(np.asarray(meta["affine"], dtype=float), voxels.shape)


def uniform(steps_lps: NDArray[np.float64], origin_lps: list[float], shape: tuple[int, int, int]) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = steps_lps, origin_lps
    return Geometry(LPS_TO_RAS @ affine, shape)


READERS: dict[str, Callable[[Path], Geometry]] = {
    "sliceweave": sliceweave,
    "SimpleITK ImageSeriesReader": simple_itk,
    "itk imread": plain_itk,
    "MONAI ITKReader": monai_itk,
    "MONAI PydicomReader": monai_pydicom,
}


def header_places(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """RAS origins (K, 3) and thicknesses (K,) of the slices in order, and a pixel's area, from the headers alone."""
    headers = [dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
    row, column = np.reshape(headers[0].ImageOrientationPatient, (2, 3)).astype(float)
    origins = np.array([header.ImagePositionPatient for header in headers], dtype=float)
    along_mm = origins @ np.cross(row, column)
    order = np.argsort(along_mm)
    gaps_mm = np.diff(along_mm[order])
    thickness_mm = (np.append(gaps_mm[0], gaps_mm) + np.append(gaps_mm, gaps_mm[-1])) / 2
    return origins[order] * [-1, -1, 1], thickness_mm, float(np.prod(headers[0].PixelSpacing))


def box_ml(geometry: Geometry, box: int) -> float:
    return box**2 * geometry.pixel_area_mm2 * float(geometry.slice_thicknesses_mm.sum()) / 1000


def largest_error_mm(geometry: Geometry, origins: NDArray[np.float64]) -> float:
    """Of the first pixels, which a reader may have at any corner, and its slices in either order.

    A reader that leaves slices out is compared with the run of slices that suits it best.
    """
    last_i, last_j, count = np.array(geometry.shape) - (1, 1, 0)
    corners = [(i, j) for i in (0, last_i) for j in (0, last_j)]
    stacks = [geometry.to_ras_mm([(i, j, k) for k in range(count)])[::way] for i, j in corners for way in (1, -1)]
    runs = [origins[start : start + count] for start in range(len(origins) - count + 1)]
    return min(float(np.linalg.norm(stack - run, axis=1).max()) for stack in stacks for run in runs)


def row_of(reader: Callable[[Path], Geometry], folder: Path, box: int) -> dict[str, object]:
    origins, thickness_mm, pixel_mm2 = header_places(folder)
    try:
        geometry = reader(folder)
    except Exception as error:  # what other people's readers raise is part of the table
        return {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"}
    true_ml, got_ml = box**2 * pixel_mm2 * thickness_mm.sum() / 1000, box_ml(geometry, box)
    return {
        "slices": geometry.shape[2],
        "largest slice error, mm": largest_error_mm(geometry, origins),
        "voxel, mm³": 1000 * geometry.voxel_ml,
        "box, ml": got_ml,
        "error, %": 100 * (got_ml / true_ml - 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    real_data = Path(os.environ.get("SLICEWEAVE_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parser.add_argument("folder", type=Path, nargs="?", default=real_data / "head_ct" / "ge_tilt_dicom")
    parser.add_argument("--box", type=int, default=100)
    arguments = parser.parse_args()
    _, thickness_mm, pixel_mm2 = header_places(arguments.folder)
    rows = {name: row_of(reader, arguments.folder, arguments.box) for name, reader in READERS.items()}
    true_ml = arguments.box**2 * pixel_mm2 * thickness_mm.sum() / 1000
    print(pd.DataFrame.from_dict(rows, orient="index").to_string(float_format="{:.4f}".format))
    print(f"{arguments.folder.name}: {len(thickness_mm)} slices, true box {true_ml:.4f} ml")
    versions = ", ".join(f"{name} {version(name)}" for name in ("pydicom", "SimpleITK", "itk", "monai"))
    print(f"on {platform.platform()} {platform.machine()}, {os.cpu_count()} cores, {versions}")


if __name__ == "__main__":
    main()
