import re

import pytest
from miniature_pictures import write_csv

from sliceweave.pipelines.cases import PrepareOptions, SourceFiles
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.slice_spacing import spacing_table

HEADER = ("patient", "pixel_size_mm", "slice_thickness_mm")


def table_of(root, rows, encoding="utf-8", **options):
    write_csv(root / "spacing.csv", rows, encoding)
    return spacing_table(SourceFiles(root), PrepareOptions(**options))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_spacing_of_each_patient_comes_from_the_file_in_the_root(tmp_path, encoding):
    table = table_of(tmp_path, [HEADER, ("P01", 0.45, 5), ("王", 0.5, 7.5)], encoding)
    assert table.ct_mm("P01") == (0.45, 5)
    assert table.ct_mm("王") == (0.5, 7.5)


def test_file_in_the_root_is_claimed(tmp_path):
    write_csv(tmp_path / "spacing.csv", [HEADER])
    files = SourceFiles(tmp_path)
    spacing_table(files, PrepareOptions())
    assert list(files) == []


def test_users_file_goes_before_the_one_in_the_root(tmp_path):
    own = write_csv(tmp_path / "own" / "mine.csv", [HEADER, ("P01", 0.6, 3)])
    assert table_of(tmp_path, [HEADER, ("P01", 0.45, 5)], spacing_csv=own).ct_mm("P01") == (0.6, 3)


def test_options_fill_what_the_file_leaves_open(tmp_path):
    rows = [HEADER, ("P01", 0.45, ""), ("P02", "", 7)]
    table = table_of(tmp_path, rows, pixel_mm=0.3, thickness_mm=2.5)
    assert [table.ct_mm(patient) for patient in ("P01", "P02", "P03")] == [(0.45, 2.5), (0.3, 7), (0.3, 2.5)]


def test_thickness_of_the_data_set_counts_only_where_nobody_says_another(tmp_path):
    files, rows = SourceFiles(tmp_path), [HEADER, ("1", 0.5, 3)]
    write_csv(tmp_path / "spacing.csv", rows)
    table = spacing_table(files, PrepareOptions(pixel_mm=0.4), thickness_mm=5.0)
    assert (table.ct_mm("1"), table.ct_mm("2")) == ((0.5, 3), (0.4, 5.0))


def test_zeros_that_a_spreadsheet_strips_do_not_matter(tmp_path):
    table = table_of(tmp_path, [HEADER, ("49", 0.45, 5)])
    assert table.ct_mm("049") == (0.45, 5)


def test_columns_are_found_in_any_order_and_case(tmp_path):
    table = table_of(tmp_path, [("Slice_Thickness_mm", " Patient", "Pixel_Size_MM"), (5, "P01", 0.45)])
    assert table.ct_mm("P01") == (0.45, 5)


def test_echo_needs_no_thickness_column(tmp_path):
    assert table_of(tmp_path, [HEADER[:2], ("a", 0.3)]).of("a") == (0.3, None)


@pytest.mark.parametrize(("options", "missing"), [({}, "pixel size"), ({"pixel_mm": 0.5}, "slice thickness")])
def test_ct_without_spacing_says_where_to_put_it(tmp_path, options, missing):
    message = (
        f"no {missing} for patient P01: expected spacing.csv (patient,pixel_size_mm,slice_thickness_mm) "
        "or --pixel-size and --slice-thickness"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        spacing_table(SourceFiles(tmp_path), PrepareOptions(**options)).ct_mm("P01")


BAD_FILES = {
    "another column": ([("patient", "pixel")], "has the columns patient, pixel; expected patient,pixel_size_mm"),
    "semicolons": ([("patient;pixel_size_mm;slice_thickness_mm",), ("P01;0.5;5",)], "with commas"),
    "empty": ([], r"has the columns \(none\)"),
    "text": ([HEADER, ("P01", "0.5 mm", 5)], "line 2: expected pixel_size_mm in mm, 0.05 to 30, got '0.5 mm'"),
    "zero": ([HEADER, ("P01", 0.5, 0)], "line 2: expected slice_thickness_mm in mm, 0.05 to 30, got '0'"),
    "nan": ([HEADER, ("P01", "nan", 5)], "got 'nan'"),
    "infinity": ([HEADER, ("P01", "inf", 5)], "got 'inf'"),
    "decimal comma": ([HEADER, ("P01", "0,5", 5)], "got '0,5'; write a decimal point"),
    "twice": ([HEADER, ("049", 0.5, 5), ("49", 0.4, 5)], "line 3: expected one line for each patient, got '49' again"),
    "no patient": ([HEADER, ("", 0.5, 5)], "line 2: expected one line for each patient, got ''"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_named_in_one_line(tmp_path, case):
    rows, message = BAD_FILES[case]
    with pytest.raises(InputError, match=f"spacing.csv.*{message}") as excinfo:
        table_of(tmp_path, rows)
    assert "\n" not in str(excinfo.value)


def test_file_in_another_encoding_is_named_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"spacing.csv' is not UTF-8 text .* UTF-8"):
        table_of(tmp_path, [HEADER, ("王", 0.5, 5)], "gb18030")


def test_users_file_that_is_missing_is_named_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"none.csv' cannot be read as a CSV"):
        spacing_table(SourceFiles(tmp_path), PrepareOptions(spacing_csv=tmp_path / "none.csv"))
