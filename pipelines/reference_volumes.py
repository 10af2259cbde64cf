"""Reference volumes to report beside the measured ones: of other masks, or from a table of readers."""

import logging
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from sliceweave.pipelines.csv_rows import read_csv_rows
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import same_grid
from sliceweave.pipelines.label_maps import LabelMap, read_label_map
from sliceweave.pipelines.mask_sources import find_masks
from sliceweave.pipelines.study_csv import strip_guard
from sliceweave.pipelines.volumetry import volume_ml

_COLUMNS = ("study_id", "volume_ml")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class References:
    """Reference volumes in ml by study and label name (an empty name where there is but one), or reference masks."""

    volumes_ml: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    masks: Mapping[str, Path] = field(default_factory=dict)

    @property
    def studies(self) -> set[str]:
        return {*self.volumes_ml, *self.masks}

    def of(
        self, study_id: str, label_map: LabelMap, names: Mapping[int, str], any_value: bool = True
    ) -> dict[int, float]:
        """Reference volume of each named label that has one. A line in the log where what there is cannot be used.

        Args:
            any_value: whether the one value of a reference mask stands for the one name, whatever it is; else only 255.
        """
        if study_id in self.masks:
            return _of_mask(self.masks[study_id], study_id, label_map, names, any_value)
        return _of_table(self.volumes_ml.get(study_id, {}), study_id, names)


def read_references(source: str | Path) -> References:
    """The references of a table `study_id,volume_ml[,reader][,label]`, or else of masks as `find_masks` finds them.

    Several readers of one study and label are averaged.

    Raises:
        InputError: nothing to read, or a table with a volume that is none, or two readings that cannot be told apart.
    """
    path = Path(source).expanduser()
    if path.is_file() and path.suffix.lower() == ".csv":
        columns = set(_header(path))
        if "volume_ml" in columns or not columns & {"mask", "label"}:
            return References(volumes_ml=_read_table(path))
    return References(masks={mask.study_id: mask.mask for mask in find_masks(source)})


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return [name.strip().lower() for name in file.readline().split(",")]


def _read_table(path: Path) -> dict[str, dict[str, float]]:
    readings: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for number, row in read_csv_rows(path, _COLUMNS, ("reader", "label")):
        study_id, label, reader = (strip_guard(row.get(name, "")).strip() for name in ("study_id", "label", "reader"))
        place = f"'{path}' line {number}"
        if not study_id:
            raise InputError(f"{place} has an empty study_id; fill it in or remove the line")
        if reader in readings[study_id, label]:
            who = f"reader '{reader}'" if reader else "no reader"
            raise InputError(f"{place} is a second volume of {study_id} by {who}; name readers in a column reader")
        readings[study_id, label][reader] = _volume_ml(row["volume_ml"], place)
    volumes_ml: dict[str, dict[str, float]] = defaultdict(dict)
    for (study_id, label), by_reader in readings.items():
        volumes_ml[study_id][label] = fmean(by_reader.values())
    return dict(volumes_ml)


def _volume_ml(text: str, place: str) -> float:
    try:
        volume = float(text)
    except ValueError:
        volume = math.nan
    if not (math.isfinite(volume) and volume >= 0):
        raise InputError(f"{place}: expected volume_ml from 0 on, got {text!r}; correct it or remove the line")
    return volume


def _of_table(by_label: Mapping[str, float], study_id: str, names: Mapping[int, str]) -> dict[int, float]:
    found = {value: by_label[name] for value, name in names.items() if name in by_label}
    if "" in by_label and len(names) == 1:
        return dict.fromkeys(names, by_label[""]) | found
    if unused := sorted(set(by_label) - {names[value] for value in found}):
        given = ", ".join(repr(label) for label in unused)
        expected = ", ".join(names.values())
        logger.warning("%s: no use for the reference volume of label %s; expected %s", study_id, given, expected)
    return found


def _of_mask(
    path: Path, study_id: str, label_map: LabelMap, names: Mapping[int, str], any_value: bool
) -> dict[int, float]:
    """Volumes on the reference's own grid, or on the study's where that is the same."""
    try:
        reference = read_label_map(path, study_id)
    except InputError as error:
        logger.warning("%s: no reference volume: %s", study_id, error)
        return {}
    geometry = label_map.geometry if same_grid(reference.geometry, label_map.geometry) else reference.geometry
    if len(names) == 1 and len(reference.values) == 1 and (any_value or reference.is_white):
        return {value: volume_ml(reference.labels, geometry) for value in names}
    if unknown := sorted(set(reference.values) - {*names}):
        logger.warning("%s: the reference %s also holds %s", study_id, path.name, unknown[:5])
    return {value: volume_ml(reference.labels == value, geometry) for value in names}
