"""The report page as files: what is written, kept, remade, refused. How it behaves: test_page_browser.py."""

import shutil
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nibabel as nib
import numpy as np
import pytest
from miniature_report import HOSTILE, described, failed, write_record, write_results

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.flag_meanings import FLAG_MEANINGS
from sliceweave.pipelines.page import PageOptions, build_page
from sliceweave.pipelines.page_view import address
from sliceweave.pipelines.studies import file_stem, find_studies

README = Path(__file__).parents[2] / "README.md"


class Elements(HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def addresses(self) -> list[str]:
        names = ("src", "href", "data-folder", "data-sheet", "data-viewer")
        return [value for _, attributes in self.found for name in names if (value := attributes.get(name))]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path, {"a": 5, HOSTILE: 3, "healthy": 0}, {"a": "sheared;tiny_lesion"})


def images(results: Path) -> str:
    return str(results.parent / "studies.csv")


def test_each_study_has_slices_contours_and_a_thumbnail(results: Path) -> None:
    outcome = build_page(results, PageOptions(images=images(results)))
    assert (outcome.page, outcome.studies, outcome.notes) == (results / "report.html", 3, [])
    for study_id, has_lesion in {"a": True, HOSTILE: True, "healthy": False}.items():
        folder = results / "report_files" / file_stem(study_id)
        slices = described(folder).slices["slices"]
        assert {path.name for path in folder.iterdir()} == {"study.js", "thumb.jpg", *(s["file"] for s in slices)}
        assert any(slice_["paths"] for slice_ in slices) == has_lesion


def test_every_address_is_relative_and_leads_to_a_file(results: Path) -> None:
    (results / "figures").mkdir()
    for name in ("volume curves.svg", "volume curves.png", "50% #1.png", "notes.txt"):
        (results / "figures" / name).write_bytes(b"<svg/>")
    elements = Elements(build_page(results, PageOptions(images=images(results))).page)
    addresses = elements.addresses()
    assert len(addresses) >= 3 * 3 + 2 * 2
    for place in addresses:
        assert not place.startswith(("/", "http:", "https:", "file:", "//"))
        assert (results / unquote(place)).exists(), place
    figures = [unquote(place) for place in addresses if place.startswith("figures/")]
    assert sorted(set(figures)) == ["figures/50% #1.png", "figures/volume curves.svg"]


def test_what_users_wrote_is_text_and_never_markup(results: Path) -> None:
    failed(results, "</title><img src=x onerror=alert(2)>", '<b>"bold" & broken</b>')
    write_record(results, note="</pre><script>alert(3)</script>")
    elements = Elements(build_page(results, PageOptions(images=images(results))).page)
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 1
    assert tags.count("b") == 0
    assert not [attributes for _, attributes in elements.found if any(name.startswith("on") for name in attributes)]
    for text in (HOSTILE, "</title><img src=x onerror=alert(2)>", '<b>"bold" & broken</b>', "</pre><script>alert(3)"):
        assert text in elements.text
    described_as = (results / "report_files" / file_stem(HOSTILE) / "study.js").read_bytes()
    assert described_as.isascii()


def test_the_page_says_how_the_tables_were_made(results: Path) -> None:
    write_record(results, resume=True)
    text = Elements(build_page(results).page).text
    for part in ("hematoma 0.2.0+12345678", "monai", "torch", "python", "threshold", "0.5"):
        assert part in text
    assert "the run did not end" not in text


def test_a_page_without_a_record_says_so(results: Path) -> None:
    assert "No run.json" in Elements(build_page(results).page).text


def test_flags_stand_with_what_they_mean(results: Path) -> None:
    text = Elements(build_page(results).page).text
    for flag in ("sheared", "tiny_lesion"):
        assert f"{flag} · 1" in text
        assert FLAG_MEANINGS[flag] in text


def test_every_flag_of_the_readme_has_its_meaning() -> None:
    table = README.read_text("utf-8").split("| flag | the study was measured, but |")[1].split("\n\n")[0]
    in_readme = {name.strip(" `") for line in table.splitlines()[2:] for name in line.split("|")[1].split(",")}
    assert in_readme == {*FLAG_MEANINGS}


def test_a_run_names_its_images_for_later(results: Path) -> None:
    write_record(results)
    assert build_page(results).notes == []
    assert described(results / "report_files/a").slices["of"] == 9


def test_without_images_the_pictures_of_the_run_stand_in(results: Path) -> None:
    elements = Elements(build_page(results).page)
    assert described(results / "report_files/a").slices is None
    assert (results / "report_files/a/thumb.jpg").is_file()
    assert "a.png" in elements.addresses()


def test_without_images_masks_and_pictures_there_is_still_a_table(results: Path) -> None:
    for path in (*results.glob("*.png"), *results.glob("*.nii.gz")):
        path.unlink()
    outcome = build_page(results, PageOptions(images=images(results)))
    assert outcome.notes == []
    assert HOSTILE in Elements(outcome.page).text


