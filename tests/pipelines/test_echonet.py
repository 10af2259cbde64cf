import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from miniature_echo import FRAMES, LIST_HEADER, TRACING_HEADER, EchoStudy, write_echonet, write_video
from numpy.typing import NDArray

from sliceweave.pipelines.cases import Case, PrepareOptions, SliceStack, SourceFiles
from sliceweave.pipelines.chord_tracings import outlines_xy, pixels_inside
from sliceweave.pipelines.echonet import find_echonet
from sliceweave.pipelines.errors import InputError

JPEG_LOSS = 2


@pytest.fixture
def studies(tmp_path: Path) -> dict[str, EchoStudy]:
    return write_echonet(tmp_path)


def find(folder: Path, options: PrepareOptions = PrepareOptions()) -> dict[str, Case]:  # noqa: B008 - frozen
    return {case.study_id: case for case in find_echonet(SourceFiles(folder), options)}


def voxels(stack: SliceStack) -> NDArray[np.uint8]:
    return np.concatenate(list(stack.blocks()), axis=2)


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text()
    path.write_text(change(before))
    assert path.read_text() != before


def reason(case: Case) -> str:
    with pytest.raises(InputError) as caught:
        voxels(case.image())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_study_holds_the_traced_frames_in_the_order_of_time(tmp_path: Path, studies: dict[str, EchoStudy]) -> None:
    found = find(tmp_path)
    assert list(found) == list(studies)
    for study_id, study in studies.items():
        image = found[study_id].image()
        assert image.geometry.shape == study.image.shape
        assert np.abs(voxels(image).astype(int) - study.image).max() <= JPEG_LOSS
        assert voxels(image).dtype == image.dtype == np.uint8


def test_the_label_is_what_lies_between_the_chords_and_knows_nothing_of_the_long_axis(
    tmp_path: Path, studies: dict[str, EchoStudy]
) -> None:
    found = find(tmp_path)
    for study_id, study in studies.items():
        case = found[study_id]
        assert case.label is not None
        assert case.coding is None
        np.testing.assert_array_equal(voxels(case.label()), study.cavity)
        np.testing.assert_array_equal(case.label().geometry.affine_ras, case.image().geometry.affine_ras)


def test_a_table_of_tracings_that_holds_all_rows_twice_gives_the_same_outlines(
    tmp_path: Path, studies: dict[str, EchoStudy]
) -> None:
    header, *rows = (tmp_path / "VolumeTracings.csv").read_text().splitlines()
    (tmp_path / "VolumeTracings.csv").write_text("\n".join([header, *rows, *rows]) + "\n")
    found = find(tmp_path)
    for study_id, study in studies.items():
        label = found[study_id].label
        assert label is not None
        np.testing.assert_array_equal(voxels(label()), study.cavity)


def test_patient_and_split_are_those_of_the_data_set(tmp_path: Path, studies: dict[str, EchoStudy]) -> None:
    found = find(tmp_path)
    assert {(c.study_id, c.patient, c.split) for c in found.values()} == {
        (study_id, study.patient, study.split) for study_id, study in studies.items()
    }


def test_pixels_are_a_millimetre_and_flagged_until_the_user_gives_their_size(
    tmp_path: Path, studies: dict[str, EchoStudy]
) -> None:
    unknown, given = (
        find(tmp_path, PrepareOptions(pixel_mm=pixel_mm))[next(iter(studies))].image() for pixel_mm in (None, 0.31)
    )
    np.testing.assert_array_equal(unknown.geometry.affine_ras, np.diag([-1, -1, 1, 1]))
    np.testing.assert_array_equal(given.geometry.affine_ras, np.diag([-0.31, -0.31, 1, 1]))
    assert (unknown.flags, given.flags) == (("unknown_pixel_size",), ())


def test_a_spacing_csv_gives_each_patient_its_pixel_size(tmp_path: Path, studies: dict[str, EchoStudy]) -> None:
    assert len(studies) == 3
    (tmp_path / "spacing.csv").write_text("patient,pixel_size_mm\n0X2B4D,0.27\n")
    found = find(tmp_path)
    np.testing.assert_array_equal(found["0X2B4D"].image().geometry.affine_ras, np.diag([-0.27, -0.27, 1, 1]))
    assert found["0X1A3C"].image().flags == ("unknown_pixel_size",)


def test_all_its_files_are_claimed_and_no_others(tmp_path: Path, studies: dict[str, EchoStudy]) -> None:
    (tmp_path / "readme.txt").write_text(f"{len(studies)}")
    files = SourceFiles(tmp_path)
    find_echonet(files, PrepareOptions())
    assert [path.name for path in files] == ["readme.txt"]


def test_a_folder_without_tracings_is_none_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "FileList.csv").write_text(LIST_HEADER)
    files = SourceFiles(tmp_path)
    assert find_echonet(files, PrepareOptions()) == []
    assert len(list(files)) == 1


LIST, TRACINGS = "FileList.csv", "VolumeTracings.csv"
BAD_TABLES = {
    "two splits": (LIST, lambda t: f"{t}0X1A3C.avi,1,1,1,1,1,50,7,TEST\n", "in two splits (TEST and TRAIN)"),
    "unknown split": (LIST, lambda t: t.replace("7,TRAIN", "7,PUBLIC", 1), "got 'PUBLIC'"),
    "not listed": (LIST, lambda t: re.sub("0X1A3C.*\n", "", t), "found no row of it"),
    "more frames listed": (LIST, lambda t: t.replace("50,7,TRAIN", "50,9,TRAIN", 1), "expected 9 frames, got 7"),
    "endless video": (LIST, lambda t: t.replace("50,7,TRAIN", "50,inf,TRAIN", 1), "expected 1000000 frames, got 7"),
    "late frame": (TRACINGS, lambda t: t.replace(",5\n", ",7\n", 21), "expected tracings of frames 0 to 6"),
    "half a frame": (TRACINGS, lambda t: t.replace(",5\n", ",5.5\n", 1), "got a tracing of frame 5.5"),
    "negative frame": (TRACINGS, lambda t: t.replace(",5\n", ",-1\n", 1), "got a tracing of frame -1"),
    "no number": (TRACINGS, lambda t: t.replace("20.3", "?", 1), "expected five numbers"),
    "outside": (TRACINGS, lambda t: t.replace("4.37", "-1.6", 1), "got a point at ("),
}


