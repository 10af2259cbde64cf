"""One network and one seed: a folder with all that its training and its scores are."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import yaml

from sliceweave.pipelines.atomic import make_folder, write_atomically
from sliceweave.pipelines.tables import read_table

JOB = "job.json"
STAGES = ("training", "evaluation")
_PROCESS = "sliceweave.pipelines.comparison_process"
_LINES_LOOKED_AT = 400
_REASON_LENGTH = 300


@dataclass(frozen=True)
class TrainingRun:
    """The files of one training: `training/` and `scores/` as the bundle writes them, the configs, `run.log`."""

    folder: Path

    @property
    def weights(self) -> Path:
        return self.folder / "training/model.pt"

    @property
    def last_state(self) -> Path:
        return self.folder / "training/last.pt"

    @property
    def scores(self) -> Path:
        return self.folder / "scores"

    @property
    def log(self) -> Path:
        return self.folder / "run.log"

    def has_finished(self, stage: str) -> bool:
        """Whether a stage is over, and what it made is still there."""
        made = {"training": self.weights, "evaluation": self.scores / "summary.csv"}[stage]
        return (self.folder / f"{stage}.finished").exists() and made.is_file()

    def finish(self, stage: str) -> None:
        """Notes that a stage is over. Raises InputError where that cannot be written."""
        write_atomically(self.folder / f"{stage}.finished", b"")

    def prepare(
        self, network: str, bundle_root: Path, files: Mapping[str, Sequence[str]], overlays: Mapping[str, Any]
    ) -> None:
        """Writes what the process reads: for each stage the bundle's files, and the overlay that comes last.

        Args:
            network: its name, for `network`.

        Raises:
            InputError: it cannot be written.
        """
        make_folder(self.folder, "name another --out")
        job: dict[str, Any] = {"network": network, "bundle_root": str(bundle_root)}
        for stage in STAGES:
            path = self.folder.absolute() / f"{stage}.yaml"
            write_atomically(path, yaml.safe_dump(overlays[stage], sort_keys=False, allow_unicode=True).encode())
            job[stage] = [*files[stage], str(path)]
        write_atomically(self.folder / JOB, json.dumps(job, indent=1).encode())

    @property
    def network(self) -> str:
        """The name that `prepare` was given; empty where it was not called or wrote none."""
        try:
            return str(json.loads((self.folder / JOB).read_bytes())["network"])
        except (OSError, ValueError, KeyError):
            return ""

    def start(self) -> "subprocess.Popen[bytes]":
        """The process that does what is left to do; it ends where the pipe to it closes."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-u", "-m", _PROCESS, str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def epochs_done(self) -> int:
        """Epochs that a resumed training would not repeat."""
        import torch

        if not self.last_state.is_file():
            return 0
        try:
            trainer = torch.load(self.last_state, "cpu", weights_only=True, mmap=True)["trainer"]
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError):
            return 0  # damaged: the training that resumes says so
        return int(trainer["iteration"] // trainer["epoch_length"])

    def reason(self, status: int) -> str:
        """Why the process ended with this status, in one line."""
        if status < 0:
            return f"ended by signal {-status}, perhaps for want of memory"
        if (self.scores / "failed.csv").is_file():
            failed = read_table(self.scores / "failed.csv")
            study, why = failed["study_id"].iloc[0], failed["reason"].iloc[0]
            return f"{len(failed)} studies could not be scored, the first is {study}: {why}"
        return self._last_words() or f"ended with status {status}"

    def _last_words(self) -> str:
        """The error of the log's end: the line that is meant for the user, else the last one."""
        lines = self.log.read_text("utf-8", "replace").splitlines()[-_LINES_LOOKED_AT:]
        said = [line.strip() for line in lines if line.strip()]
        meant = [line for line in said if line.startswith("error: ")]
        return (meant or said or [""])[-1].removeprefix("error: ")[:_REASON_LENGTH]
