"""The page with a whole scan in it; that its script works is for the browser tests."""

import base64
import gzip
import re
import tarfile
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from miniature_report import HOSTILE, write_results

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.page import PageOptions, build_page
from sliceweave.pipelines.page_viewer import Viewer, colour_table
from sliceweave.pipelines.studies import file_stem

SCRIPT = '(function(g){g.niivue={};g.niivue.note="</SCRIPT><!--"})(globalThis);'


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path, {HOSTILE: 5})


def built(results: Path, viewer: Viewer) -> tuple[Path, list[str]]:
    outcome = build_page(results, PageOptions(images=str(results.parent / "studies.csv"), viewer=viewer))
    return results / "report_files" / file_stem(HOSTILE) / "viewer.html", list(outcome.notes)


def volume_in(text: str, name: str) -> nib.Nifti1Image:
    encoded = re.search(rf'id="{name}">([A-Za-z0-9+/=]*)<', text)[1]
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(encoded)))


def test_a_page_holds_scan_and_mask_as_they_are_and_nothing_else_of_their_headers(results: Path) -> None:
    image = results.parent / "images/scan0.nii.gz"
    text = built(results, Viewer(SCRIPT))[0].read_text("utf-8")
    for name, source in {"image": image, "mask": results / f"{file_stem(HOSTILE)}_mask.nii.gz"}.items():
        embedded, original = volume_in(text, name), nib.load(source)
        np.testing.assert_array_equal(np.asarray(embedded.dataobj), np.asarray(original.dataobj))
        np.testing.assert_array_equal(embedded.affine, original.affine)
        assert embedded.header["descrip"] == b""


def test_the_script_cannot_end_its_element_and_its_licence_is_kept(results: Path) -> None:
    text = built(results, Viewer(SCRIPT))[0].read_text("utf-8")
    assert text.count("</script") == text.count("<script") == 4
    assert "</SCRIPT" not in text
    assert "<!--" not in text
    assert "Copyright (c) 2021, Niivue" in text
    assert "THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS" in text


def test_a_page_too_large_for_a_browser_is_a_note_with_its_size(results: Path) -> None:
    path, notes = built(results, Viewer(SCRIPT + " " * 3_000_000, largest_mb=2))
    assert not path.exists()
    assert len(notes) == 1
    assert "it would have 3 MB, more than 2" in notes[0]
    assert "--viewer-limit" in notes[0]


def test_a_page_is_remade_only_for_another_mask(results: Path) -> None:
    path, _ = built(results, Viewer(SCRIPT))
    before = path.stat().st_mtime_ns
    built(results, Viewer(SCRIPT))
    assert path.stat().st_mtime_ns == before
    mask = results / f"{file_stem(HOSTILE)}_mask.nii.gz"
    empty = nib.load(mask)
    nib.save(nib.Nifti1Image(np.zeros(empty.shape, np.uint8), empty.affine), mask)
    built(results, Viewer(SCRIPT))
    assert path.stat().st_mtime_ns != before


def test_the_script_comes_from_a_file_from_npms_archive_or_from_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"--viewer auto: found no .*npm pack @niivue/niivue"):
        Viewer.found("auto")
    member = tarfile.TarInfo("package/dist/niivue.umd.js")
    member.size = len(SCRIPT)
    with tarfile.open("niivue-niivue-0.69.0.tgz", "w:gz") as archive:
        archive.addfile(member, BytesIO(SCRIPT.encode()))
    (tmp_path / "script.js").write_text(SCRIPT)
    for place in ("auto", "niivue-niivue-0.69.0.tgz", "script.js"):
        assert Viewer.found(place).script == SCRIPT


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.js", None, "cannot be read: No such file"),
        ("index.min.js", b"export class Niivue {}", "expected NiiVue's single-file build"),
        ("cut.tgz", b"no archive", "cannot be read"),
    ],
)
def test_another_file_is_refused_in_one_line(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as refused:
        Viewer.found(str(tmp_path / name))
    assert "npm pack @niivue/niivue" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_labels_have_the_colours_of_their_contours() -> None:
    table = colour_table(np.array([[[0, 2], [1, 1]]], np.uint8))
    assert (table["I"], table["A"]) == ([0, 1, 2], [0, 255, 255])
    assert (table["R"][1], table["G"][1], table["B"][1]) == (230, 159, 0)