@pytest.mark.parametrize("fault", BAD_TABLES)
def test_a_fault_in_a_table_costs_its_own_study_one_line(
    fault: str, tmp_path: Path, studies: dict[str, EchoStudy]
) -> None:
    table, change, expected = BAD_TABLES[fault]
    edit(tmp_path / table, change)
    found = find(tmp_path)
    assert expected in reason(found["0X1A3C"])
    for study_id in list(studies)[1:]:
        assert voxels(found[study_id].image()).shape == studies[study_id].image.shape


def test_a_point_less_than_a_pixel_outside_is_let_pass(tmp_path: Path, studies: dict[str, EchoStudy]) -> None:
    edit(tmp_path / TRACINGS, lambda text: text.replace("4.37", "-1.4", 1))
    assert voxels(find(tmp_path)["0X1A3C"].image()).shape == studies["0X1A3C"].image.shape


def test_two_chords_are_no_outline(tmp_path: Path, studies: dict[str, EchoStudy]) -> None:
    rows = (tmp_path / TRACINGS).read_text().splitlines()
    (tmp_path / TRACINGS).write_text("\n".join(rows[:4] + rows[22:]) + "\n")
    assert "got 3 rows for frame 5" in reason(find(tmp_path)[next(iter(studies))])


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize("cut", [1, 400, 3000, 7000])
def test_a_truncated_video_is_told_in_one_line(cut: int, tmp_path: Path) -> None:
    video = tmp_path / "Videos" / "0X2B4D.avi"
    video.write_bytes(video.read_bytes()[:-cut])
    assert "cut short" in reason(find(tmp_path)["0X2B4D"])


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize("content", [b"", b"RIFF", b"no video at all" * 100])
def test_a_file_that_is_no_video_is_told_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "Videos" / "0X2B4D.avi").write_bytes(content)
    assert "0X2B4D.avi: expected" in reason(find(tmp_path)["0X2B4D"])


@pytest.mark.usefixtures("studies")
def test_frames_missing_from_a_video_whose_length_is_right_are_told(tmp_path: Path) -> None:
    video = tmp_path / "Videos" / "0X2B4D.avi"
    content = video.read_bytes()
    last = content.rindex(b"00dc", 0, content.rindex(b"idx1"))
    video.write_bytes(content[:last] + bytes(len(content) - last))
    assert f"expected {FRAMES} frames, got" in reason(find(tmp_path)["0X2B4D"])


@pytest.mark.usefixtures("studies")
def test_tracings_without_a_video_are_told(tmp_path: Path) -> None:
    (tmp_path / "Videos" / "0X2B4D.avi").unlink()
    assert "expected one video Videos/0X2B4D.avi" in reason(find(tmp_path)["0X2B4D"])


@pytest.mark.usefixtures("studies")
@pytest.mark.parametrize(
    ("table", "content", "expected"),
    [
        (LIST, None, "FileList.csv: expected a CSV table"),
        (LIST, "FileName,EF\nx,1\n", "expected the columns Split, NumberOfFrames, found FileName, EF"),
        (TRACINGS, "FileName,X,Y,Frame\n", "expected the columns X1, Y1, X2, Y2, found FileName, X, Y, Frame"),
        (TRACINGS, "", "VolumeTracings.csv: expected a CSV table"),
        (TRACINGS, TRACING_HEADER.replace(",", "\xff"), "VolumeTracings.csv: expected a CSV table"),
    ],
)
def test_an_unusable_table_is_told_once(table: str, content: str | None, expected: str, tmp_path: Path) -> None:
    (tmp_path / table).unlink()
    if content is not None:
        (tmp_path / table).write_text(content, encoding="latin-1")
    (case,) = find(tmp_path).values()
    assert expected in reason(case)


def test_slanted_chords_make_the_outline_that_level_ones_make() -> None:
    level = np.array([[3.2, y, 12.7, y, 4] for y in (0.0, 2.1, 5.3, 9.8)])
    upright = level[:, [1, 0, 3, 2, 4]]
    (first,), (second,) = (outlines_xy(rows).values() for rows in (level, upright))
    np.testing.assert_array_equal(pixels_inside(first, 17, 11), pixels_inside(second, 11, 17).T)
    assert pixels_inside(first, 17, 11).sum() == 9 * 7  # x 4 to 12, y 3 to 9: the first row is the long axis


def test_frames_are_read_alike_whichever_are_wanted(tmp_path: Path) -> None:
    from sliceweave.pipelines.video_frames import grey_frames

    frames = write_video(tmp_path / "all.avi", 3)
    read = list(grey_frames(tmp_path / "all.avi", range(FRAMES), FRAMES))
    assert np.abs(np.concatenate(read, axis=2).astype(int) - frames).max() <= JPEG_LOSS
    for number in range(FRAMES):
        (alone,) = grey_frames(tmp_path / "all.avi", [number], FRAMES)
        np.testing.assert_array_equal(alone, read[number])
