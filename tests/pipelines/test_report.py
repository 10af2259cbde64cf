import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from sliceweave.pipelines.atomic import PARTIAL_SUFFIX
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import LabelResult, StudyFacts, StudyRows, study_rows
from sliceweave.pipelines.tables import Table, read_table
from sliceweave.pipelines.volumetry import measure

DiskSize = Callable[[int], AbstractContextManager[None]]
TABLES = ("volumes.csv", "lesions.csv", "slices.csv")
GEOMETRY = Geometry(np.diag([0.45, 0.5, 5.0, 1.0]), (20, 24, 9))


def facts(study_id: str, version: str = "1") -> StudyFacts:
    return StudyFacts(study_id, f"sha-{study_id}", "hematoma", version, 1.0)


def measured(study_id: str, slices: int = 2, version: str = "1") -> StudyRows:
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask[2:6, 3:9, 1 : 1 + slices] = 1
    return study_rows(facts(study_id, version), GEOMETRY, [LabelResult("hematoma", measure(mask, GEOMETRY))])


def files(folder: Path) -> list[str]:
    """What lies in the folder itself."""
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def without_records(folder: Path) -> Path:
    """The folder as versions that kept no records left it."""
    shutil.rmtree(folder / "records")
    return folder


def ids(folder: Path, table: str = "volumes.csv") -> list[str]:
    return list(read_table(folder / table)["study_id"])


def started(folder: Path, resume: bool = False) -> Report:
    report = Report(folder, resume)
    report.start()
    return report


def test_a_new_report_is_three_tables_without_rows(tmp_path: Path) -> None:
    started(tmp_path / "new" / "folder")
    for name in TABLES:
        assert ids(tmp_path / "new" / "folder", name) == []


def test_studies_stand_in_the_order_they_were_added(tmp_path: Path) -> None:
    report = started(tmp_path)
    report.add(measured("b", slices=3))
    report.fail(facts("c"), "cut short")
    report.add(measured("a", slices=0))
    assert ids(tmp_path) == ["b", "c", "a"]
    assert list(read_table(tmp_path / "volumes.csv")["status"]) == ["ok", "failed", "ok"]
    assert ids(tmp_path, "lesions.csv") == ["b"]
    assert ids(tmp_path, "slices.csv") == ["b"] * 9 + ["a"] * 9


def test_a_failed_row_has_no_label_and_keeps_its_reason(tmp_path: Path) -> None:
    started(tmp_path).fail(facts("c"), "=cmd: the file\nis cut short")
    row = read_table(tmp_path / "volumes.csv").iloc[0]
    assert (row["reason"], row["label"]) == ("=cmd: the file is cut short", "")
    assert np.isnan(row["volume_ml"])


def test_without_resume_a_report_starts_anew(tmp_path: Path) -> None:
    started(tmp_path).add(measured("a"))
    started(tmp_path)
    assert [ids(tmp_path, name) for name in TABLES] == [[], [], []]


def test_nothing_is_written_before_the_start(tmp_path: Path) -> None:
    started(tmp_path).add(measured("a"))
    before = (tmp_path / "volumes.csv").read_bytes()
    Report(tmp_path)
    Report(tmp_path / "other")
    assert (tmp_path / "volumes.csv").read_bytes() == before
    assert files(tmp_path) == sorted(TABLES)


def test_a_report_counts_its_studies_and_names_the_failed(tmp_path: Path) -> None:
    report = started(tmp_path)
    report.add(measured("a"))
    report.fail(facts("=b"), "cut short")
    report.fail(facts("c"), "cut short")
    report.add(measured("c"))
    for each in (report, Report(tmp_path, resume=True)):
        assert each.studies() == 3
        assert each.failed() == ["=b"]


def test_resume_keeps_the_rows_and_knows_what_is_done(tmp_path: Path) -> None:
    earlier = started(tmp_path)
    earlier.add(measured("=a, 'b'"))
    earlier.fail(facts("c"), "cut short")
    before = [(tmp_path / name).read_bytes() for name in TABLES]
    report = started(tmp_path, resume=True)
    assert [(tmp_path / name).read_bytes() for name in TABLES] == before
    assert report.done("=a, 'b'", "hematoma", "1")
    assert report.done("=a, 'b'", "hematoma", "1", "sha-=a, 'b'")


