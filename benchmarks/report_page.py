"""How a report page copes with a large cohort: python benchmarks/report_page.py [--studies 500] [--runs 5]

Writes the tables of so many made-up studies, without images, and opens the page in headless Chromium (that of
SLICEWEAVE_CHROMIUM, or the system's). Prints the page's size and the median time to write it, to load it, to sort it by
a number and by name, to search it, and to open a study, each up to the next painted frame.
"""

import argparse
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from playwright.sync_api import Page, sync_playwright

from sliceweave.pipelines.columns import LESION_COLUMNS, SLICE_COLUMNS, VOLUME_COLUMNS
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.lettering import Picture
from sliceweave.pipelines.montage import write_png
from sliceweave.pipelines.page import build_page
from sliceweave.pipelines.rows import LabelResult, StudyFacts, study_rows
from sliceweave.pipelines.tables import Table
from sliceweave.pipelines.volumetry import measure

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAINTED = "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
STEPS = {
    "sort by volume": "document.querySelector('.sort[data-number]').click()",
    "sort by study": "document.querySelector('.sort').click()",
    "search": "{const s = document.getElementById('search'); s.value = s.value ? '' : 'study-1'; "
    "s.dispatchEvent(new Event('input'))}",
}
GEOMETRY = Geometry(np.diag([0.45, 0.45, 5, 1]), (64, 64, 30))


def write_results(folder: Path, studies: int) -> None:
    """Tables of made-up studies with one to four lesions and thirty slices each, and their thumbnails."""
    random = np.random.default_rng(0)
    columns = {"lesions": LESION_COLUMNS, "slices": SLICE_COLUMNS, "volumes": VOLUME_COLUMNS}
    tables = {name: Table(folder / f"{name}.csv", names) for name, names in columns.items()}
    for number in random.permutation(studies):
        mask = np.zeros(GEOMETRY.shape, bool)
        for _ in range(random.integers(1, 5)):
            corner = random.integers(0, 20, 3)
            mask[tuple(slice(at, at + random.integers(2, 20)) for at in corner)] = True
        study_id = f"study-{number}"
        facts = StudyFacts(
            study_id, "0" * 64, "hematoma", "0.2.0+00000000", 1.0, ("oblique",) if number % 7 == 0 else ()
        )
        rows = study_rows(facts, GEOMETRY, [LabelResult("hematoma", measure(mask, GEOMETRY))])
        for name, table in tables.items():
            table.put(study_id, getattr(rows, name))
        sheet: Picture = random.integers(0, 255, (200, 300, 3), np.uint8)
        write_png(sheet, folder / f"{study_id}.png")
    for table in tables.values():
        table.save()


def timed_ms(page: Page, script: str) -> float:
    return float(
        page.evaluate(
            f"async () => {{const t = performance.now(); {script}; await {PAINTED}; return performance.now() - t}}"
        )
    )


def load_ms(page: Page, address: str) -> float:
    start = time.perf_counter()
    page.goto(address)
    page.evaluate(PAINTED)
    return 1000 * (time.perf_counter() - start)


def open_ms(page: Page) -> float:
    start = time.perf_counter()
    page.locator("#studies tbody tr:visible .open").first.click()
    page.locator("#sheet").wait_for()
    page.keyboard.press("Escape")
    return 1000 * (time.perf_counter() - start)


def browser_times_ms(address: str, runs: int) -> dict[str, list[float]]:
    program = os.environ.get("SLICEWEAVE_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)))
    times: dict[str, list[float]] = {}
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program)
        print(f"Chromium {chromium.version}")
        for _ in range(runs):
            page = chromium.new_page(viewport={"width": 1360, "height": 900})
            times.setdefault("load", []).append(load_ms(page, address))
            for step, script in STEPS.items():
                times.setdefault(step, []).append(timed_ms(page, script))
            times.setdefault("open a study", []).append(open_ms(page))
            page.close()
        chromium.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_results(Path(folder), arguments.studies)
        start = time.perf_counter()
        page = build_page(Path(folder)).page
        written_ms = 1000 * (time.perf_counter() - start)
        print(
            f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        print(
            f"{arguments.studies} studies, {page.stat().st_size / 1e6:.2f} MB of HTML, written in {written_ms:.0f} ms"
        )
        times = browser_times_ms(page.as_uri(), arguments.runs)
    table = pd.DataFrame({name: {"median ms": median(ms), "slowest ms": max(ms)} for name, ms in times.items()}).T
    print(table.round(0).astype(int).to_string())


if __name__ == "__main__":
    main()
