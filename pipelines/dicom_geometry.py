"""Where the slices of a DICOM series lie: their order, and the grid in RAS mm that holds every position."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.dicom_headers import SliceHeader
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.geometry_checks import SMALLEST_SPACING_MM

UNIFORM_TOLERANCE_MM = 0.005
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])

Headers = Sequence[SliceHeader]


def by_position(headers: Headers) -> list[list[SliceHeader]]:
    """The slices in order along their normal (row direction x column direction), those at one place together."""
    ordered = sorted(headers, key=lambda header: (header.instance or 0, header.path.name))
    along_mm = distances_mm(ordered)
    order = np.argsort(along_mm, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(along_mm[order]) >= SMALLEST_SPACING_MM) + 1)
    return [[ordered[index] for index in sorted(group)] for group in groups]


def distances_mm(headers: Headers) -> NDArray[np.float64]:
    """(K,) positions along the slices' normal."""
    row, column = _directions_ras(headers[0])
    return np.asarray(origins_ras_mm(headers) @ np.cross(row, column))


def origins_ras_mm(headers: Headers) -> NDArray[np.float64]:
    """(K, 3) centres of the first pixels, in RAS mm."""
    return np.array([header.position_mm for header in headers], dtype=np.float64) * _LPS_TO_RAS


def series_geometry(headers: Headers) -> Geometry:
    """The grid (columns, rows, slices) of slices in order, each at a place of its own.

    Even slices are their affine; otherwise every position is kept beside the least-squares affine.

    Raises:
        InputError: a single slice without a thickness, or a grid that no scan has.
    """
    origins = origins_ras_mm(headers)
    affine, rows, columns = np.eye(4), *headers[0].size
    row_step_mm, column_step_mm = headers[0].pixel_mm or (0.0, 0.0)
    row, column = _directions_ras(headers[0])
    step, first = np.polyfit(np.arange(len(origins)), origins, 1) if len(origins) > 1 else _single(headers[0])
    affine[:3] = np.column_stack([row * column_step_mm, column * row_step_mm, step, first]) + 0.0  # no -0
    off_mm = np.linalg.norm(origins - first - np.outer(np.arange(len(origins)), step), axis=1)
    shape = columns, rows, len(origins)
    if len(origins) > 1 and off_mm.max() <= UNIFORM_TOLERANCE_MM:
        return Geometry(affine, shape)
    return Geometry(affine, shape, origins, _thicknesses_mm(headers))


def _directions_ras(header: SliceHeader) -> NDArray[np.float64]:
    """Unit vectors along a row and along a column; headers round theirs."""
    directions = np.reshape(header.directions or (), (2, 3)) * _LPS_TO_RAS
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))


def _single(header: SliceHeader) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Step to a next slice, and the origin, of a scan of one slice."""
    if not header.thickness_mm or header.thickness_mm < 0:
        raise InputError(
            f"{header.path.name}: expected a SliceThickness above 0 mm in a series of one slice, got "
            f"{header.thickness_mm or 'none'}, and without it no volume; add the other slices, or repair the header"
        )
    row, column = _directions_ras(header)
    return np.cross(row, column) * header.thickness_mm, origins_ras_mm([header])[0]


def _thicknesses_mm(headers: Headers) -> NDArray[np.float64] | None:
    """(K,) header thicknesses, None where one is missing or not above zero."""
    thicknesses = [header.thickness_mm or 0 for header in headers]
    return np.array(thicknesses) if min(thicknesses) > 0 else None
