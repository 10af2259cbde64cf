from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.tables import Table, read_table

COLUMNS = ("study_id", "label", "volume_ml", "slices", "flags")
AWKWARD_IDS = [
    "007",
    "1e5",
    "NA",
    "nan",
    "None",
    "True",
    "-5",
    "=1+1",
    "@cmd",
    "'quoted",
    "''twice",
    'comma, "quote"',
    " spaces ",
    "two\nlines",
    "carriage\rreturn",
    "crlf\r\nid",
    "\ttab",
    "\rstart",
    "张伟 Łódź Ωμέγα 😀",
    "semi;colon",
    "\u2028line\x85separators",
]


def row(study_id: str, volume_ml: float | None = 1.5, label: str = "hematoma") -> dict[str, str | float | int | None]:
    return {"study_id": study_id, "label": label, "volume_ml": volume_ml, "slices": 3, "flags": ""}


def saved_table(path: Path, study_ids: list[str]) -> Table:
    table = Table(path, COLUMNS)
    for study_id in study_ids:
        table.put(study_id, [row(study_id)])
    table.save()
    return table


def test_awkward_ids_come_back_exactly(tmp_path: Path) -> None:
    saved_table(tmp_path / "t.csv", AWKWARD_IDS)
    assert list(read_table(tmp_path / "t.csv")["study_id"]) == AWKWARD_IDS
    assert [row["study_id"] for row in Table(tmp_path / "t.csv", COLUMNS).load()] == AWKWARD_IDS


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), unique=True))
def test_any_id_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, study_ids: list[str]) -> None:
    path = tmp_path_factory.mktemp("any") / "t.csv"
    saved_table(path, study_ids)
    assert list(read_table(path)["study_id"]) == study_ids
    assert [row["study_id"] for row in Table(path, COLUMNS).load()] == study_ids


def test_no_cell_of_text_begins_like_a_formula(tmp_path: Path) -> None:
    saved_table(tmp_path / "t.csv", AWKWARD_IDS)
    raw = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert not raw["study_id"].str.startswith(("=", "+", "-", "@", "\t", "\r")).any()


def test_numbers_stay_numbers_and_absent_ones_nan(tmp_path: Path) -> None:
    table = Table(tmp_path / "t.csv", COLUMNS)
    table.put("a", [row("a", -12.25), row("a", None)])
    table.save()
    assert (tmp_path / "t.csv").read_bytes() == (
        b"study_id,label,volume_ml,slices,flags\na,hematoma,-12.25,3,\na,hematoma,,3,\n"
    )
    read = read_table(tmp_path / "t.csv")
    assert read["volume_ml"][0] == -12.25
    assert pd.isna(read["volume_ml"][1])
    assert list(read["slices"]) == [3, 3]
    assert list(read["flags"]) == ["", ""]


def test_a_table_without_rows_reads_as_its_columns(tmp_path: Path) -> None:
    saved_table(tmp_path / "t.csv", [])
    assert list(read_table(tmp_path / "t.csv").columns) == list(COLUMNS)


def test_rows_are_replaced_in_place(tmp_path: Path) -> None:
    table = saved_table(tmp_path / "t.csv", ["a", "b", "c"])
    table.put("b", [row("b", 7.0, "one"), row("b", 8.0, "two")])
    table.save()
    read = read_table(tmp_path / "t.csv")
    assert list(read["study_id"]) == ["a", "b", "b", "c"]
    assert list(read["volume_ml"]) == [1.5, 7.0, 8.0, 1.5]


def test_loading_and_saving_changes_no_byte(tmp_path: Path) -> None:
    saved_table(tmp_path / "t.csv", AWKWARD_IDS)
    before = (tmp_path / "t.csv").read_bytes()
    table = Table(tmp_path / "t.csv", COLUMNS)
    table.load()
    table.save()
    assert (tmp_path / "t.csv").read_bytes() == before


def test_a_table_a_spreadsheet_saved_again_still_loads(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + ",".join(COLUMNS).encode() + b"\r\npt1,hematoma,1.5,3,\r\n")
    assert Table(tmp_path / "t.csv", COLUMNS).load() == [
        {"study_id": "pt1", "label": "hematoma", "volume_ml": "1.5", "slices": "3", "flags": ""}
    ]


HEADER = ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "line 1: the file is cut short"),
        ("name;volume\na;1\n", "line 1: expected the columns study_id,.*, found name;volume"),
        (f"{HEADER}\na,hematoma,1.5,3,\nb,hema", "line 3: the file is cut short"),
        (f"{HEADER}\na,hematoma,1.5\n", "line 2: expected 5 cells, found 3"),
        (f"{HEADER}\na,hematoma,1.5,3,,\n", "line 2: expected 5 cells, found 6"),
        (f"{HEADER}\na,hematoma,,3,\nb,hematoma,many,3,\n", "line 3: expected a number as volume_ml, found 'many'"),
        (f'{HEADER}\n"a,hematoma,1.5,3,\n', "line 2: unexpected end of data"),
        (b"\xff\xfes\x00t\x00\n", "line 1: expected UTF-8 text, found byte 0xff"),
    ],
)
def test_a_foreign_or_damaged_table_is_refused_with_its_line(tmp_path: Path, content: str | bytes, what: str) -> None:
    (tmp_path / "t.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"t.csv, {what}; restore the file, or write to an empty output folder"):
        Table(tmp_path / "t.csv", COLUMNS).load()


def test_a_missing_table_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*t.csv: No such file"):
        Table(tmp_path / "t.csv", COLUMNS).load()
    with pytest.raises(InputError, match=r"t.csv: expected a CSV table"):
        read_table(tmp_path / "t.csv")
