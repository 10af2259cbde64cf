"""Whether a file is still the one that was read: by its hash, or told without reading it again."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_HASHED_BYTES = 1 << 20


@dataclass(frozen=True)
class FileStamp:
    """Size of a file, and when its content and its entry were last changed."""

    size_bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path, before_s: float | None = None) -> "FileStamp | None":
        """The stamp of a file; None where there is none.

        Args:
            before_s: seconds since 1970; None too for a file changed after that, which may not be the one that was
                read.
        """
        try:
            status = path.stat()
        except OSError:
            return None
        if before_s is not None and max(status.st_mtime, status.st_ctime) >= before_s:
            return None
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    @classmethod
    def of_json(cls, content: Any) -> "FileStamp | None":
        """The stamp that `as_json` gave; None where there is none.

        Raises:
            ValueError: something else.
        """
        if content is None:
            return None
        if not isinstance(content, Mapping) or set(content) != {"size_bytes", "modified_ns", "changed_ns"}:
            raise ValueError("expected size and times of a file")
        return cls(**{name: int(value) for name, value in content.items()})

    def as_json(self) -> dict[str, int]:
        """The stamp as JSON holds it."""
        return asdict(self)


def sha256_of(path: Path) -> str:
    """Hash of the file's bytes, read piece by piece; empty if there is none that can be read."""
    if not path.is_file():
        return ""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_HASHED_BYTES):
                digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()
