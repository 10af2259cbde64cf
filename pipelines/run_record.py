"""``run.json``: how the tables of a folder came about. The report page shows it."""

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, final

from sliceweave.pipelines.atomic import make_folder, write_atomically
from sliceweave.pipelines.cells import printable
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.options import yes_or_no
from sliceweave.pipelines.study_kind import StudyKind

RUN_FILE = "run.json"
_OBJECTS = ("versions", "model", "study_kind", "options")
_PACKAGES = ("sliceweave", "monai", "torch", "numpy")
_RUNTIME = "openvino"  # runs networks where it is installed


class DescribedModel(Protocol):
    """What a record says of a model."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def labels(self) -> Mapping[int, str]: ...


@final
class RunRecord:
    """Writes ``run.json`` when a run begins and again when it ends: command, versions, model, options, times.

    Of the patients it holds nothing but what the user's paths say. The folder of the studies stands there in full, so
    that the page's slices can be drawn later.

    Args:
        model: what segments.
        study_kind: how the studies are looked at.
        options: what the user could set.
        page: whether the run ends with a report page.
    """

    def __init__(
        self, model: DescribedModel, study_kind: StudyKind, options: Mapping[str, Any], page: bool | str = False
    ) -> None:
        self.page = yes_or_no(page, "page")
        self.dataset_dir = os.path.abspath(os.path.expanduser(str(options.get("dataset_dir"))))
        described = {
            "name": model.name,
            "version": model.version,
            "labels": {str(v): n for v, n in model.labels.items()},
        }
        packages = [*_PACKAGES, *([_RUNTIME] if find_spec(_RUNTIME) else [])]
        self._content: dict[str, Any] = {
            "command": command_line(),
            "working_folder": os.getcwd(),
            "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
            "machine": platform.platform(),
            "model": described,
            "study_kind": asdict(study_kind),
            "options": {name: _plain(value) for name, value in options.items()} | {"dataset_dir": self.dataset_dir},
        }

    def begin(self, directory: Path) -> None:
        """Writes what is known at the start; a resumed run names the runs before it.

        Raises:
            InputError: the folder cannot be written to.
        """
        self._began_s = time.monotonic()
        resumed = str(self._content["options"].get("resume")).lower() == "true"
        self._content["earlier_runs"] = _runs_before(directory) if resumed else []
        self._content["started"] = now_text()
        make_folder(directory, "choose another folder with --output_dir")
        self._save(directory)

    def finish(self, directory: Path, studies: int, failed: int) -> None:
        """Writes the outcome too. Raises InputError where it cannot."""
        seconds = round(time.monotonic() - self._began_s, 1)
        self._content |= {"finished": now_text(), "seconds": seconds, "studies": studies, "failed": failed}
        self._save(directory)

    def _save(self, directory: Path) -> None:
        text = json.dumps(self._content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(directory / RUN_FILE, printable(text).encode())


def read_run(directory: Path) -> dict[str, Any]:
    """What ``run.json`` says; nothing where there is none.

    Raises:
        InputError: it is there and is not ours.
    """
    path = directory / RUN_FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected the record of a run, but {error}; remove it") from error
    parts = [content.get(name, {}) for name in _OBJECTS] if isinstance(content, dict) else [content]
    if not all(isinstance(part, dict) for part in parts):
        raise InputError(f"{path}: expected the record of a run, with {', '.join(_OBJECTS)} as JSON objects; remove it")
    return content


def command_line() -> str:
    """What was typed, as a shell takes it."""
    return shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]])


def _runs_before(directory: Path) -> list[dict[str, str]]:
    last = read_run(directory)
    if not last:
        return []
    return [*last.get("earlier_runs", []), {name: last.get(name, "") for name in ("command", "started")}]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def now_text() -> str:
    """The time of day, for the reader."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
