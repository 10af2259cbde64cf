"""Looking through folders."""

import logging
import os
from collections.abc import Callable, Collection, Iterator

logger = logging.getLogger(__name__)


def walk_visible(
    root: str, passed_over: Callable[[Collection[str]], Collection[str]] = lambda _: ()
) -> Iterator[tuple[str, list[str]]]:
    """Every visible folder once, links followed, with its file names; one that cannot be read is logged.

    Args:
        passed_over: names of subfolders not to look into, from those that lie side by side.
    """
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True, onerror=_log_unreadable):
        real = os.path.realpath(folder)
        if real in seen:  # a link back to where we have been
            folders.clear()
            continue
        seen.add(real)
        left_out = passed_over(folders)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in left_out)
        yield folder, files


def _log_unreadable(error: OSError) -> None:
    logger.warning("skipped folder '%s': %s", error.filename, error.strerror)
