import subprocess
import sys

from sliceweave.pipelines.errors import InputError, input_error_in, reason_of

RUN = "from sliceweave.pipelines.errors import InputError, speak_plainly; speak_plainly()\n"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", RUN + code], capture_output=True, text=True)


def test_an_input_error_among_the_causes_is_found() -> None:
    inner = InputError("no")
    outer = RuntimeError("wrapped")
    outer.__cause__ = ValueError("again")
    outer.__cause__.__cause__ = inner
    assert input_error_in(outer) is inner
    assert input_error_in(RuntimeError("other")) is None


def test_an_input_error_ends_the_process_with_its_line_alone() -> None:
    done = run(
        "try:\n    raise InputError('a.nii: expected 3-D')\nexcept ValueError as e:\n    raise RuntimeError('x') from e"
    )
    assert done.returncode == 1
    assert done.stderr == "error: a.nii: expected 3-D\n"


def test_any_other_error_keeps_its_traceback() -> None:
    done = run("1 / 0")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_reason_is_one_line_and_names_the_root_cause() -> None:
    wrapped = RuntimeError("applying transform")
    wrapped.__cause__ = MemoryError("cannot\nallocate")
    assert reason_of(wrapped) == "MemoryError: cannot allocate"


def test_what_a_transform_says_of_a_value_is_the_reason_itself() -> None:
    assert reason_of(ValueError("expected grey levels 0 to 255")) == "expected grey levels 0 to 255"
    assert reason_of(ValueError()) == "ValueError:"
    assert reason_of(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no")).startswith("UnicodeDecodeError: ")
