from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

DiskSize = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def largest_file_bytes() -> DiskSize:
    """Context in which writing fails, as on a full disk, once a file passes so many bytes."""
    resource = pytest.importorskip("resource", reason="this system cannot limit file sizes")

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
