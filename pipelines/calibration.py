"""Calibrations on disk: made from the volumes of labelled studies, and applied to studies of the same kind alone."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from sliceweave.pipelines.atomic import make_folder, write_atomically
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.conformal import OFFSET_ML, calibrate, cases_needed, interval_ml
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.rows import LabelResult
from sliceweave.pipelines.scoring import CaseScore
from sliceweave.pipelines.studies import file_stem
from sliceweave.pipelines.study_source import SOURCES
from sliceweave.pipelines.tables import check_numbers, check_single, read_table

logger = logging.getLogger(__name__)

STATEMENT = (
    "Coverage is marginal: it holds on average over calibrations and new studies drawn alike, not for each study, size "
    "or site, and for studies such as these only."
)
_SCORE = f"|reference_volume_ml - volume_ml| / (spread_ml + {OFFSET_ML} ml)"
_NEEDED = ("study_id", "status", "label", "volume_ml", "spread_ml", "reference_volume_ml", "source")
_STAMP = ("model", "model_version")
_CALIBRATED = re.compile(r"(\+.*)\.[0-9a-f]{8}\Z")


@dataclass(frozen=True)
class LabelCalibration:
    """One label's studies, and the quantile of their scores; None where they were too few."""

    cases: int
    quantile: float | None


@dataclass(frozen=True)
class Calibration:
    """What turns volumes and spreads of one model into intervals.

    Attributes:
        task, model_version: of the model, weights and settings as they were.
        coverage: nominal, 1 − α.
        source: of all its studies: `generated`, `painted` or `real`; it applies to such scans alone.
        data: names of what it was made from.
        labels: by name.
    """

    task: str
    model_version: str
    coverage: float
    source: str
    data: tuple[str, ...]
    labels: Mapping[str, LabelCalibration]

    def applied(self, result: LabelResult) -> LabelResult:
        """The result with its interval; as it is without a spread, or where its label had too few studies."""
        known = self.labels.get(result.label)
        if result.spread_ml is None or known is None or known.quantile is None:
            return result
        low_ml, high_ml = interval_ml(result.measurement.volume_ml, result.spread_ml, known.quantile)
        return replace(result, volume_range_ml=(float(low_ml), float(high_ml)), coverage=self.coverage)

    def too_few(self) -> str:
        """A line on labels that get no interval for want of studies; empty if there are none."""
        needed = cases_needed(self.coverage)
        few = [f"{name} has {label.cases}" for name, label in self.labels.items() if label.quantile is None]
        return f"no interval at {self.coverage:g}: {', '.join(few)} of the {needed} studies it takes" if few else ""


def calibration_of(table: pd.DataFrame, coverage: float, data: Sequence[str], name: str = "calibration") -> Calibration:
    """The calibration that the rows of a `volumes.csv` give; failed ones and those without a reference stay out.

    Args:
        table: as `read_table` gives it; references may have been filled in since.
        coverage: nominal, between 0 and 1.
        data: names of what the studies are.
        name: what the table is called in messages.

    Raises:
        InputError: no such rows, no spreads, several models or kinds of scan, no name, or a coverage that is no share.
    """
    if missing := [column for column in (*_NEEDED, *_STAMP) if column not in table.columns]:
        raise InputError(f"{name}: expected a volumes.csv, found no column {', '.join(missing)}")
    check_numbers(table, ("volume_ml", "reference_volume_ml", "spread_ml"), name)
    check_single(table, name)
    names = tuple(printable(text.strip()) for text in data if text.strip())
    if not names:
        raise InputError(f"{name}: its data have no name; say what they are with --data NAME")
    rows = table[(table["status"] == "ok") & table["reference_volume_ml"].notna()]
    if rows.empty:
        raise InputError(f"{name}: no row has a reference_volume_ml; measure studies with labels")
    if rows["spread_ml"].isna().any():
        raise InputError(f"{name}: rows have no spread_ml; measure the studies with --tta True")
    stamp = {column: _the_one(rows, column, name) for column in (*_STAMP, "source")}
    if stamp["source"] not in SOURCES:
        raise InputError(f"{name}: expected a source, {', '.join(SOURCES)}, got {stamp['source']!r}")
    return Calibration(
        task=stamp["model"],
        model_version=uncalibrated(stamp["model_version"]),
        coverage=coverage,
        source=stamp["source"],
        data=names,
        labels={str(label): _label_calibration(of_label, coverage) for label, of_label in rows.groupby("label")},
    )


