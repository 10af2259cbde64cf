"""The report page as its readers use it, in headless Chromium, from the disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from miniature_report import HOSTILE, described, failed, write_record, write_results

from sliceweave.pipelines.page import PageOptions, build_page
from sliceweave.pipelines.page_viewer import Viewer
from sliceweave.pipelines.tables import read_table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LESIONS = {"study 10": 5, HOSTILE: 3, "study 9": 0, "large": 7}
BROKEN = "<img src=x onerror=alert(2)>"
STAND_IN = """(function(g){g.niivue={};
class Niivue { volumes = []; scene = {}; attachToCanvas() {} setRadiologicalConvention() {} setInterpolation() {}
  mm2frac(mm) { return mm; } setSliceType() {} setOpacity() {} addVolume(volume) { this.volumes.push(volume); } }
class NVImage { static async loadFromBase64(how) { return Object.assign(new NVImage(), how); } setColormapLabel() {} }
Object.assign(g.niivue, { Niivue, NVImage, note: "</script><!--" });})(globalThis);
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_results(tmp_path_factory.mktemp("page"), LESIONS, {"large": "sheared;touches_border"})
    failed(folder, BROKEN, "cut short <b>here</b>")
    write_record(folder)
    build_page(folder, PageOptions(viewer=Viewer(STAND_IN)))
    return folder


@pytest.fixture
def page(results: Path, browser: "Browser") -> "Iterator[Page]":
    """The page, and at the end of the test proof that it neither complained nor fetched anything from elsewhere."""
    page, said = browser.new_page(viewport={"width": 1300, "height": 900}), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    page.on("requestfailed", lambda request: said.append(f"failed {request.url}"))
    page.on("request", lambda request: request.url.startswith("file:") or said.append(request.url))
    page.goto((results / "report.html").as_uri())
    yield page
    page.close()
    assert said == []


def order(page: "Page") -> list[str]:
    return page.locator("#studies tbody tr:visible .open").all_text_contents()


def open_study(page: "Page", study_id: str) -> None:
    page.get_by_role("button", name=study_id, exact=True).click()
    page.locator("#slice").wait_for()
    page.wait_for_function("document.getElementById('slice').complete")


def test_a_click_on_a_header_sorts_by_number_and_another_one_back(page: "Page", results: Path) -> None:
    volumes = read_table(results / "volumes.csv").dropna(subset="volume_ml").sort_values("volume_ml")
    header = page.get_by_role("columnheader", name="Volume, ml")
    assert header.get_attribute("aria-sort") == "none"
    header.get_by_role("button").click()
    assert order(page) == volumes["study_id"].tolist()
    assert header.get_attribute("aria-sort") == "ascending"
    header.get_by_role("button").click()
    assert order(page) == volumes["study_id"].tolist()[::-1]
    assert header.get_attribute("aria-sort") == "descending"


def test_names_sort_as_people_count_and_by_keyboard(page: "Page") -> None:
    header = page.locator("#studies").get_by_role("columnheader", name="Study", exact=True)
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert order(page)[1:] == ["large", "study 9", "study 10"]
    assert header.get_attribute("aria-sort") == "ascending"


def test_empty_cells_come_last_in_either_direction(page: "Page") -> None:
    button = page.get_by_role("columnheader", name="ABC/2, ml").get_by_role("button")
    for _ in range(2):
        button.click()
        assert order(page)[-1] == "study 9"


def test_search_keeps_rows_that_have_every_word(page: "Page") -> None:
    page.get_by_label("Search").fill("STUDY 9")
    assert order(page) == ["study 9"]
    assert page.locator("#count").text_content() == "1 of 4 rows"
    page.get_by_label("Search").fill("nothing like it")
    assert order(page) == []
    assert page.get_by_text("No study matches.").is_visible()
    page.get_by_label("Search").fill("")
    assert len(order(page)) == 4


def test_a_flag_shows_its_studies(page: "Page") -> None:
    page.locator("[data-flag=sheared]").click()
    assert order(page) == ["large"]
    page.locator("[data-flag=sheared]").click()
    assert len(order(page)) == 4


def test_a_study_opens_on_its_largest_slice_and_the_slider_goes_through_the_others(page: "Page", results: Path) -> None:
    open_study(page, "study 10")
    areas = pd.read_csv(results / "slices.csv").query("study_id == 'study 10'")["area_mm2"]
    slider, picture = page.get_by_role("slider"), page.locator("#slice")
    assert int(slider.input_value()) == int(np.argmax(areas))
    assert page.locator("#where").text_content().endswith(f"hematoma {areas.max() / 100:.2f} cm²")
    for place in (0, 8):
        slider.fill(str(place))
        assert picture.get_attribute("src").endswith(f"/{place:03d}.jpg")
        page.wait_for_function("document.getElementById('slice').naturalWidth > 30")
        assert f"slice {place} of 0–8" in page.locator("#where").text_content()
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert picture.get_attribute("src").endswith("/007.jpg")


