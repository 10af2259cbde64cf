"""The plain layout: `images/`, `labels/`, `dataset.csv` and `datalist.json`, whole at every moment."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sliceweave.pipelines.atomic import make_folder, write_atomically
from sliceweave.pipelines.bundles import modality_of
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.patients import Side, is_labelled, on_their_sides
from sliceweave.pipelines.rows import Row
from sliceweave.pipelines.splits import SPLITS
from sliceweave.pipelines.studies import file_stem
from sliceweave.pipelines.tables import Table

FOLDERS = ("images", "labels")


class PreparedFolder:
    """One destination of `prepare`.

    Args:
        directory: created when it is first needed.
        settings: what makes the same source come out differently; a folder holds studies of one set of settings.
        columns: of `dataset.csv`.

    Raises:
        InputError: no such task; the folder holds something else, or studies made from another source or with other
            settings.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any], columns: Sequence[str]) -> None:
        self.directory = directory
        self._settings = dict(settings)
        self._columns = columns
        self._modality = modality_of(str(settings["task"]))
        self.sides: Mapping[str, Side] = {}
        self.sources: dict[str, str] = {}
        self.rows = self._earlier_rows()

    def make(self) -> None:
        """Creates the folders and tables, and clears what a killed run left half written.

        Raises:
            InputError: it cannot.
        """
        for folder in (self.directory, *(self.directory / name for name in FOLDERS)):
            make_folder(folder, "name another DEST")
        self.save(list(self.rows.values()))

    def holds(self, row: Row) -> bool:
        """Whether the study of a row is finished and its files are in place."""
        folders = FOLDERS if is_labelled(row) else FOLDERS[:1]
        return row["status"] == "ok" and all(self._file(folder, str(row["study_id"])).is_file() for folder in folders)

    def save(self, rows: Sequence[Row]) -> None:
        """Writes `dataset.csv`, and before it `datalist.json` of its usable studies. Raises InputError if it cannot."""
        table = Table(self.directory / "dataset.csv", self._columns)
        placed = on_their_sides(rows, self.sides)
        for row in placed:
            table.put(str(row["study_id"]), [row])
        write_atomically(self.directory / "datalist.json", self._datalist([row for row in placed if self.holds(row)]))
        table.save()

    def _earlier_rows(self) -> dict[str, Row]:
        table = Table(self.directory / "dataset.csv", self._columns)
        if not (self.directory / "datalist.json").exists():
            if self.directory.is_dir() and any(self.directory.iterdir()):
                raise InputError(f"{self.directory} is not empty and was not made by prepare; choose another folder")
            return {}
        made_with, self.sides, self.sources = self._earlier_record()
        differing = [name for name in self._settings if made_with.get(name) != self._settings[name]]
        earlier = table.load() if table.path.exists() else []  # taken away so that all is converted again
        if differing and any(row["status"] == "ok" for row in earlier):
            raise InputError(
                f"{self.directory} was prepared with another {', '.join(differing)}; "
                "choose another folder, or delete its dataset.csv to convert all again"
            )
        if differing or not earlier:
            self.sides = {} if {"split", "seed"} & set(differing) else self.sides
            return {}
        return {row["study_id"]: dict(row) for row in earlier}

    def _earlier_record(self) -> tuple[dict[str, Any], dict[str, Side], dict[str, str]]:
        """The settings of the run before, where each study stands, and what its files were (see `source_digest`)."""
        path = self.directory / "datalist.json"
        try:
            content = json.loads(path.read_bytes())
            sides = {study_id: Side(*map(str, side)) for study_id, side in content["sides"].items()}
            settings = dict(content["prepared"])
            sources = dict(content.get("sources", {}))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{path}: expected the list that prepare wrote ({error}); choose another folder"
            ) from error
        if odd := [side.split for side in sides.values() if side.split not in SPLITS]:
            raise InputError(f"{path}: expected sides {', '.join(SPLITS)}, got '{odd[0]}'; restore the file")
        return settings, sides, sources

    def _datalist(self, rows: Sequence[Row]) -> bytes:
        task, labels = str(self._settings["task"]), self._settings["labels"]
        content: dict[str, Any] = {
            "name": task,
            "description": "patients are split, not studies; paths are relative to this file",
            "modality": {"0": self._modality},
            "tensorImageSize": "3D",
            "labels": {"0": "background", **labels},
            "prepared": self._settings,
            "sides": self.sides,
            "sources": self.sources,
        }
        labelled = [row for row in rows if is_labelled(row)]
        for split in SPLITS:
            content[split] = [self._item(row) for row in labelled if row["split"] == split]
            content[f"num{split.capitalize()}"] = len(content[split])
        content["unlabelled"] = [self._item(row) for row in rows if str(row["labelled"]) != "True"]
        return json.dumps(content, indent=1).encode()

    def _item(self, row: Row) -> dict[str, str]:
        study_id = str(row["study_id"])
        folders = FOLDERS if is_labelled(row) else FOLDERS[:1]
        files = {folder[:-1]: f"{folder}/{self._file(folder, study_id).name}" for folder in folders}
        return {"study_id": study_id, "patient": str(row["patient"]), **files}

    def _file(self, folder: str, study_id: str) -> Path:
        return self.directory / folder / f"{file_stem(study_id)}.nii.gz"


class PreparedList(NamedTuple):
    """The list of studies that `sliceweave prepare` wrote."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def found_in(cls, folder: str) -> "PreparedList | None":
        """That of a folder, or of its `images`; None where it is not there."""
        root = Path(folder).expanduser()
        path = (root.parent if root.name == "images" else root) / "datalist.json"
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return None
        return cls(path, content) if isinstance(content, dict) and "prepared" in content else None

    def cases(self, split: str) -> list[dict[str, str]]:
        """Those of one split. Raises InputError where there are none, or the list is not as it was written."""
        try:
            cases = [self._case(item) for item in self.content[split]]
        except (KeyError, TypeError) as error:
            reason = f"expected the list that prepare wrote ({error}); prepare the folder again"
            raise InputError(f"{self.path}: {reason}") from error
        if not cases:
            raise InputError(
                f"{self.path}: expected {split} studies, got none; prepare the folder with a --split that has"
            )
        return cases

    def _case(self, item: Mapping[str, str]) -> dict[str, str]:
        return {"study_id": item["study_id"], **{key: str(self._inside(item[key])) for key in ("image", "label")}}

    def _inside(self, name: str) -> Path:
        """Where a name leads from this list. Raises InputError where that is out of its folder."""
        folder = self.path.parent
        path = folder / name
        if not Path(os.path.normpath(os.path.abspath(path))).is_relative_to(os.path.abspath(folder)):
            raise InputError(f"{self.path}: '{name}' leaves the folder; prepare the folder again")
        return path
