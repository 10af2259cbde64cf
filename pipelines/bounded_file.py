"""Files whose readers believe lengths that the files themselves claim."""

import io
import os
from pathlib import Path
from typing import final


@final
class BoundedFile(io.BufferedReader):
    """A file to read that takes no more memory than it has bytes, however many a damaged entry asks for."""

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(path)
        super().__init__(raw)
        self._size_bytes = os.fstat(raw.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size_bytes - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left))
