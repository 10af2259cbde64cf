import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sliceweave.pipelines.cells import guard
from sliceweave.pipelines.cli import app
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.studies import CONVERSION_ADVICE, Study, file_stem, find_studies
from sliceweave.pipelines.study_csv import strip_guard

LOGGER = "sliceweave.pipelines.studies"


@pytest.fixture
def make(tmp_path):
    """Writes files below tmp_path, empty unless given content, and returns tmp_path."""

    def make_files(*names, content=b""):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path

    return make_files


def ids(source):
    return [study.study_id for study in find_studies(source)]


def reason(source):
    with pytest.raises(InputError) as caught:
        find_studies(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def csv_with(folder, text, encoding="utf-8"):
    path = folder / "studies.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_a_folder_gives_its_images_of_all_formats_sorted_at_any_depth(make):
    folder = make("b/two.nii", "a/one.nii.gz", "a/deep/er/three.NRRD", "c.MHA", "d.mhd", "E.NII.GZ", "readme.txt")
    assert find_studies(folder) == [
        Study("E", folder / "E.NII.GZ"),
        Study("three", folder / "a/deep/er/three.NRRD"),
        Study("one", folder / "a/one.nii.gz"),
        Study("two", folder / "b/two.nii"),
        Study("c", folder / "c.MHA"),
        Study("d", folder / "d.mhd"),
    ]


def test_a_name_with_dots_loses_only_its_image_suffix(make):
    assert ids(make("1.2.840.5.nii.gz", "x.nii.nii")) == ["1.2.840.5", "x.nii"]


def test_hidden_files_and_folders_are_not_studies(make):
    assert ids(make("a.nii", "._a.nii", ".b.nii.gz", ".trash/c.nii")) == ["a"]


def test_links_to_folders_are_followed_and_loops_end(make, tmp_path_factory):
    folder, elsewhere = make("a/one.nii"), tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "two.nii").touch()
    (folder / "linked").symlink_to(elsewhere)
    (folder / "a" / "up").symlink_to(folder)
    (folder / "a" / "self").symlink_to(folder / "a")
    (elsewhere / "back").symlink_to(folder)
    assert ids(folder) == ["one", "two"]
    assert ids(f"{folder}/**/*.nii") == ["one", "two"]


def test_a_file_that_is_also_reached_through_a_link_is_one_study(make):
    folder = make("a/one.nii")
    (folder / "b").mkdir()
    (folder / "b" / "one.nii").symlink_to(folder / "a" / "one.nii")
    assert ids(folder) == ["one"]


def test_a_broken_link_stays_in_the_list_to_fail_as_one_study(make):
    folder = make("a.nii")
    (folder / "b.nii").symlink_to(folder / "gone.nii")
    assert ids(folder) == ["a", "b"]


def test_masks_labels_and_segmentations_are_skipped_with_one_line(make, caplog):
    folder = make("a.nii.gz", "a_mask.nii.gz", "a_LABEL.nii", "b_seg.nrrd", "label_c.nii", "mask.nii")
    with caplog.at_level(logging.INFO, LOGGER):
        assert ids(folder) == ["a", "label_c", "mask"]
    assert [record.getMessage() for record in caplog.records] == [
        "skipped 3 files whose names end in _mask, _label, _seg"
    ]


def test_a_folder_of_masks_alone_is_no_source(make):
    assert "only 2 files whose names end in _mask" in reason(make("a_mask.nii", "b_seg.nii"))


def test_of_images_and_labels_the_images_are_studies_and_same_names_their_labels(make):
    folder = make("images/a.nii", "images/b.nii", "images/sub/c.nii", "labels/a.nii", "labels/sub/c.nii")
    expected = [
        Study("a", folder / "images/a.nii", folder / "labels/a.nii"),
        Study("b", folder / "images/b.nii"),
        Study("c", folder / "images/sub/c.nii", folder / "labels/sub/c.nii"),
    ]
    assert find_studies(folder) == expected
    assert find_studies(folder / "images") == expected
    assert find_studies(folder / "images" / "a.nii") == expected[:1]
    assert ids(folder / "labels") == ["a", "c"]


