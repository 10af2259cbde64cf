"""The one exception a user is meant to read."""

import logging
import sys
from types import TracebackType

logger = logging.getLogger(__name__)


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one complete line: which file or argument, what was expected, what came, what to do.
    """


def input_error_in(error: BaseException | None) -> InputError | None:
    """The `InputError` among an exception and its causes: MONAI wraps what a transform or a config raises."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__ or error.__context__
    return error


def reason_of(error: BaseException) -> str:
    """One line for a report: the message meant for the user if there is one, else the root cause's.

    Transforms and networks, which know nothing of `InputError`, say what is wrong with a value by a ValueError.
    """
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    meant = input_error_in(error) or (root if type(root) is ValueError and str(root) else None)
    return " ".join((str(meant) if meant else f"{type(root).__name__}: {root}").split())


def logged_reason(error: BaseException) -> str:
    """`reason_of`, for a study that is left out while the others go on; whoever debugs is told all."""
    logger.debug("study failed", exc_info=error)
    return reason_of(error)


def speak_plainly() -> None:
    """From now on an uncaught `InputError` ends the process with status 1 and its one line, without a traceback."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if meant := input_error_in(error):
            sys.stderr.write(f"error: {meant}\n")
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = hook