def test_a_failed_another_version_another_image_or_a_new_study_is_not_done(tmp_path: Path) -> None:
    earlier = started(tmp_path)
    earlier.add(measured("a"))
    earlier.fail(facts("c"), "cut short")
    report = started(tmp_path, resume=True)
    assert not report.done("c", "hematoma", "1")
    assert not report.done("a", "hematoma", "2")
    assert not report.done("a", "liver_tumor", "1")
    assert not report.done("a", "hematoma", "1", "other sha")
    assert not report.done("new", "hematoma", "1")


def test_a_study_redone_replaces_its_rows_in_all_tables(tmp_path: Path) -> None:
    earlier = started(tmp_path)
    earlier.add(measured("a", slices=2))
    earlier.fail(facts("b"), "cut short")
    earlier.add(measured("c", slices=1))
    report = started(tmp_path, resume=True)
    report.add(measured("b", slices=2))
    report.add(measured("a", slices=4, version="2"))
    assert [ids(tmp_path), ids(tmp_path, "lesions.csv")] == [["a", "b", "c"]] * 2
    assert ids(tmp_path, "slices.csv") == ["a"] * 9 + ["b"] * 9 + ["c"] * 9
    assert report.done("a", "hematoma", "2")
    assert report.done("b", "hematoma", "1")


def test_a_study_killed_before_its_tables_were_written_counts_by_its_record(tmp_path: Path) -> None:
    report = started(tmp_path)
    report.add(measured("a"))
    committed = {name: (tmp_path / name).read_bytes() for name in TABLES}
    report.add(measured("b"))
    finished = {name: (tmp_path / name).read_bytes() for name in TABLES}
    for name, content in committed.items():
        (tmp_path / name).write_bytes(content)
    started(tmp_path, resume=True)
    assert {name: (tmp_path / name).read_bytes() for name in TABLES} == finished


def test_lesions_of_a_study_killed_before_its_volumes_row_are_dropped_where_there_are_no_records(
    tmp_path: Path,
) -> None:
    report = started(tmp_path)
    report.add(measured("a"))
    committed = (tmp_path / "volumes.csv").read_bytes()
    report.add(measured("b"))
    (without_records(tmp_path) / "volumes.csv").write_bytes(committed)
    started(tmp_path, resume=True)
    assert [set(ids(tmp_path, name)) for name in TABLES] == [{"a"}] * 3


def test_resuming_an_empty_folder_starts_a_report(tmp_path: Path) -> None:
    started(tmp_path, resume=True).add(measured("a"))
    assert ids(tmp_path) == ["a"]


def test_a_run_killed_before_its_first_study_can_be_resumed(tmp_path: Path) -> None:
    started(tmp_path)
    (tmp_path / "lesions.csv").unlink()
    started(tmp_path, resume=True).add(measured("a"))
    assert ids(tmp_path, "lesions.csv") == ["a"]


def test_a_table_that_was_deleted_comes_back(tmp_path: Path) -> None:
    started(tmp_path).add(measured("a"))
    before = (tmp_path / "lesions.csv").read_bytes()
    (tmp_path / "lesions.csv").unlink()
    started(tmp_path, resume=True)
    assert (tmp_path / "lesions.csv").read_bytes() == before


def test_resume_misses_a_deleted_table_of_which_there_are_no_records(tmp_path: Path) -> None:
    started(tmp_path).add(measured("a"))
    (without_records(tmp_path) / "lesions.csv").unlink()
    with pytest.raises(InputError, match=r"cannot read .*lesions.csv: No such file or directory; restore the file"):
        started(tmp_path, resume=True)


