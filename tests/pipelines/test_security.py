"""What a hostile file may try: to be executed, to reach other files, to spend our memory."""

import ast
import gzip
import json
import os
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from miniature_dicom import datasets, miniature, save
from safetensors.torch import save_file

from sliceweave.pipelines.checkpoints import load_weights
from sliceweave.pipelines.dicom_headers import read_header
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.prepared_folder import PreparedList
from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.studies import file_stem, find_studies

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for package in ("networks", "transforms", "pipelines") for path in (ROOT / package).glob("*.py"))
EXECUTE = {"eval", "exec", "compile", "__import__", "pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load"}
EXECUTE |= {"os.system", "marshal.loads", "dill.load", "joblib.load", "pd.read_pickle", "torch.jit.load"}


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Every call in a module that is made by name, with that name."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    return [(ast.unparse(node.func), node) for node in nodes if isinstance(node.func, ast.Name | ast.Attribute)]


def keywords(node: ast.Call) -> dict[str, str]:
    return {keyword.arg or "**": ast.unparse(keyword.value) for keyword in node.keywords}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_runs_what_a_file_holds(path: Path) -> None:
    for name, node in calls(path):
        assert name not in EXECUTE
        assert keywords(node).get("shell", "False") == "False"
        assert keywords(node).get("allow_pickle", "False") == "False"
        if name == "torch.load":
            assert keywords(node)["weights_only"] == "True"


class Hostile:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Conv2d(1, 2, 3)


def test_weights_that_would_run_code_are_refused_and_do_not_run_it(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    torch.save({"weight": Hostile(touched)}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="damaged or holds code"):
        load_weights(network(), str(tmp_path / "model.pt"))
    assert not touched.exists()
    torch.load(tmp_path / "model.pt", weights_only=False)
    assert touched.exists()  # the file is as hostile as it is meant to be


def test_safetensors_are_weights_too(tmp_path: Path) -> None:
    trained, fresh = network(), torch.nn.Conv2d(1, 2, 3)
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    load_weights(fresh, str(tmp_path / "model.safetensors"))
    for name, values in trained.state_dict().items():
        torch.testing.assert_close(fresh.state_dict()[name], values, rtol=0, atol=0)


@pytest.mark.parametrize("content", [b"", b"no weights", b"\xff" * 100, (1 << 40).to_bytes(8, "little") + b"{}"])
def test_damaged_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="not the weights of any network"):
        load_weights(network(), str(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("name", ["../scan.nii.gz", "/etc/passwd", "images/../../scan.nii.gz"])
def test_a_list_of_studies_names_no_file_out_of_its_folder(tmp_path: Path, name: str) -> None:
    content = {"prepared": {}, "training": [{"study_id": "a", "image": name, "label": "labels/a.nii.gz"}]}
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    found = PreparedList.found_in(str(tmp_path))
    assert found is not None
    with pytest.raises(InputError, match="leaves the folder"):
        found.cases("training")


def test_a_list_of_studies_may_name_links_and_dots_within(tmp_path: Path) -> None:
    item = {"study_id": "a", "image": "images/../images/a..b.nii.gz", "label": "labels/a.nii.gz"}
    found = PreparedList(tmp_path / "datalist.json", {"training": [item]})
    assert found.cases("training")[0]["label"] == str(tmp_path / "labels/a.nii.gz")


@pytest.mark.parametrize(
    "study_id",
    [
        "../up",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/b",
        "a\\b",
        "C:\\x",
        "con",
        "NUL.txt",
        "a\0b",
        "x" * 5000,
        "é研" * 300,
        "a. ",
    ],
)
def test_the_files_of_a_study_stay_in_their_folder(tmp_path: Path, study_id: str) -> None:
    path = tmp_path / f"{file_stem(study_id)}_mask.nii.gz"
    path.write_bytes(b"")
    assert path.parent == tmp_path
    assert [entry.name for entry in os.scandir(tmp_path)] == [path.name]


def test_a_length_that_an_entry_claims_takes_no_memory(tmp_path: Path) -> None:
    path = save(datasets(miniature())[:1], tmp_path)[0]
    content = path.read_bytes()
    at = content.index(b"\x28\x00\x10\x00US") + 4  # Rows
    path.write_bytes(content[:at] + b"UN\0\0" + (0xFFFFFFF0).to_bytes(4, "little") + content[at + 4 :])
    tracemalloc.start()
    with pytest.raises(InputError):
        read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


@pytest.mark.parametrize("at", range(10, 60, 7))
def test_every_wrong_byte_of_a_compressed_stream_is_one_line(tmp_path: Path, at: int) -> None:
    image = nib.Nifti1Image(np.arange(120, dtype=np.int16).reshape(4, 5, 6), np.diag([1.0, 2.0, 3.0, 1.0]))
    content = bytearray(gzip.compress(image.to_bytes()))
    content[at] ^= 0x6B
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"^a\.nii\.gz: "):
        read_scan(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("entry", ["RescaleSlope", "RescaleIntercept"])
def test_a_rescaling_beyond_all_scans_is_refused(tmp_path: Path, entry: str) -> None:
    slices = datasets(miniature())
    setattr(slices[0], entry, "1e30")
    path = save(slices[:1], tmp_path)[0]
    with pytest.raises(InputError, match=rf"001\.dcm: expected a {entry} that gives values of a scan, got 1e\+30"):
        read_header(path)


@pytest.mark.parametrize("entry", ["BitsAllocated", "BitsStored"])
def test_more_bits_than_any_number_has_are_refused(tmp_path: Path, entry: str) -> None:
    slices = datasets(miniature())
    setattr(slices[0], entry, 65535)
    path = save(slices[:1], tmp_path)[0]
    with pytest.raises(InputError, match=rf"001\.dcm: expected at most 64 {entry}, got 65535"):
        read_header(path)


def test_a_zero_byte_in_a_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "studies.csv").write_bytes(b"study_id,image\na,b\0.nii\n")
    with pytest.raises(InputError, match="line 2 holds a zero byte"):
        find_studies(tmp_path / "studies.csv")


def test_columns_of_several_lines_are_named_on_one(tmp_path: Path) -> None:
    (tmp_path / "studies.csv").write_text('"study\nid",image\na,b.nii\n', "utf-8")
    with pytest.raises(InputError, match=r"has the columns study id, image; expected"):
        find_studies(tmp_path / "studies.csv")


def test_an_entry_of_odd_length_is_a_damaged_file(tmp_path: Path) -> None:
    path = save(datasets(miniature())[:1], tmp_path)[0]
    content = path.read_bytes()
    at = content.index(b"\x02\x00\x00\x00UL") + 6
    path.write_bytes(content[:at] + (6).to_bytes(2, "little") + content[at + 2 :])
    with pytest.raises(InputError, match=r"^001\.dcm: expected a whole DICOM image"):
        read_header(path)
