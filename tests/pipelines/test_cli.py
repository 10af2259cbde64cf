import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from miniature_volumes import write_pairs
from typer.testing import CliRunner

from sliceweave.pipelines.cli import app
from sliceweave.pipelines.errors import InputError


def sliceweave(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from sliceweave.pipelines.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=cwd, timeout=120
    )


def test_the_bundle_command_prints_a_folder_from_any_directory(tmp_path: Path) -> None:
    done = sliceweave("bundle", "hematoma", cwd=tmp_path)
    assert done.returncode == 0
    assert (Path(done.stdout.strip()) / "configs/inference.yaml").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bundle", "spleen"], "no bundle is called 'spleen': choose from"),
        (["phantom", "spleen", "out"], "task 'spleen': expected one of hematoma, lung_infection, liver_tumor"),
        (["phantom", "hematoma", "file/out"], "file"),
        (["prepare", "spleen", ".", "out"], "task 'spleen': expected one of hematoma, lung_infection"),
        (["prepare", "hematoma", "nowhere", "out"], "nowhere does not exist"),
        (["prepare", "hematoma", "."], "no destination given"),
        (["prepare", "hematoma", ".", "out", "--recode", "2:1"], "--recode is VALUE=LABEL"),
        (["volumes", "nowhere", "--out", "out"], "'nowhere' does not exist; expected masks"),
        (["volumes", ".", "--out", "out", "--labels", "femoral"], "--labels is VALUE=NAME"),
        (["volumes", ".", "--out", "out", "--task", "spleen"], "no bundle is called 'spleen'"),
        (["strata", ".", "--out", "out", "--cases", "U-Net=cases.csv"], "cases.csv: expected a CSV table"),
    ],
)
def test_a_mistake_is_one_line_for_the_user(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)
    assert len(str(done.exception).splitlines()) == 1


def test_a_mistake_ends_the_process_with_one_line_and_status_1(tmp_path: Path) -> None:
    done = sliceweave("volumes", ".", "--out", "out", "--labels", "femoral", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: --labels is VALUE=NAME")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["phantom", "hematoma"],
        ["phantom", "hematoma", "d", "--studies", "0"],
        ["phantom", "hematoma", "d", "--tilt", "90"],
        ["phantom", "hematoma", "d", "--tilt", "-45.5"],
    ],
)
def test_wrong_usage_is_not_status_0(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


def test_help_is_light_and_the_version_is_the_packages(tmp_path: Path) -> None:
    code = (
        "import sys; from sliceweave.pipelines.cli import app; print({'torch', 'monai', 'pandas'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "set()"
    assert sliceweave("--version", cwd=tmp_path).stdout.strip() == f"sliceweave {version('sliceweave')}"


def test_render_check_finds_nothing_to_do_in_a_clean_checkout(tmp_path: Path) -> None:
    done = sliceweave("render", "--check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")


def test_prepare_converts_checks_and_draws_from_any_directory(tmp_path: Path) -> None:
    write_pairs(tmp_path / "source", studies=3)
    done = sliceweave("prepare", "hematoma", "source", "dest", "--pictures", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 of 3 studies prepared in dest: 1 training, 1 validation, 1 test" in done.stdout
    assert "hematoma in 3 of 3 labelled studies, on 18 slices" in done.stdout
    assert len(list((tmp_path / "dest" / "pictures").glob("s*.png"))) == 3
    (tmp_path / "source" / "labels" / "s1.nii.gz").write_bytes(b"broken")
    done = sliceweave("prepare", "hematoma", "source", "--check", cwd=tmp_path)
    assert done.returncode == 1
    assert "2 of 3 studies usable: nothing was written" in done.stdout
    assert "  s1: labels/s1.nii.gz: expected a NIfTI file, got a text file" in done.stdout
    assert "Traceback" not in done.stderr