def test_what_lies_beside_images_and_labels_is_looked_at(make):
    folder = make("images/a.nii", "labels/a.nii", "beside.nii", "more/b.nii", ".hidden/c.nii", "more/labels/d.nii")
    assert find_studies(folder) == [
        Study("beside", folder / "beside.nii"),
        Study("a", folder / "images/a.nii", folder / "labels/a.nii"),
        Study("b", folder / "more/b.nii"),
        Study("d", folder / "more/labels/d.nii"),
    ]


def test_several_data_sets_below_a_folder_keep_their_labels(make):
    folder = make("x/images/a.nii", "x/labels/a.nii", "y/images/b.nii", "y/labels/b.nii")
    assert [study.label for study in find_studies(folder)] == [folder / "x/labels/a.nii", folder / "y/labels/b.nii"]


def test_a_glob_gives_the_files_it_matches(make):
    folder = make("a_ct.nii.gz", "a_mask.nii.gz", "sub/b_ct.nii.gz", "sub/deep/c_ct.nii.gz", "sub/other.nii")
    assert ids(f"{folder}/*_ct.nii.gz") == ["a_ct"]
    assert ids(f"{folder}/*/*_ct.nii.gz") == ["b_ct"]
    assert ids(f"{folder}/**/*_ct.nii.gz") == ["a_ct", "b_ct", "c_ct"]
    assert ids(f"{folder}/**") == ["a_ct", "b_ct", "c_ct", "other"]
    assert ids(f"{folder}/sub/**/deep/*") == ["c_ct"]


def test_a_glob_may_be_relative(make, monkeypatch):
    monkeypatch.chdir(make("sub/a.nii"))
    assert find_studies("**/*.nii") == [Study("a", Path("sub/a.nii"))]


def test_a_folder_whose_name_holds_glob_characters_is_a_folder(make):
    folder = make("set [1]/a*.nii")
    assert ids(folder / "set [1]") == ["a*"]
    assert ids(folder / "set [1]" / "a*.nii") == ["a*"]


def test_one_file_is_one_study_even_if_it_is_named_like_a_mask(make):
    folder = make("a_mask.nii.gz")
    assert find_studies(folder / "a_mask.nii.gz") == [Study("a_mask", folder / "a_mask.nii.gz")]


@pytest.mark.parametrize(
    ("names", "content", "found"),
    [
        (["1.dcm", "2.DCM", "x.ima"], b"", "3 DICOM files"),
        (["sub/IM0001", "sub/1.2.840.99", "notes"], bytes(128) + b"DICM", "3 DICOM files"),
        (["DICOMDIR"], b"", "1 DICOM file"),
        (["a.png", "b.jpg", "c.JPEG"], b"", "2 JPG files, 1 PNG file"),
    ],
)
def test_formats_to_convert_are_counted_and_the_command_is_named(make, names, content, found):
    folder = make(*names, content=content)
    assert found in reason(folder)
    assert CONVERSION_ADVICE in reason(folder)


def test_formats_to_convert_beside_studies_are_one_line_in_the_log(make, caplog):
    folder = make("a.nii", "b.dcm", "c.png", "table.csv")
    with caplog.at_level(logging.INFO, LOGGER):
        assert ids(folder) == ["a"]
    assert len(caplog.records) == 1
    assert "not read: 1 DICOM file, 1 PNG file" in caplog.text
    assert CONVERSION_ADVICE in caplog.text


