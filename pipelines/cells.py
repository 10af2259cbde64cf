"""One cell of a table: text no spreadsheet executes, numbers everybody reads.

Text that a spreadsheet would run as a formula (it begins with ``=``, ``+``, ``-``, ``@``, tab, CR or LF) is written
with a leading ``'``. So is text that begins with ``'`` itself, which makes stripping one ``'`` the exact inverse.
"""

import math

import numpy as np

Cell = str | bool | int | float | None

SIGNIFICANT_DIGITS = 6
DECIMALS = 9
_GUARDED = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def guard(text: str) -> str:
    """Text that a spreadsheet shows and does not execute."""
    return f"'{text}" if text.startswith(_GUARDED) else text


def unguard(text: str) -> str:
    """Text as it was before ``guard``."""
    return text.removeprefix("'")


def printable(text: str) -> str:
    """Text as UTF-8 can hold it: the stray bytes of an undecodable file name become escapes such as ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def format_number(number: float) -> str:
    """Six significant digits, never an exponent (``19.1082``, ``0.0010125``, ``12.0``); empty where not finite."""
    if not math.isfinite(number):
        return ""
    # Rounding first turns numerical dust (a centroid of 1e-17 mm) and a negative zero into 0.0.
    steady = round(float(number), DECIMALS) + 0.0
    return np.format_float_positional(steady, SIGNIFICANT_DIGITS, fractional=False, trim="0")


def format_cell(value: Cell) -> str:
    """The cell as it stands in the file, before quoting; nothing where there is no value. Numbers are never guarded."""
    if value is None:
        return ""
    if isinstance(value, str):
        return guard(printable(value))
    if isinstance(value, (bool, int, np.bool_, np.integer)):
        return str(value)
    return format_number(value)
