import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from sliceweave.pipelines.atomic import PARTIAL_SUFFIX, make_folder, write_atomically
from sliceweave.pipelines.errors import InputError

DiskSize = Callable[[int], AbstractContextManager[None]]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_atomically(path, b"old content")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_has_the_permissions_of_any_other_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "atomic", b"")
    assert stat.S_IMODE((tmp_path / "atomic").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_a_full_disk_leaves_the_old_file_and_nothing_partial(tmp_path: Path, largest_file_bytes: DiskSize) -> None:
    path = tmp_path / "a.csv"
    write_atomically(path, b"old")
    with largest_file_bytes(1000), pytest.raises(InputError) as error:
        write_atomically(path, b"x" * 2000)
    assert str(error.value) == (
        f"cannot write {path}: File too large; free space and run again: "
        "what is already written is safe and taken up (by a bundle with --resume True)"
    )
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_place_of_the_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(InputError, match=r"cannot write .*a.csv: Is a directory; make its folder writable"):
        write_atomically(tmp_path / "a.csv", b"")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_path_below_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"Not a directory"):
        write_atomically(tmp_path / "file" / "a.csv", b"")


def test_only_partial_files_are_cleared(tmp_path: Path) -> None:
    (tmp_path / f".1234{PARTIAL_SUFFIX}").touch()
    (tmp_path / "mine.txt").touch()
    make_folder(tmp_path, "go elsewhere")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_what_others_may_be_writing_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / f".1234{PARTIAL_SUFFIX}").touch()
    make_folder(tmp_path, "go elsewhere", dead_after_s=60)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_made_or_written_to_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^cannot use .*file/out: Not a directory; go elsewhere$"):
        make_folder(tmp_path / "file/out", "go elsewhere")
    monkeypatch.setattr("os.access", lambda *_: False)  # as it is for whoever is not root
    with pytest.raises(InputError, match=r"^cannot use .*out: Permission denied; go elsewhere$"):
        make_folder(tmp_path / "out", "go elsewhere")