def test_contours_lie_on_the_lesion_and_go_at_a_tick_or_a_key(page: "Page") -> None:
    open_study(page, "large")
    contour = page.locator("#contours path")
    assert contour.count() == 1
    box, picture = contour.bounding_box(), page.locator("#slice").bounding_box()
    assert box["width"] > picture["width"] / 5
    # Columns run to the patient's left, as on the screen, and the lesion is at column 12 of 40.
    assert picture["x"] < box["x"] < picture["x"] + picture["width"] / 2
    page.get_by_label("Contours").click()
    assert not contour.is_visible()
    page.keyboard.press("c")
    assert contour.is_visible()


def test_the_dialog_has_the_numbers_flags_and_lesions_of_the_study(page: "Page") -> None:
    open_study(page, "large")
    row = page.locator("#studies tbody tr", has_text="large")
    volume = row.locator("td.number").first.text_content()
    assert page.locator("#numbers tr").first.text_content() == f"Volume, ml{volume}"
    assert page.locator("#study-flags .chip").all_text_contents() == ["sheared", "touches_border"]
    assert page.locator("#lesions tbody tr, #lesions > tr").count() == 1


def test_studies_follow_each_other_in_the_order_of_the_table(page: "Page") -> None:
    page.get_by_role("columnheader", name="Volume, ml").get_by_role("button").click()
    expected = order(page)
    open_study(page, expected[0])
    title = page.locator("#viewer-title")
    assert page.locator("#before").is_disabled()
    for study_id in expected[1:]:
        page.locator("#after").click()
        assert title.text_content() == study_id
    assert page.locator("#after").is_disabled()
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    page.wait_for_function("name => document.activeElement.textContent === name", arg=expected[-1])


def test_what_users_wrote_does_nothing(page: "Page") -> None:
    open_study(page, HOSTILE)
    assert page.locator("#viewer-title").text_content() == HOSTILE
    assert page.get_by_role("row", name=BROKEN).get_by_text("cut short <b>here</b>").count() == 1
    assert page.locator("table b, table script, table img[src=x]").count() == 0


def test_pictures_of_studies_that_are_not_open_are_not_loaded(page: "Page") -> None:
    assert page.locator("img").count() == len(LESIONS) + 2
    assert (
        page.evaluate("performance.getEntriesByType('resource').filter((e) => e.name.includes('study.js')).length") == 0
    )


def test_the_page_fits_a_narrow_screen(page: "Page") -> None:
    page.set_viewport_size({"width": 380, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    open_study(page, "large")
    assert page.evaluate("document.getElementById('viewer').scrollWidth") <= 380


def test_a_study_without_slices_opens_with_the_runs_picture(browser: "Browser", tmp_path: Path) -> None:
    bare = write_results(tmp_path, {"a": 5})
    build_page(bare)
    page = browser.new_page()
    page.goto((bare / "report.html").as_uri())
    page.get_by_role("button", name="a", exact=True).click()
    page.locator("#sheet").wait_for()
    assert page.evaluate("document.getElementById('sheet').naturalWidth") > 200
    assert described(bare / "report_files/a").slices is None
    page.close()


def test_the_link_to_a_studys_own_page_leads_to_one_that_gets_scan_and_mask(page: "Page") -> None:
    open_study(page, HOSTILE)
    with page.context.expect_page() as opened:
        page.get_by_text("look around in the scan").click()
    viewer = opened.value
    viewer.locator("body[data-volumes='2']").wait_for(state="attached")
    assert viewer.title() == HOSTILE
    viewer.locator("#view").select_option("coronal")
    viewer.close()


def test_niivue_itself_shows_scan_and_mask(browser: "Browser", tmp_path: Path) -> None:
    script = os.environ.get("SLICEWEAVE_NIIVUE")
    if not script:
        pytest.skip("no NiiVue here: `npm pack @niivue/niivue`, and name the archive in SLICEWEAVE_NIIVUE")
    results = write_results(tmp_path, {"a": 5})
    build_page(results, PageOptions(images=str(tmp_path / "studies.csv"), viewer=Viewer.found(script)))
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    address = (results / "report_files/a/viewer.html").as_uri()
    page.goto(address)
    page.locator("body[data-volumes='2']").wait_for(state="attached")
    assert said == [address]
    page.close()