def test_the_tables_of_a_version_without_records_are_taken_over(tmp_path: Path) -> None:
    earlier = started(tmp_path)
    earlier.add(measured("=a, 'b'", slices=0))
    earlier.fail(facts("c"), "-cut short")
    earlier.add(measured("d"))
    before = [(tmp_path / name).read_bytes() for name in TABLES]
    report = started(without_records(tmp_path), resume=True)
    assert [(tmp_path / name).read_bytes() for name in TABLES] == before
    assert report.done("d", "hematoma", "1", "sha-d")
    assert Report(tmp_path, resume=True).studies() == 3
    assert len(list((tmp_path / "records").glob("*.json"))) == 3


def test_resume_refuses_a_foreign_table_and_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "volumes.csv").write_text("name,ml\nmine,1\n")
    with pytest.raises(InputError, match=r"volumes.csv, line 1: expected the columns study_id,status"):
        started(tmp_path, resume=True)
    assert (tmp_path / "volumes.csv").read_text() == "name,ml\nmine,1\n"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b",ok,", b",fine,", "study a: expected status ok or failed, found 'fine'"),
        (b"\nc,", b"\na,", "study a has two rows for label 'hematoma'"),
    ],
)
def test_resume_refuses_rows_that_contradict(tmp_path: Path, old: bytes, new: bytes, what: str) -> None:
    report = started(tmp_path)
    report.add(measured("a"))
    report.add(measured("c"))
    path = without_records(tmp_path) / "volumes.csv"
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(InputError, match=what):
        started(tmp_path, resume=True)


def test_what_a_killed_run_left_half_written_is_cleared(tmp_path: Path) -> None:
    (tmp_path / f".12ab{PARTIAL_SUFFIX}").write_bytes(b"half a ta")
    started(tmp_path)
    assert files(tmp_path) == sorted(TABLES)


@pytest.mark.parametrize("below", ["", "below", "below/further"])
def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot use .*file.*: .*; choose another folder with --output_dir"):
        started(tmp_path / "file" / below)


def test_a_full_disk_keeps_what_was_written_and_resume_goes_on(tmp_path: Path, largest_file_bytes: DiskSize) -> None:
    report = started(tmp_path)
    report.add(measured("a"))
    before = (tmp_path / "volumes.csv").read_bytes()
    with largest_file_bytes(len(before) + 10), pytest.raises(InputError, match=r"b.json: File too large; free"):
        report.add(measured("b"))
    assert (tmp_path / "volumes.csv").read_bytes() == before
    assert files(tmp_path) == sorted(TABLES)
    resumed = started(tmp_path, resume=True)
    assert resumed.done("a", "hematoma", "1")
    assert not resumed.done("b", "hematoma", "1")
    assert set(ids(tmp_path, "slices.csv")) == {"a"}