def calibrated(table: pd.DataFrame, coverage: float, data: Sequence[str], path: Path, name: str) -> str:
    """Writes the calibration that the rows give, and says what came out. Raises InputError as its two steps do."""
    calibration = calibration_of(table, coverage, data, name)
    write_calibration(calibration, path)
    found = [
        f"{name}: quantile {'none' if label.quantile is None else format(label.quantile, '.4g')} "
        f"of {label.cases} {calibration.source} studies"
        for name, label in calibration.labels.items()
    ]
    return "\n".join(filter(None, (*found, calibration.too_few(), STATEMENT)))


def volumes_of(results: str) -> pd.DataFrame:
    """The `volumes.csv` of an inference run's folder.

    Raises:
        InputError: it is not there.
    """
    path = Path(results) / "volumes.csv"
    if not path.is_file():
        raise InputError(f"--calibrate: expected the folder of an inference run with --tta True, got no {path}")
    table = read_table(path)
    if table.empty or "model" not in table.columns:
        raise InputError(f"--calibrate: {path} holds no study; measure studies with --tta True")
    return table


def with_references(table: pd.DataFrame, cases: Mapping[str, CaseScore]) -> pd.DataFrame:
    """A `volumes.csv` with the true volumes of scored studies as its references; studies not scored have none."""
    stems = {file_stem(study_id): score for study_id, score in cases.items()}

    def reference_ml(study_id: str, label: str) -> float | None:
        score = stems.get(file_stem(study_id))
        found = score.labels.get(label) if score else None
        return found.metrics["reference_volume_ml"] if found else None

    references_ml = [reference_ml(study, label) for study, label in zip(table["study_id"], table["label"], strict=True)]
    return table.assign(reference_volume_ml=pd.Series(references_ml, index=table.index, dtype=float))


def _the_one(rows: pd.DataFrame, column: str, name: str) -> str:
    values = sorted(set(rows[column]))
    if len(values) > 1:
        raise InputError(
            f"{name}: expected one {column} for all studies, got {', '.join(values)}; calibrate each by itself"
        )
    return str(values[0])


def _label_calibration(rows: pd.DataFrame, coverage: float) -> LabelCalibration:
    found = calibrate(rows["volume_ml"], rows["reference_volume_ml"], rows["spread_ml"], coverage)
    return LabelCalibration(len(rows), found)


def uncalibrated(model_version: str) -> str:
    """The version of a model less the digits of a calibration: `0.1.0+12345678.90abcdef` → `0.1.0+12345678`."""
    return _CALIBRATED.sub(r"\1", model_version)


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Writes it as JSON, with what the score is and what the coverage means. Raises InputError where it cannot."""
    if path.is_file():
        try:
            read_calibration(path)
        except InputError as error:
            raise InputError(f"{path}: is no calibration, and would be replaced by one; name another file") from error
    content = {**asdict(calibration), "score": _SCORE, "statement": STATEMENT}
    make_folder(path.parent, "name another --out")
    write_atomically(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def read_calibration(path: Path) -> Calibration:
    """The calibration of a file.

    Raises:
        InputError: no such file, or not a calibration.
    """
    try:
        content = json.loads(path.read_bytes())
        return _parsed(content)
    except OSError as error:
        raise InputError(f"--calibration {path}: cannot be read: {error.strerror}; check the path") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"--calibration {path}: not what `sliceweave calibrate` writes; make it again") from error


def _parsed(content: Any) -> Calibration:
    labels = {str(name): LabelCalibration(**label) for name, label in content["labels"].items()}
    numbers = [content["coverage"], *(label.quantile for label in labels.values() if label.quantile is not None)]
    if not all(isinstance(number, float) and 0 <= number < float("inf") for number in numbers):
        raise ValueError("a number that is none")
    texts = {name: str(content[name]) for name in ("task", "model_version", "source")}
    return Calibration(**texts, coverage=content["coverage"], data=tuple(content["data"]), labels=labels)


def calibration_for(path: str | None, task: str, model_version: str) -> Calibration | None:
    """The calibration that a run asks for, if it was made for this model; None where it asks for none.

    Raises:
        InputError: as `read_calibration`; or one of another task, of other weights or settings.
    """
    if path is None:
        return None
    calibration = read_calibration(Path(path))
    theirs, ours = f"{calibration.task} {calibration.model_version}", f"{task} {model_version}"
    if theirs != ours:
        raise InputError(
            f"--calibration {path}: made for {theirs}, this run is {ours}; task, weights, threshold, size and members "
            "of the augmentation have to be the same: calibrate anew"
        )
    if few := calibration.too_few():
        logger.warning("%s: %s", path, few)
    return calibration


def digest(path: str) -> str:
    """Eight hex digits that change with the file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]