def test_pictures_of_our_report_are_not_to_be_converted(make, caplog):
    folder = make("a.nii", "out/1.2.png", "out/1.2_mask.nii.gz", f"out/{'x' * 250}.png")
    assert "1 PNG file;" in reason(f"{folder}/out/*.png")
    with caplog.at_level(logging.WARNING, LOGGER):
        assert ids(folder) == ["a"]
    assert "not read: 1 PNG file;" in caplog.text
    assert CONVERSION_ADVICE not in reason(folder / "out" / "1.2.png")


def test_the_advice_is_true_of_this_version():
    assert "sliceweave prepare TASK SOURCE DEST" in CONVERSION_ADVICE
    assert "prepare" in {command.callback.__name__ for command in app.registered_commands if command.callback}


def test_a_single_dicom_file_is_answered_with_the_command(make):
    folder = make("one.dcm", "one.txt")
    assert CONVERSION_ADVICE in reason(folder / "one.dcm")
    assert "expected .nii.gz, .nii, .nrrd, .mha, .mhd" in reason(folder / "one.txt")


def test_a_source_without_studies_says_what_is_wrong(make):
    folder = make("notes.txt")
    assert "does not exist; expected a folder, a glob, a CSV" in reason(folder / "missing")
    assert "does not exist" in reason("")
    assert "holds no study; expected images" in reason(folder)
    assert "matches no image" in reason(f"{folder}/*.nii")
    assert "matches no image" in reason(f"{folder}/missing/**/*.nii")


def test_a_folder_that_cannot_be_read_is_named_in_the_log(make, caplog, monkeypatch):
    folder, scandir = make("a.nii", "locked/b.nii"), os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with caplog.at_level(logging.WARNING, LOGGER):
        assert ids(folder) == ["a"]
    assert f"skipped folder '{folder / 'locked'}': Permission denied" in caplog.text


def test_two_files_with_one_id_are_an_error_that_names_both(make):
    folder = make("a/x.nii.gz", "b/x.nii")
    message = reason(folder)
    assert "two studies are called 'x'" in message
    assert str(folder / "a/x.nii.gz") in message
    assert str(folder / "b/x.nii") in message


def test_a_csv_keeps_its_order_and_takes_paths_from_its_own_folder(make):
    folder = make("in/z.nii", "in/a.nii", "in/a_label.nii")
    table = csv_with(folder, f"study_id,image,label\nz,in/z.nii,\na,{folder}/in/a.nii,in/a_label.nii\n")
    assert find_studies(table) == [
        Study("z", folder / "in/z.nii"),
        Study("a", folder / "in/a.nii", folder / "in/a_label.nii"),
    ]


def test_a_csv_from_a_spreadsheet_is_read(make):
    folder = make("a.nii")
    table = csv_with(folder, "Image, Study_ID ,note\r\na.nii, 007,x\r\n,,\r\n\r\n", "utf-8-sig")
    assert find_studies(table) == [Study("007", folder / "a.nii")]


def test_an_image_that_a_csv_names_and_that_is_missing_stays_in_the_list(make):
    assert ids(csv_with(make("a.nii"), "study_id,image\na,a.nii\nb,missing.nii\n")) == ["a", "b"]


@pytest.mark.parametrize("study_id", ["a,b", 'say "hi"', "=1+1", "+x", "-y", "@z", "头部 CT", "Ünïcode", "'=quoted"])
def test_unusual_ids_survive_a_csv_that_guards_against_spreadsheets(make, study_id):
    quoted = guard(study_id).replace('"', '""')
    assert ids(csv_with(make("a.nii"), f'study_id,image\n"{quoted}",a.nii\n')) == [study_id]


@pytest.mark.parametrize("study_id", ["a,b", "=1+1", "头部 CT", "it's", "100%"])
def test_unusual_file_names_become_ids_as_they_are(make, study_id):
    assert ids(make(f"{study_id}.nii.gz")) == [study_id]


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_a_file_name_that_is_no_text_gets_an_id_that_is(tmp_path):
    name = os.fsdecode(b"scan\xff.nii")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("the file system takes only UTF-8 names")
    assert ids(tmp_path)[0].encode().startswith(b"scan\\")


