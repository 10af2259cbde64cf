"""What happens inside a worker process of a cohort."""

import contextlib
import io
import logging
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from tqdm import tqdm

from sliceweave.pipelines.cohort_jobs import Seat
from sliceweave.pipelines.cohort_recipe import Recipe
from sliceweave.pipelines.errors import reason_of


def serve(pipe: "Connection[Any, Any]", recipe: Recipe, seat: Seat) -> None:
    """What a worker does: it loads the model, says that it is free, and tells what became of each study it is given."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(ValueError):  # not the main thread: nobody interrupts it
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's
    try:
        _settle(seat, recipe.folder)
        from sliceweave.pipelines.cohort_study import StudyEngine

        engine = StudyEngine(recipe)
        logging.disable(logging.NOTSET)
        pipe.send(None)
        while True:
            pipe.send(engine.outcome(pipe.recv()))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # one line, which the driver says
        pipe.send(reason_of(error))


def _settle(seat: Seat, folder: str) -> None:
    """Before torch is imported."""
    os.chdir(folder)
    os.environ.setdefault("OMP_NUM_THREADS", str(seat.threads))
    if seat.gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = seat.gpu
    sys.stderr = _NoTerminal(sys.stderr.buffer, line_buffering=True)
    tqdm.set_lock(threading.RLock())  # its own would be a semaphore of the system, which a kill leaves behind
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if not seat.speaks:
        logging.disable(logging.WARNING)  # until the model is loaded


class _NoTerminal(io.TextIOWrapper):
    """A stream on which nobody draws progress bars: the driver has the only one."""

    def isatty(self) -> bool:
        return False


def _end_with_parent() -> None:
    """Waits for the driver to end, however it does: its lock is free then, and nothing may be written any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
