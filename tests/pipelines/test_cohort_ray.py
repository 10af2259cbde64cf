"""A cohort run by Ray's workers, one of which is killed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from miniature_cohort import OPTIONS, TROUBLED, rows, run, run_plainly, write_cohort

from sliceweave.pipelines.cohort import run_cohort
from sliceweave.pipelines.cohort_ray import Cluster, ray_engine
from sliceweave.pipelines.cohort_recipe import recipe_of
from sliceweave.pipelines.errors import InputError

LIMIT_S = 30

Done = tuple[Path, "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No other process of pytest runs these tests meanwhile: `auto` would find its cluster."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock"):
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"), ["orphan", "once", "hung"])


@pytest.fixture(scope="module")
def done(source: Path) -> Done:
    """Results of two Ray workers; one is killed, one loses its own process, one hangs."""
    pytest.importorskip("ray")
    out = source.parent / "out"
    limits = ("--engine", "ray", "--workers", "2", "--timeout", str(LIMIT_S))
    return out, run(source, out, *limits, "--", *OPTIONS, *TROUBLED)


@pytest.mark.slow
def test_the_rows_are_those_of_the_bundles_own_run_although_a_ray_worker_was_killed(done: Done, source: Path) -> None:
    out, process = done
    assert process.returncode == 0, process.stderr
    assert (source.parent / "orphan.nii.gz.met").is_file()
    wanted, got = run_plainly(source, source.parent / "plain"), rows(out)
    pd.testing.assert_frame_equal(got.drop(index="hung"), wanted.drop(index="hung"))
    assert len(got) == 10
    assert (got["status"] == "failed").sum() == 5


@pytest.mark.slow
def test_a_study_that_hangs_is_a_row_that_says_so(done: Done) -> None:
    row = rows(done[0]).loc["hung"]
    assert row["status"] == "failed"
    assert f"took longer than {LIMIT_S} s (--timeout)" in row["reason"]
    assert "Traceback" not in done[1].stderr


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r'--engine ray needs Ray: pip install "sliceweave\[cluster\]"'):
        ray_engine(Cluster(None, 2, None, 60.0))


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_one_line(source: Path, tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    engine = ray_engine(Cluster(address, 2, None, 60.0))
    with pytest.raises(InputError, match=f"no Ray cluster at --address {address} ") as caught:
        run_cohort(recipe_of("hematoma", None, str(source), tmp_path / "out", OPTIONS), engine)
    assert "\n" not in str(caught.value)


def test_what_runs_inside_an_actor_leaves_torch_to_its_worker() -> None:
    code = "import sys; import sliceweave.pipelines.ray_worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_rays_options_are_refused_without_ray(source: Path, tmp_path: Path) -> None:
    process = run(source, tmp_path / "out", "--address", "auto")
    assert process.returncode == 1
    assert process.stderr.startswith("error: --address and --gpus_per_worker are Ray's: add --engine ray")