def written(results: Path) -> dict[str, int]:
    files = (path for path in (results / "report_files").rglob("*") if path.is_file())
    return {str(path.relative_to(results)): path.stat().st_mtime_ns for path in files}


def test_a_second_page_draws_nothing_anew_and_is_the_same(results: Path) -> None:
    page = build_page(results, PageOptions(images=images(results))).page
    before, text = written(results), page.read_bytes()
    build_page(results, PageOptions(images=images(results)))
    assert written(results) == before
    assert page.read_bytes() == text


def test_slices_stay_when_the_images_are_gone(results: Path) -> None:
    build_page(results, PageOptions(images=images(results)))
    shutil.rmtree(results.parent / "images")
    before = written(results)
    build_page(results)
    assert written(results) == before


def test_only_what_is_missing_or_has_another_mask_is_drawn_again(results: Path) -> None:
    build_page(results, PageOptions(images=images(results)))
    before = written(results)
    (results / "report_files/healthy/004.jpg").unlink()
    path = results / "a_mask.nii.gz"
    mask = nib.load(path)
    nib.save(nib.Nifti1Image(np.zeros(mask.shape, np.uint8), mask.affine), path)
    build_page(results, PageOptions(images=images(results)))
    again = {name.split("/")[1] for name, when in written(results).items() if before.get(name) != when}
    assert again == {"a", "healthy"}
    assert not any(slice_["paths"] for slice_ in described(results / "report_files/a").slices["slices"])


def test_another_image_than_the_one_measured_is_a_note_and_not_a_picture(results: Path) -> None:
    (results.parent / "images/scan0.nii.gz").write_bytes((results.parent / "images/scan1.nii.gz").read_bytes())
    outcome = build_page(results, PageOptions(images=images(results)))
    assert len(outcome.notes) == 1
    assert outcome.notes[0].startswith("a: scan0.nii.gz: is not the image that was measured")
    assert described(results / "report_files/a").slices is None
    assert described(results / "report_files/healthy").slices


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda voxels: voxels[:-1], "expected mask and image on one grid, got two"),
        (lambda voxels: voxels + 300, "expected the mask of a run, 0 to 255, got 30"),
    ],
)
def test_a_mask_that_was_edited_into_another_is_told(
    results: Path, edit: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    mask = nib.load(results / "a_mask.nii.gz")
    voxels = edit(np.asarray(mask.dataobj).astype(np.uint16))
    nib.save(nib.Nifti1Image(voxels, mask.affine), results / "a_mask.nii.gz")
    (note,) = build_page(results, PageOptions(images=images(results))).notes
    assert note.startswith(f"a: a_mask.nii.gz: {words}")


def test_a_damaged_image_costs_one_study(results: Path) -> None:
    table = results / "volumes.csv"
    table.write_text(table.read_text("utf-8").replace(_digest_of(results, "scan0"), ""), "utf-8")
    (results.parent / "images/scan0.nii.gz").write_text("this is no image")
    outcome = build_page(results, PageOptions(images=images(results)))
    assert [note.split(":")[0] for note in outcome.notes] == ["a"]
    assert described(results / "report_files/healthy").slices


def _digest_of(results: Path, stem: str) -> str:
    from sliceweave.pipelines.file_stamps import sha256_of

    return sha256_of(results.parent / f"images/{stem}.nii.gz")


def test_a_page_elsewhere_takes_all_it_shows_along(results: Path, tmp_path: Path) -> None:
    (results / "figures").mkdir()
    (results / "figures/curve.svg").write_text("<svg/>")
    out = tmp_path / "deep/page"
    page = build_page(results, PageOptions(out=out, images=images(results))).page
    assert page == out / "report.html"
    assert not (results / "report.html").exists()
    moved = out.rename(tmp_path / "carried away")
    for place in Elements(moved / "report.html").addresses():
        assert (moved / unquote(place)).exists(), place
    assert (moved / "figures/curve.svg").is_file()


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the folder of a run, with a volumes\.csv"):
        build_page(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_images_that_are_none_of_the_studies_are_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds none of the 3 studies"):
        build_page(results, PageOptions(images=str(tmp_path / "images/scan0.nii.gz")))


def test_pages_are_no_studies(results: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(results.parent / "images/scan0.nii.gz", results / "b.nii.gz")
    build_page(results, PageOptions(images=images(results)))
    caplog.clear()
    assert [study.study_id for study in find_studies(results)] == ["b"]
    assert "JPG" not in caplog.text


def test_amounts_have_three_digits_and_sort_by_all_of_theirs(results: Path) -> None:
    page = build_page(results).page.read_text("utf-8")
    exact = (results / "volumes.csv").read_text("utf-8").splitlines()[1].split(",")[4]
    assert f'data-key="{exact}">{float(exact):.1f}<' in unescape(page)


@pytest.mark.parametrize(("name", "expected"), [("a b#?.png", "f/a%20b%23%3F.png"), ("50%é.png", "f/50%25%C3%A9.png")])
def test_an_address_holds_any_name(name: str, expected: str) -> None:
    assert address("f", name) == expected
