"""A cohort run by several worker processes, some of which are lost."""

import contextlib
import filecmp
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from miniature_cohort import (
    BUNDLE,
    OPTIONS,
    TROUBLED,
    command,
    environment,
    rows,
    run,
    run_plainly,
    write_cohort,
)

from sliceweave.pipelines.atomic import PARTIAL_SUFFIX
from sliceweave.pipelines.cohort import Engine, run_cohort
from sliceweave.pipelines.cohort_jobs import Job, Lost, Outcome
from sliceweave.pipelines.cohort_recipe import Recipe, recipe_of
from sliceweave.pipelines.cohort_study import StudyEngine
from sliceweave.pipelines.errors import InputError, input_error_in
from sliceweave.pipelines.inference import VolumeReport
from sliceweave.pipelines.rebuild import rebuild_tables
from sliceweave.pipelines.record_writer import RecordWriter
from sliceweave.pipelines.records import parse
from sliceweave.pipelines.rows import StudyFacts
from sliceweave.pipelines.studies import file_stem

TROUBLE = ("once", "hung", "deadly")
BROKEN = {"cut": "cut.nii.gz", "text": "text file", "several": "got 2", "missing": "missing.nii.gz"}
LIMIT_S = 30
FAKETIME = next(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"), None)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"), TROUBLE)


@pytest.fixture(scope="module")
def plain(source: Path) -> Path:
    """Results of the bundle's own run."""
    run_plainly(source, source.parent / "plain")
    return source.parent / "plain"


@pytest.fixture(scope="module")
def done(source: Path, plain: Path) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """Results of two workers, one of which is killed, one killed twice, and one hangs; and what the command said."""
    out = plain.parent / "out"
    return out, run(source, out, "--workers", "2", "--timeout", str(LIMIT_S), "--", *OPTIONS, *TROUBLED)


Done = tuple[Path, "subprocess.CompletedProcess[str]"]


def test_the_rows_are_those_of_the_bundles_own_run_also_where_a_worker_was_killed(done: Done, plain: Path) -> None:
    out, process = done
    assert process.returncode == 0, process.stderr
    others = [name for name in rows(plain).index if name not in ("hung", "deadly")]
    assert "once" in others
    for table in ("volumes", "lesions", "slices"):
        wanted, got = (found[found.index.isin(others)] for found in (rows(plain, table), rows(out, table)))
        assert len(wanted)
        pd.testing.assert_frame_equal(got, wanted)


def test_masks_and_pictures_are_the_same_files(done: Done, plain: Path) -> None:
    names = sorted(path.name for path in plain.iterdir() if path.suffix in (".gz", ".png"))
    names = [name for name in names if not name.startswith(("hung", "deadly"))]
    assert len(names) == 8
    assert filecmp.cmpfiles(done[0], plain, names, shallow=False) == (names, [], [])


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_study_has_a_reason(done: Done, name: str) -> None:
    row = rows(done[0]).loc[name]
    assert row["status"] == "failed"
    assert BROKEN[name] in row["reason"]


def test_a_study_that_hangs_or_kills_its_worker_is_a_row_that_says_so(done: Done) -> None:
    table, stderr = rows(done[0]), done[1].stderr
    hung, deadly = table.loc["hung"], table.loc["deadly"]
    assert (hung["status"], deadly["status"]) == ("failed", "failed")
    assert f"took longer than {LIMIT_S} s (--timeout)" in hung["reason"]
    assert "its worker was lost 2 times, the last one ended by signal 9" in deadly["reason"]
    assert (hung["model"], hung["model_version"]) == tuple(table.iloc[0][["model", "model_version"]])
    assert f"deadly failed: {deadly['reason']}" in stderr
    assert "Traceback" not in stderr


