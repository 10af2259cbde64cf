"""CSV files that users write: commas, UTF-8 with or without a byte order mark, a header in whatever case."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sliceweave.pipelines.errors import InputError


def read_csv_rows(path: Path, needed: Sequence[str], further: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """(line number, row by lower-case column name) of every row that is not blank; what is not there reads as "".

    Args:
        needed: columns that have to be there.
        further: columns that may be, for the message.

    Raises:
        InputError: not a UTF-8 CSV, a column missing or there twice, or a row with more fields than the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="", skipinitialspace=True, strict=True)
            reader.fieldnames = columns = [name.strip().lower() for name in reader.fieldnames or []]
            rows = [(reader.line_num, row) for row in reader if any(row.values())]
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not UTF-8 text ({error.reason}); save it as a CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"'{path}' cannot be read as a CSV ({error}); save it as comma-separated UTF-8") from error
    if doubled := [name for name, times in Counter(columns).items() if name and times > 1]:
        raise InputError(f"'{path}' has the column {doubled[0]} more than once; keep one")
    if not set(needed) <= set(columns):
        expected = ",".join(needed) + "".join(f"[,{name}]" for name in further)
        found = " ".join(", ".join(columns).split()) or "(none)"
        raise InputError(f"'{path}' has the columns {found}; expected {expected} with commas")
    for number, row in rows:
        if any("\0" in value for value in row.values() if isinstance(value, str)):
            raise InputError(f"'{path}' line {number} holds a zero byte, which is no text; save it as a CSV in UTF-8")
        if None in row:  # where csv puts what goes beyond the header
            raise InputError(f"'{path}' line {number} has more fields than the header; quote a text that holds a comma")
    return rows
