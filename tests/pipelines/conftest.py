import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

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


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """A headless Chromium: that of SLICEWEAVE_CHROMIUM, or the system's."""
    playwright = pytest.importorskip("playwright.sync_api", reason='needs pip install "sliceweave[test]"')
    program = os.environ.get("SLICEWEAVE_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip("no Chromium here: install it (apt-get install chromium), or name it in SLICEWEAVE_CHROMIUM")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=program, args=["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        )
        yield chromium
        chromium.close()