def test_every_study_has_one_record_and_the_tables_their_order(done: Done, source: Path) -> None:
    out = done[0]
    names = pd.read_csv(source)["study_id"].tolist()
    assert [*rows(out).index] == names
    records = {path.stem: json.loads(path.read_bytes()) for path in (out / "records").glob("*.json")}
    assert sorted(records) == sorted(map(file_stem, names))
    assert [records[name]["number"] for name in names] == [*range(1, len(names) + 1)]
    assert not list(out.rglob(f"*{PARTIAL_SUFFIX}"))


def fake(seen: list[Job]) -> Engine:
    """An engine that gives every job up."""

    def outcomes(_: Recipe, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        seen.extend(jobs)
        yield from ((job, Lost("given up")) for job in jobs)

    return outcomes


def recipe(source: Path, out: Path, *options: str) -> Recipe:
    return recipe_of("hematoma", None, str(source), out, [*OPTIONS, *options])


def test_only_what_failed_is_done_again(done: Done, source: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done[0].rglob("*.json") if path.parent.name == "records"}
    seen: list[Job] = []
    run_cohort(recipe(source, done[0]), fake(seen))
    assert {job.case["study_id"] for job in seen} == {"hung", "deadly", *BROKEN}
    changed = {path.stem for path, written in before.items() if path.stat().st_mtime_ns != written}
    assert changed == {"hung", "deadly", *BROKEN}
    assert len(rows(done[0])) == 10


def test_a_second_run_into_the_folder_is_refused_with_one_line(source: Path, tmp_path: Path) -> None:
    said = []

    def outcomes(_: Recipe, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        said.append(run(source, tmp_path / "out", "--", *OPTIONS))
        yield from ((job, Lost("given up")) for job in jobs)

    run_cohort(recipe(source, tmp_path / "out"), outcomes)
    assert said[0].returncode == 1
    assert said[0].stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'out'}: another run is writing there")
    assert "Traceback" not in said[0].stderr
    assert set(rows(tmp_path / "out")["reason"]) == {"given up"}


def test_the_tables_keep_the_cohorts_order_whoever_is_first(source: Path, tmp_path: Path) -> None:
    def backwards(_: Recipe, jobs: Sequence[Job]) -> Iterator[Outcome]:
        writer = RecordWriter(tmp_path / "out")
        for job in reversed(jobs):
            writer.number = job.number
            writer.fail(StudyFacts(job.case["study_id"]), f"written as number {job.number}")
            yield job, writer.written

    run_cohort(recipe(source, tmp_path / "out"), backwards)
    assert [*rows(tmp_path / "out").index] == pd.read_csv(source)["study_id"].tolist()
    assert [*rows(tmp_path / "out")["reason"]] == [f"written as number {number}" for number in range(1, 11)]


def test_a_study_that_breaks_the_engine_costs_no_other_study(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = pd.read_csv(source)["image"].iloc[0]
    (tmp_path / "out/records").mkdir(parents=True)
    engine = StudyEngine(recipe(source, tmp_path / "out"))
    first = engine.outcome(Job(1, {"study_id": "first", "image": good}))

    def breaks(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(VolumeReport, "fail", breaks)
        broken = engine.outcome(Job(2, {"study_id": "broken", "image": str(tmp_path / "none.nii.gz")}))
    assert isinstance(broken, Lost)
    assert "Input/output error" in broken.reason
    last = engine.outcome(Job(3, {"study_id": "last", "image": good}))
    assert isinstance(first, bytes)
    assert isinstance(last, bytes)
    assert (parse(first).study_id, parse(last).study_id) == ("first", "last")


def test_shards_are_put_together_by_copying_their_files(source: Path, tmp_path: Path) -> None:
    lines = source.read_text().splitlines()
    together = tmp_path / "together"
    for shard in range(2):
        part = source.with_name(f"shard-{shard}.csv")
        part.write_text("\n".join([lines[0], *lines[1 + shard :: 2]]) + "\n")
        run_cohort(recipe(part, tmp_path / str(shard)), fake([]))
        shutil.copytree(tmp_path / str(shard), together, dirs_exist_ok=True)
    rebuild_tables(together)
    assert sorted(rows(together).index) == sorted(pd.read_csv(source)["study_id"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers_", "3"], "no option --workers_"),
        (["--picture", "False"], "no option --picture; did you mean --pictures?"),
        (["--dataset_dir", "elsewhere"], "--dataset_dir is no option of a cohort's bundle: give SOURCE"),
        (["--resume", "False"], "a cohort always resumes"),
        (["--config_file", "nowhere.yaml"], "nowhere.yaml does not exist; expected the bundle's nowhere.yaml"),
        (["False"], "expected the bundle's options as --NAME VALUE, got 'False'"),
    ],
)
def test_a_wrong_option_is_one_line_and_makes_no_folder(
    source: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    with pytest.raises(InputError) as caught:
        run_cohort(recipe(source, tmp_path / "out", *options), fake([]))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_options_are_read_as_the_bundle_reads_them(source: Path, tmp_path: Path) -> None:
    typed = ["--bf16", "False", "--pictures", "--threshold=0.3", "--tta-flips", "[0,1]", "--checkpoint", "a b.pt"]
    given = recipe(source, tmp_path, *typed).options
    wanted = {"bf16": False, "pictures": True, "threshold": 0.3, "tta_flips": [0, 1], "checkpoint": "a b.pt"}
    assert {name: given[name] for name in wanted} == wanted
    assert given["plane_size"] == [96, 120]


def test_another_bundle_has_to_be_that_of_the_task(source: Path, tmp_path: Path) -> None:
    assert recipe_of("hematoma", BUNDLE, str(source), tmp_path, []).files == (str(BUNDLE / "configs/inference.yaml"),)
    with pytest.raises(InputError, match="expected the bundle of liver_tumor, got that of 'hematoma'"):
        recipe_of("liver_tumor", BUNDLE, str(source), tmp_path, [])
    with pytest.raises(InputError, match="expected a bundle, but"):
        recipe_of("hematoma", tmp_path, str(source), tmp_path, [])


def wait_for(found: Callable[[], bool], limit_s: float = 300) -> None:
    deadline = time.monotonic() + limit_s
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextlib.contextmanager
def under_way(source: Path, out: Path, workers: int = 2) -> "Iterator[subprocess.Popen[str]]":
    """A run that hangs at its second study, once another is done."""
    typed = command(source, out, "--workers", str(workers), "--timeout", "600", "--", *OPTIONS, *TROUBLED)
    with subprocess.Popen(typed, stderr=subprocess.PIPE, text=True, env=environment(), cwd=out.parent) as process:
        try:
            wait_for(lambda: any((out / "records").glob("*.json")))
            yield process
        finally:
            process.kill()


def children(parent: int) -> list[int]:
    """Processes of that parent, by /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "count"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_ctrl_c_ends_with_one_line_and_what_is_finished(sent: signal.Signals, count: int, tmp_path: Path) -> None:
    source, out = write_cohort(tmp_path / "in", ["hung"]), tmp_path / "out"
    with under_way(source, out, count) as process:
        workers = children(process.pid)
        process.send_signal(sent)
        stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == f"stopped; the rows in {out} are whole, and a run that resumes goes on"
    assert "Traceback" not in stderr
    assert len(rows(out)) == len(list((out / "records").glob("*.json"))) >= 1
    wait_for(lambda: not any(map(is_alive, workers)), 20)
    assert "hung" not in rows(out).index


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_with_a_killed_driver_and_the_folder_is_free(tmp_path: Path) -> None:
    source, out = write_cohort(tmp_path / "in", ["hung"]), tmp_path / "out"
    with under_way(source, out) as process:
        workers = children(process.pid)
        process.kill()
        process.communicate()
    assert len(workers) >= 2
    wait_for(lambda: not any(map(is_alive, workers)), 20)
    finished = {path.stem for path in (out / "records").glob("*.json")}
    seen: list[Job] = []
    run_cohort(recipe(source, out), fake(seen))
    again = {job.case["study_id"] for job in seen}
    assert "hung" in again
    assert finished - again == finished - {*BROKEN} != set()
    assert len(rows(out)) == 8


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--widths", "[8,16,32,64]"), "not the weights of this SelfAttentionUNet"),
        (("--threshold", "40"), "--threshold"),
    ],
)
def test_what_only_a_worker_can_see_is_a_users_mistake(
    source: Path, tmp_path: Path, option: tuple[str, str], words: str
) -> None:
    with pytest.raises(Exception, match=r"^") as refused:  # MONAI wraps what a config raises
        StudyEngine(recipe(source, tmp_path / "out", *option))
    assert words in str(input_error_in(refused.value))


@pytest.mark.slow
def test_what_only_a_worker_can_see_is_one_line(source: Path, tmp_path: Path) -> None:
    done = run(source, tmp_path / "out", "--workers", "1", "--", *OPTIONS, "--checkpoint", "nowhere.pt")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "nowhere.pt" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_nothing_is_lost_or_doubled_however_often_the_run_or_a_worker_is_killed(tmp_path: Path) -> None:
    """Rounds: 2, or 20 with SLICEWEAVE_SOAK."""
    source, out = write_cohort(tmp_path / "in", [f"copy{number}" for number in range(5)]), tmp_path / "out"
    random = np.random.default_rng(0)
    for kills_run in random.integers(0, 2, 20 if "SLICEWEAVE_SOAK" in os.environ else 2):
        typed = command(source, out, "--workers", "2", "--", *OPTIONS)
        with subprocess.Popen(typed, stderr=subprocess.DEVNULL, env=environment(), cwd=tmp_path) as process:
            before = len(list((out / "records").glob("*.json")))
            wait_for(lambda: process.poll() is not None or len(children(process.pid)) >= 2)
            time.sleep(random.uniform(0, 8))
            for victim in [process.pid] if kills_run else children(process.pid)[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            process.wait(300)
        assert len(list((out / "records").glob("*.json"))) >= before
    assert run(source, out, "--workers", "2", "--", *OPTIONS).returncode == 0
    pd.testing.assert_frame_equal(rows(out), run_plainly(source, tmp_path / "plain"))
    assert len(list((out / "records").glob("*.json"))) == len(rows(out)) == 12
    assert not list(out.rglob(f"*{PARTIAL_SUFFIX}"))


@pytest.mark.slow
@pytest.mark.skipif(FAKETIME is None, reason="needs libfaketime (apt-get install faketime)")
def test_a_clock_that_jumps_changes_nothing(source: Path, tmp_path: Path) -> None:
    source = write_cohort(tmp_path / "in", ["copy0", "copy1"])
    clock, out = tmp_path / "clock", tmp_path / "out"
    clock.write_text("+0d")
    faked = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # as in a system whose clock is set
    }
    typed = command(source, out, "--workers", "1", "--timeout", "100", "--", *OPTIONS)
    with subprocess.Popen(typed, stderr=subprocess.DEVNULL, env=environment(**faked), cwd=tmp_path) as process:
        for records, jump in ((1, "-400d"), (3, "+30d")):
            wait_for(lambda wanted=records: len(list((out / "records").glob("*.json"))) >= wanted)
            clock.write_text(jump)
        assert process.wait(300) == 0
    written = {json.loads(path.read_bytes())["written"][:4] for path in (out / "records").glob("*.json")}
    assert len(written) > 1, "the clock did not jump"
    pd.testing.assert_frame_equal(rows(out), run_plainly(source, tmp_path / "plain"))
    seen: list[Job] = []
    run_cohort(recipe(source, out), fake(seen))
    assert {job.case["study_id"] for job in seen} == set(BROKEN)
