"""Rows of the report's three tables, from measurements: pure functions.

``abc2_ml, a_mm, b_mm, c_mm`` of a volumes row are those of the largest lesion, so that a*b*c/2000 is abc2_ml. An empty
mask gives 0.0 ml, no lesions, no slices, and otherwise empty fields; it has no line in ``lesions.csv``, and in
``slices.csv``, which lists every slice of a measured scan, its areas are 0.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sliceweave.pipelines.cells import Cell, format_number
from sliceweave.pipelines.columns import VOLUME_COLUMNS
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.tada import Tada
from sliceweave.pipelines.volumetry import Lesion, Measurement

Row = dict[str, Cell]

_NEEDS_DEPTH = frozenset(
    {column for column in VOLUME_COLUMNS if column.endswith("_ml") or column.startswith("centroid_")}
    | {"c_mm", "coverage", "lesions", "thickness_mm"}
)
_FLAGS_OF_LESIONS = ("touches_border", "tiny_lesion")  # of three dimensions
_LENGTHS = _NEEDS_DEPTH | {"a_mm", "b_mm", "max_area_mm2", "area_mm2", "spacing_mm"}


@dataclass(frozen=True)
class StudyFacts:
    """What every row of a study repeats.

    ``source`` is that of the scan: `real`, `generated`, `painted`, or empty where nobody has looked.
    """

    study_id: str
    image_sha256: str = ""
    model: str = ""
    model_version: str = ""
    seconds: float | None = None
    flags: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class LabelResult:
    """One label of a study, measured.

    ``volume_range_ml`` is (low, high), and holds the true volume with probability ``coverage``.
    ``spread_ml`` is the standard deviation of the volume under test-time augmentation. ``slice_scores`` (K,) says how
    much each slice looks as if it had the label, from 0 to 1, where a network was asked.
    """

    label: str
    measurement: Measurement
    volume_range_ml: tuple[float, float] | None = None
    coverage: float | None = None
    reference_volume_ml: float | None = None
    spread_ml: float | None = None
    slice_scores: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class StudyRows:
    """All that the three tables say about one study."""

    study_id: str
    volumes: Sequence[Row]
    lesions: Sequence[Row] = ()
    slices: Sequence[Row] = ()


def study_rows(facts: StudyFacts, geometry: Geometry, results: Sequence[LabelResult]) -> StudyRows:
    """Rows of a measured study, one volumes row per label."""
    return StudyRows(
        facts.study_id,
        [volume_row(facts, geometry, result) for result in results],
        [row for result in results for row in lesion_rows(facts.study_id, result)],
        [row for result in results for row in slice_rows(facts.study_id, geometry, result)],
    )


def without_volumes(rows: StudyRows) -> StudyRows:
    """The rows of a video: its third axis is time, so areas stand and nothing that needs three lengths does."""
    return _without(rows, _NEEDS_DEPTH)


def without_lengths(rows: StudyRows) -> StudyRows:
    """The rows of a video whose pixel size is not known: nothing that was measured in mm stands."""
    return _without(rows, _LENGTHS)


def _without(rows: StudyRows, columns: Collection[str]) -> StudyRows:
    volumes, slices = ([_blank(row, columns) for row in table] for table in (rows.volumes, rows.slices))
    for row in volumes:
        row["flags"] = ";".join(flag for flag in str(row["flags"]).split(";") if flag not in _FLAGS_OF_LESIONS)
    return StudyRows(rows.study_id, volumes, (), slices)


def _blank(row: Row, columns: Collection[str]) -> Row:
    return {column: None if column in columns else value for column, value in row.items()}


def failed_rows(facts: StudyFacts, reason: str) -> StudyRows:
    """The one row of a study that could not be measured; the reason is brought to one line."""
    failed: Row = {"status": "failed", "reason": " ".join(reason.split())}
    return StudyRows(facts.study_id, [dict.fromkeys(VOLUME_COLUMNS) | _fact_cells(facts) | failed])


def volume_row(facts: StudyFacts, geometry: Geometry, result: LabelResult) -> Row:
    """Row of ``volumes.csv`` for one label."""
    measurement = result.measurement
    low_ml, high_ml = result.volume_range_ml or (None, None)
    flags = dict.fromkeys((*geometry.flags, *facts.flags, *measurement.flags))
    return _fact_cells(facts) | {
        "status": "ok",
        "reason": "",
        "label": result.label,
        "volume_ml": measurement.volume_ml,
        "volume_low_ml": low_ml,
        "volume_high_ml": high_ml,
        "coverage": result.coverage,
        "spread_ml": result.spread_ml,
        "reference_volume_ml": result.reference_volume_ml,
        "lesions": len(measurement.lesions),
        "slices": measurement.slices,
        "side": measurement.side,
        "voxel_ml": geometry.voxel_ml,
        "spacing_mm": spacing_text(geometry),
        "flags": ";".join(flags),
        **_largest_cells(measurement),
        **_centroid_cells(measurement.centroid_ras_mm),
    }


def lesion_rows(study_id: str, result: LabelResult) -> list[Row]:
    """Rows of ``lesions.csv``, largest lesion first and numbered from 1."""
    return [
        {
            "study_id": study_id,
            "label": result.label,
            "lesion": number,
            "volume_ml": lesion.volume_ml,
            "slices": lesion.slices,
            "max_area_mm2": lesion.max_area_mm2,
            "touches_border": lesion.touches_border,
            **_tada_cells(lesion.tada),
            **_centroid_cells(lesion.centroid_ras_mm),
        }
        for number, lesion in enumerate(result.measurement.lesions, start=1)
    ]


def slice_rows(study_id: str, geometry: Geometry, result: LabelResult) -> list[Row]:
    """Rows of ``slices.csv``: every slice of the scan, by its index along the third array axis, from 0."""
    areas_mm2, scores = result.measurement.areas_mm2, result.slice_scores
    return [
        {
            "study_id": study_id,
            "label": result.label,
            "slice": index,
            "area_mm2": float(areas_mm2[index]),
            "thickness_mm": float(geometry.slice_thicknesses_mm[index]),
            "score": None if scores is None else float(scores[index]),
        }
        for index in range(len(areas_mm2))
    ]


def _fact_cells(facts: StudyFacts) -> Row:
    return {
        "study_id": facts.study_id,
        "flags": ";".join(facts.flags),
        "source": facts.source,
        "image_sha256": facts.image_sha256,
        "model": facts.model,
        "model_version": facts.model_version,
        "seconds": None if facts.seconds is None else round(facts.seconds, 2),
    }


def _largest_cells(measurement: Measurement) -> Row:
    largest: Lesion | None = next(iter(measurement.lesions), None)
    return {
        "largest_lesion_ml": largest.volume_ml if largest else None,
        "max_area_mm2": measurement.max_area_mm2 if largest else None,
        **_tada_cells(largest.tada if largest else None),
    }


def _tada_cells(tada: Tada | None) -> Row:
    return {
        "a_mm": tada.a_mm if tada else None,
        "b_mm": tada.b_mm if tada else None,
        "c_mm": tada.c_mm if tada else None,
        "abc2_ml": tada.volume_ml if tada else None,
    }


def _centroid_cells(centroid_ras_mm: tuple[float, float, float] | None) -> Row:
    columns = ("centroid_r_mm", "centroid_a_mm", "centroid_s_mm")
    return dict(zip(columns, centroid_ras_mm or (None, None, None), strict=True))


def spacing_text(geometry: Geometry) -> str:
    """Pixel columns x rows x perpendicular slice distance in mm, such as `0.45x0.45x5`."""
    return "x".join(_spacing(length_mm) for length_mm in geometry.spacing_mm)


def _spacing(length_mm: float) -> str:
    return format_number(length_mm).removesuffix(".0")