@pytest.mark.parametrize(
    ("text", "stripped"),
    [("'=a", "=a"), ("'+", "+"), ("''x", "'x"), ("'abc", "'abc"), ("a'=", "a'="), ("'", "'"), ("", "")],
)
def test_a_guard_is_stripped_only_where_our_writer_puts_one(text, stripped):
    assert strip_guard(text) == stripped


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has the columns (none); expected study_id,image"),
        ("id,path\na,a.nii\n", "has the columns id, path; expected study_id,image"),
        ("study_id;image\na;a.nii\n", "has the columns study_id;image; expected study_id,image"),
        ("study_id,image\n", "has no rows"),
        ("study_id,image\na,a.nii\n ,b.nii\n", "line 3 has an empty study_id or image"),
        ("study_id,image\na,\n", "line 2 has an empty study_id or image"),
        ("study_id,image\na,x,y.nii\n", "line 2 has more fields than the header"),
        ("study_id,image,image\na,x.nii,y.nii\n", "has the column image more than once; keep one"),
        ('study_id,image\n"a,a.nii\n', "cannot be read as a CSV"),
    ],
)
def test_a_broken_csv_says_what_is_wrong(make, text, words):
    message = reason(csv_with(make(), text))
    assert words in message
    assert "studies.csv" in message


def test_a_csv_that_is_not_utf8_says_so(make):
    assert "is not UTF-8 text" in reason(csv_with(make(), "study_id,image\nMüller,a.nii\n", "cp1252"))


def test_two_rows_with_one_id_are_an_error_that_names_both_files(make):
    message = reason(csv_with(make("a.nii", "b.nii"), "study_id,image\nx,a.nii\nx,b.nii\n"))
    assert "two studies are called 'x'" in message
    assert "a.nii" in message
    assert "b.nii" in message


@pytest.mark.parametrize(
    ("study_id", "stem"),
    [
        ("patient 1_(b)+c,d=e", "patient 1_(b)+c,d=e"),
        ("头部-CT", "头部-CT"),
        ("a/b\\c:d", "a%2Fb%5Cc%3Ad"),
        ('*?"<>|', "%2A%3F%22%3C%3E%7C"),
        ("100%", "100%25"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("dot.", "dot%2E"),
        ("space ", "space%20"),
        ("line\nbreak", "line%0Abreak"),
        ("con", "%63on"),
        ("Lpt1.x", "%4Cpt1.x"),
        ("console", "console"),
    ],
)
def test_a_file_stem_encodes_only_what_a_file_system_refuses(study_id, stem):
    assert file_stem(study_id) == stem


def test_a_long_id_gets_a_stem_that_fits_and_differs(tmp_path):
    stems = {file_stem(text) for text in ("头" * 500, "头" * 501, "/" * 400, "/" * 401, "a" * 255, "a" * 254 + "b")}
    assert len(stems) == 6
    for stem in stems:
        (tmp_path / f"{stem}_mask.nii.gz").touch()


@given(st.text(max_size=80), st.text(max_size=80))
def test_two_ids_never_share_a_file_stem(first, second):
    assert (file_stem(first) == file_stem(second)) == (first == second)


@given(st.text(min_size=1, max_size=300))
def test_every_id_gives_a_stem_that_file_systems_take(study_id):
    stem = file_stem(study_id)
    assert stem
    assert len(stem.encode()) <= 200
    assert stem[0] != "."
    assert stem[-1] not in ". "
    assert not set(stem) & set('/\\:*?"<>|\0\n\r\t')


def test_the_real_head_scans_are_found(real_data):
    assert len(find_studies(f"{real_data}/head_ct/ct_ich/**/*_ct.nii.gz")) == 21
    assert "28 DICOM files" in reason(real_data / "head_ct" / "ge_tilt_dicom")
