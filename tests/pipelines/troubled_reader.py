"""A reader for cohort workers that meets trouble at the studies whose names ask for it."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from sliceweave.pipelines.study_reader import StudyReader


class TroubledReader(StudyReader):
    """Reads as its base, but hangs at `hung*`, is killed at `deadly*` always, at `once*` the first time, and kills the
    process that started its own at `orphan*` the first time.
    """

    def get_data(self, img: tuple[Path, ...]) -> tuple[Any, dict[str, Any]]:
        image = img[0]
        if image.name.startswith("hung"):
            fifo = image.with_name(f"{image.name}.fifo")
            fifo.exists() or os.mkfifo(fifo)
            fifo.read_bytes()
        if image.name.startswith("deadly") or (image.name.startswith("once") and first_time(image)):
            os.kill(os.getpid(), signal.SIGKILL)
        if image.name.startswith("orphan") and first_time(image):
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return super().get_data(img)


def first_time(image: Path) -> bool:
    """Whether nobody has asked before, in any process."""
    try:
        image.with_name(f"{image.name}.met").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
