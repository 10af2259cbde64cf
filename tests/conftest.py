import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real scans, which are no part of the repository: SLICEWEAVE_REAL_DATA, by default beside it."""
    folder = Path(os.environ.get("SLICEWEAVE_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real scans in {folder}; set SLICEWEAVE_REAL_DATA to test on them")
    return folder
