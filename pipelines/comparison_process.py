"""One network of a comparison, in a process of its own: trains it, then scores it, and ends when its parent does.

`python -m sliceweave.pipelines.comparison_process FOLDER`; the folder is that of a `TrainingRun`.
"""

import json
import os
import sys
import threading
from pathlib import Path

from sliceweave.pipelines.comparison_run import JOB, STAGES, TrainingRun


def main(folder: Path) -> None:
    """Runs what is left of the two stages.

    Raises:
        SystemExit: with the bundle's status, where a study could not be scored.
    """
    threading.Thread(target=end_with_parent, daemon=True).start()
    from monai.bundle import run

    job = json.loads((folder / JOB).read_bytes())
    training = TrainingRun(folder)
    for stage in STAGES:
        if not training.has_finished(stage):
            run(bundle_root=job["bundle_root"], config_file=job[stage])
            training.finish(stage)


def end_with_parent() -> None:
    """Waits for the pipe from the parent to close, which also happens when that is killed."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