KILLED_RUNS = """
import os, random, shutil, signal, sys, time
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.columns import SLICE_COLUMNS
from sliceweave.pipelines.rows import StudyFacts, StudyRows, failed_rows

folder, snapshots, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])

def rows(study_id):
    volumes = failed_rows(StudyFacts(study_id, "", "hematoma", "1", 1.0), "").volumes
    slices = [dict.fromkeys(SLICE_COLUMNS, 1) | {"study_id": study_id, "label": "hematoma"}] * 30
    return StudyRows(study_id, [volumes[0] | {"status": "ok"}], [], slices)

def run():
    report = Report(folder, resume=True)
    report.start()
    for number in range(100_000):
        study_id = f"study {number}, 'quoted'\\n"
        if not report.done(study_id, "hematoma", "1"):
            report.add(rows(study_id))

for number in range(runs):
    child = os.fork()
    if not child:
        run()
    known = len(os.listdir(f"{folder}/records"))
    while len(os.listdir(f"{folder}/records")) < known + 2:
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    shutil.copytree(folder, f"{snapshots}/{number}")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_run_killed_at_any_moment_leaves_whole_tables(tmp_path: Path) -> None:
    folder, snapshots, runs = tmp_path / "out", tmp_path / "snapshots", 10
    started(folder).close()
    subprocess.run([sys.executable, "-c", KILLED_RUNS, str(folder), str(snapshots), str(runs)], check=True)
    finished = 0
    for run in range(runs):
        studies = ids(snapshots / str(run))
        assert studies == [f"study {number}, 'quoted'\n" for number in range(len(studies))]
        slices = read_table(snapshots / str(run) / "slices.csv").groupby("study_id").size()
        assert set(studies) <= set(slices.index)
        assert set(slices) <= {30}
        assert len(studies) >= finished
        finished = len(studies)
    assert finished > 0


def test_a_folder_that_cannot_be_used_names_the_commands_own_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"choose another folder with --out$"):
        Report(tmp_path / "file").start("--out")


def test_tables_follow_at_once_while_they_are_small_and_in_parts_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves: list[str] = []
    save = Table.save
    monkeypatch.setattr(Table, "save", lambda table: (saves.append(table.path.name), save(table)))
    report = started(tmp_path)
    for number in range(200):
        report.fail(facts(f"s{number}"), "cut short")
        if number < 50:
            assert len(ids(tmp_path)) == number + 1
    assert saves.count("volumes.csv") < 150
    assert len(ids(tmp_path)) > 190
    report.fail(facts("last"), "cut short")
    report.close()
    assert len(ids(tmp_path)) == 201


SECOND_RUN = """
import sys
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.report import Report
try:
    report = Report(sys.argv[1], resume=True)
    report.start()
except InputError as error:
    sys.exit(str(error))
if sys.argv[2:]:
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
"""


def second_run(folder: Path, *then: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SECOND_RUN, str(folder), *then], capture_output=True, text=True)


def test_a_second_run_is_refused_with_one_line_until_the_first_ends_and_disturbs_nothing(tmp_path: Path) -> None:
    report = started(tmp_path)
    report.add(measured("a"))
    partial = tmp_path / f".12ab{PARTIAL_SUFFIX}"
    partial.write_bytes(b"just being written")
    refused = second_run(tmp_path)
    assert refused.stderr == (
        f"{tmp_path}: another run is writing there; wait for it, or choose another folder with --output_dir\n"
    )
    assert partial.exists()
    report.add(measured("b"))
    report.close()
    assert second_run(tmp_path).returncode == 0
    assert ids(tmp_path) == ["a", "b"]


def test_the_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    assert second_run(tmp_path, "and kill it").returncode == -signal.SIGKILL
    assert second_run(tmp_path).returncode == 0


def test_a_damaged_record_counts_for_nothing_and_the_study_is_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = started(tmp_path)
    report.add(measured("a"))
    report.add(measured("b"))
    (tmp_path / "records/a.json").write_text('{"record": 1, "study_id": "a"')
    resumed = started(tmp_path, resume=True)
    assert "a.json: is no record of a study" in caplog.text
    assert not resumed.done("a", "hematoma", "1")
    assert resumed.done("b", "hematoma", "1")
    resumed.add(measured("a"))
    assert sorted(ids(tmp_path)) == ["a", "b"]


def test_an_images_hash_is_known_until_the_file_changes(tmp_path: Path) -> None:
    image = tmp_path / "image.nii"
    image.write_bytes(b"voxels")
    os.utime(image, (1e9, 1e9))
    time.sleep(0.05)
    report = started(tmp_path / "out")
    report.add(measured("a"), image)
    resumed = Report(tmp_path / "out", resume=True)
    assert resumed.known_sha256("a", image) == "sha-a"
    assert resumed.known_sha256("b", image) == ""
    image.write_bytes(b"others")
    os.utime(image, (1e9, 1e9))  # the same size and the same time, but not the same entry
    assert resumed.known_sha256("a", image) == ""


def test_an_image_written_during_the_run_is_hashed_again_next_time(tmp_path: Path) -> None:
    report = started(tmp_path / "out")
    image = tmp_path / "image.nii"
    time.sleep(0.05)
    image.write_bytes(b"voxels")
    report.add(measured("a"), image)
    assert Report(tmp_path / "out", resume=True).known_sha256("a", image) == ""
