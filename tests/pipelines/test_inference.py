"""The whole inference bundle on good and bad studies, as a user runs it."""

import csv
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK
import torch
from monai.bundle import ConfigWorkflow
from monai.engines import SupervisedEvaluator
from tqdm import tqdm

from sliceweave.networks import SelfAttentionUNet
from sliceweave.pipelines import inference, study_reader
from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.errors import InputError, input_error_in
from sliceweave.pipelines.geometry import Geometry
from sliceweave.pipelines.inference import VolumeReport, pending
from sliceweave.pipelines.measuring import certainty_flags, reference_volumes_ml, title_of, without_side_if_unknown
from sliceweave.pipelines.model import Model
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_grid import PhantomOptions
from sliceweave.pipelines.reading import Scan, read_grid, read_scan, write_mask
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import VOLUME_COLUMNS, LabelResult
from sliceweave.pipelines.screen import Screen
from sliceweave.pipelines.studies import file_stem, id_of
from sliceweave.pipelines.study_kind import study_kind
from sliceweave.pipelines.tables import read_table
from sliceweave.pipelines.volumetry import measure, volume_ml
from sliceweave.transforms.scan_mask import unsure_voxels

ODD_IDS = ['a,b"c"', "Zoë-研究", "=1+1", "../up", "007"]
BUNDLE = bundle_root("hematoma")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small studies that bleed."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms("hematoma", folder, 3, 11, PhantomOptions(size=96, slices=8, spacing_mm=(2.4, 2.4, 20.0)), workers=1)
    return folder


@pytest.fixture(scope="module")
def good(phantoms: Path) -> Path:
    return sorted((phantoms / "images").glob("*.nii.gz"))[0]


def save(voxels: np.ndarray, path: Path, edit: Callable[[nib.Nifti1Header], None] = lambda _: None) -> Path:
    image = nib.Nifti1Image(voxels, np.diag([2.4, 2.4, 20, 1]))
    edit(image.header)
    nib.save(image, path)
    return path


@pytest.fixture(scope="module")
def bad(good: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """Path of each kind of unusable study, and a word its reason has to contain."""
    folder = tmp_path_factory.mktemp("bad")
    voxels = np.asarray(nib.load(good).dataobj)
    with_nan = voxels.astype(np.float32)
    with_nan[1, 2, 3] = np.nan
    (folder / "cut.nii.gz").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    (folder / "text.nii.gz").write_text("this is no image\n")

    (folder / "held.nii.gz").symlink_to("/proc/self/mem")  # a file whose bytes cannot be read, as on a bad disk

    def no_spacing(header: nib.Nifti1Header) -> None:
        header["pixdim"][1:4] = 0

    return {
        "truncated": (folder / "cut.nii.gz", "cut.nii.gz"),
        "text": (folder / "text.nii.gz", "text.nii.gz"),
        "nan": (save(with_nan, folder / "nan.nii.gz"), "1 "),
        "two volumes": (save(np.stack([voxels, voxels], -1), folder / "4d.nii.gz"), "2"),
        "zero spacing": (save(voxels, folder / "flat.nii.gz", no_spacing), "spacing"),
        "missing": (folder / "nowhere.nii.gz", "nowhere.nii.gz"),
        "unreadable": (folder / "held.nii.gz", "held.nii.gz"),
    }


def table_of(path: Path, rows: list[tuple[str, Path, Path | str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("study_id", "image", "label"), *rows])
    return path


SMALL = {"size": 96, "slices": 8, "spacing_mm": (2.4, 2.4, 20.0)}
FORMATS = (".nrrd", ".mha", ".mhd", ".nii")
GEOMETRIES = {
    "tilted": PhantomOptions(**SMALL, tilt_deg=18.5),
    "oblique": PhantomOptions(**SMALL, oblique=True),
    "uneven": PhantomOptions(**SMALL, uneven=True),
}


@pytest.fixture(scope="module")
def odd_geometries(good: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The first phantom scanned in other ways, and the good study with its axes turned and flipped."""
    folder = tmp_path_factory.mktemp("geometries")
    for name, options in GEOMETRIES.items():
        write_phantoms("hematoma", folder / name, 1, 11, options, workers=1)
    image = nib.load(good)
    for axes in ("LPS", "PIR"):
        turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes))
        nib.save(image.as_reoriented(turn), folder / f"{axes}.nii.gz")
    scans = {name: next((folder / name / "images").glob("*.nii.gz")) for name in GEOMETRIES}
    return scans | {axes: folder / f"{axes}.nii.gz" for axes in ("LPS", "PIR")}


@pytest.fixture(scope="module")
def outcome(
    good: Path,
    bad: dict[str, tuple[Path, str]],
    odd_geometries: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, pd.DataFrame]:
    """Output folder and volumes table of one run over good studies with odd ids, odd geometries and every bad kind."""
    folder = tmp_path_factory.mktemp("outcome")
    voxels = np.asarray(nib.load(good).dataobj)
    single = save(voxels[:, :, 4:5], folder / "single.nii.gz")
    one_volume = save(voxels[..., None], folder / "4d1.nii.gz")
    label = good.parents[1] / "labels" / good.name
    rows = [(name, good, label) for name in ODD_IDS] + [(name, path, "") for name, (path, _) in bad.items()]
    rows += [("single slice", single, ""), ("one volume in 4-D", one_volume, "")]
    rows += [(name, path, "") for name, path in odd_geometries.items()]
    for suffix in FORMATS:
        SimpleITK.WriteImage(SimpleITK.ReadImage(str(good)), str(folder / f"good{suffix}"))
        rows.append((suffix, folder / f"good{suffix}", ""))
    source = table_of(folder / "studies.csv", rows)
    flow = ConfigWorkflow(
        config_file=str(BUNDLE / "configs/inference.yaml"),
        workflow_type="infer",
        bundle_root=str(BUNDLE),
        dataset_dir=str(source),
        output_dir=str(folder / "out"),
    )
    flow.initialize()
    flow.run()
    return folder / "out", read_table(folder / "out/volumes.csv").set_index("study_id")


def test_every_study_has_its_row_in_the_given_order(outcome: tuple[Path, pd.DataFrame], bad: dict) -> None:
    _, table = outcome
    assert [*table.index] == [*ODD_IDS, *bad, "single slice", "one volume in 4-D", *GEOMETRIES, "LPS", "PIR", *FORMATS]
    assert tuple(table.reset_index().columns) == VOLUME_COLUMNS


@pytest.mark.parametrize("kind", ["truncated", "text", "nan", "two volumes", "zero spacing", "missing", "unreadable"])
def test_a_bad_study_is_a_row_with_a_reason(outcome: tuple[Path, pd.DataFrame], bad: dict, kind: str) -> None:
    row = outcome[1].loc[kind]
    assert row["status"] == "failed"
    assert row["label"] == ""
    assert pd.isna(row["volume_ml"])
    assert bad[kind][1] in row["reason"]
    assert not (outcome[0] / f"{kind}_mask.nii.gz").exists()


@pytest.mark.parametrize("study_id", [*ODD_IDS, "single slice", "one volume in 4-D"])
def test_a_good_study_has_mask_picture_and_the_masks_volume(outcome: tuple[Path, pd.DataFrame], study_id: str) -> None:
    folder, table = outcome
    row = table.loc[study_id]
    assert (row["status"], row["label"], row["model"]) == ("ok", "hematoma", "hematoma")
    mask = nib.load(folder / f"{file_stem(study_id)}_mask.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    assert (folder / f"{file_stem(study_id)}.png").stat().st_size > 1000
    expected = volume_ml(np.asarray(mask.dataobj) > 0, Geometry(mask.affine, mask.shape))
    assert float(row["volume_ml"]) == pytest.approx(expected, rel=1e-5)


def test_every_slice_has_a_score_higher_where_there_is_lesion(outcome: tuple[Path, pd.DataFrame]) -> None:
    slices = read_table(outcome[0] / "slices.csv")
    assert slices["score"].between(0, 1).all()
    bleeds = slices["area_mm2"] > 0
    assert slices["score"][bleeds].mean() > slices["score"][~bleeds].mean()


def test_the_mask_lies_on_the_scans_own_grid(outcome: tuple[Path, pd.DataFrame], good: Path) -> None:
    scan, mask = nib.load(good), nib.load(outcome[0] / "007_mask.nii.gz")
    np.testing.assert_array_equal(mask.affine, scan.affine)
    assert mask.shape == scan.shape
    assert [int(mask.header[code]) for code in ("qform_code", "sform_code")] == [
        int(scan.header[code]) for code in ("qform_code", "sform_code")
    ]


def test_the_reference_volume_is_that_of_the_label(outcome: tuple[Path, pd.DataFrame], good: Path) -> None:
    label = nib.load(good.parents[1] / "labels" / good.name)
    expected = np.asarray(label.dataobj).sum() * abs(np.linalg.det(label.affine[:3, :3])) / 1000
    assert float(outcome[1].loc["007", "reference_volume_ml"]) == pytest.approx(expected, rel=1e-5)
    assert pd.isna(outcome[1].loc["single slice", "reference_volume_ml"])


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_volume(outcome: tuple[Path, pd.DataFrame], suffix: str) -> None:
    columns = ["volume_ml", "abc2_ml", "lesions", "side", "voxel_ml", "spacing_mm", "flags"]
    assert outcome[1].loc[suffix, columns].tolist() == outcome[1].loc["007", columns].tolist()


@pytest.mark.parametrize("axes", ["LPS", "PIR"])
def test_a_study_with_turned_axes_has_the_same_numbers(outcome: tuple[Path, pd.DataFrame], axes: str) -> None:
    table = outcome[1]
    for column in (
        "volume_ml",
        "abc2_ml",
        "a_mm",
        "b_mm",
        "c_mm",
        "slices",
        "max_area_mm2",
        "centroid_s_mm",
        "voxel_ml",
    ):
        assert float(table.loc[axes, column]) == pytest.approx(float(table.loc["007", column]), rel=1e-5), column
    for column in ("lesions", "side", "spacing_mm", "flags"):
        assert table.loc[axes, column] == table.loc["007", column]


@pytest.mark.parametrize(
    ("name", "flags"),
    [("tilted", {"sheared", "oblique"}), ("oblique", {"oblique"}), ("uneven", {"uneven_slices"}), ("007", set())],
)
def test_odd_geometries_are_measured_and_flagged(
    outcome: tuple[Path, pd.DataFrame], odd_geometries: dict[str, Path], name: str, flags: set[str]
) -> None:
    folder, table = outcome
    assert table.loc[name, "status"] == "ok"
    assert set(table.loc[name, "flags"].split(";")) & {"sheared", "oblique", "uneven_slices"} == flags
    if name in odd_geometries:
        mask, scan = nib.load(folder / f"{name}_mask.nii.gz"), nib.load(odd_geometries[name])
        np.testing.assert_array_equal(mask.affine, scan.affine)
        sidecar = odd_geometries[name].with_name(id_of(odd_geometries[name]) + ".geometry.json")
        geometry = Geometry.with_sidecar(scan.affine, scan.shape, sidecar if name == "uneven" else None)
        expected = volume_ml(np.asarray(mask.dataobj) > 0, geometry)
        assert float(table.loc[name, "volume_ml"]) == pytest.approx(expected, rel=1e-5)
        beside, _ = read_grid(folder / f"{name}_mask.nii.gz")
        assert volume_ml(np.asarray(mask.dataobj) > 0, beside) == pytest.approx(expected, rel=1e-5)
        assert (folder / f"{name}_mask.geometry.json").is_file() == (name == "uneven")


def test_images_are_not_written_among(good: Path) -> None:
    report = Report(good.parent)
    with pytest.raises(InputError, match="holds the images themselves; choose another folder"):
        pending(str(good.parent), report, Model("hematoma", "1", {1: "hematoma"}))


def test_what_an_earlier_run_left_of_a_study_that_now_fails_is_removed(good: Path, tmp_path: Path) -> None:
    engine = SimpleNamespace(state=SimpleNamespace(batch={"study_id": ["s"]}, output={"reason": "gone bad"}))
    handler = VolumeReport(Report(tmp_path), Model("hematoma", "1", {1: "hematoma"}), study_kind("hematoma"))
    for name in ("s_mask.nii.gz", "s_mask.geometry.json", "s.png"):
        (tmp_path / name).write_bytes(b"old")
    handler.cases, handler.bar, handler.began = {"s": {"study_id": "s", "image": str(good)}}, tqdm(disable=True), 0.0
    handler(engine)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["lesions.csv", "records", "slices.csv", "volumes.csv"]


def test_nothing_is_written_outside_the_output_folder(outcome: tuple[Path, pd.DataFrame]) -> None:
    assert list(outcome[0].parent.glob("*up*")) == []


def command(dataset_dir: Path | str, output_dir: Path, *options: str) -> list[str]:
    config = str(BUNDLE / "configs/inference.yaml")
    run = [sys.executable, "-m", "monai.bundle", "run", "--bundle_root", str(BUNDLE), "--config_file", config]
    return [*run, "--dataset_dir", str(dataset_dir), "--output_dir", str(output_dir), *options]


def run(dataset_dir: Path | str, output_dir: Path, *options: str, **how: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(dataset_dir, output_dir, *options),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=output_dir.parent,
        **how,
    )


@pytest.mark.parametrize(
    ("source", "output", "words"),
    [
        ("nowhere", "out", "'nowhere' does not exist"),
        ("empty", "out", "'empty' holds no study"),
        ("{phantoms}", "file/out", "cannot use file/out: Not a directory; choose another folder with --output_dir"),
        ("{phantoms} --threshold 40", "out", "--threshold is a probability between 0 and 1, got 40"),
    ],
)
def test_a_run_that_cannot_start_ends_with_one_clear_line(
    source: str, output: str, words: str, phantoms: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("in the way")
    done = subprocess.run(
        command(source.split()[0].format(phantoms=phantoms), Path(output), *source.split()[1:]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert words in errors[0]
    assert "Traceback" not in done.stdout + done.stderr


def test_strict_makes_a_failed_study_status_1_and_the_last_line_counts_it(
    bad: dict, good: Path, tmp_path: Path
) -> None:
    source = table_of(tmp_path / "s.csv", [("good", good, ""), ("bad", bad["truncated"][0], "")])
    done = run(source, tmp_path / "out", "--strict", "True")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith("2 studies in " + str(tmp_path / "out/volumes.csv") + ", 1 failed")
    assert "Traceback" not in done.stdout + done.stderr


def test_a_full_disk_is_one_clear_line_and_the_rows_so_far_stay(phantoms: Path, tmp_path: Path) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))  # tables and masks fit, a picture does not

    done = run(phantoms, tmp_path / "out", preexec_fn=small_files)
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "cannot write" in line and "--resume True" in line]
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob(".*"))
    assert len(read_table(tmp_path / "out/volumes.csv")) == 0

    again = run(phantoms, tmp_path / "out", "--resume", "True")
    assert again.returncode == 0
    assert len(read_table(tmp_path / "out/volumes.csv")) == 3


def test_a_killed_run_keeps_its_rows_and_resume_does_only_the_rest(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(
        command(phantoms, out), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as p:
        while p.poll() is None and not list(out.glob("*.png")):
            time.sleep(0.01)
        os.kill(p.pid, signal.SIGKILL)
    before = [record.stem for record in (out / "records").glob("*.json")]
    assert len(before) < 3
    finished = {name: (out / f"{name}_mask.nii.gz").stat().st_mtime_ns for name in before}

    done = run(phantoms, out, "--resume", "True")
    assert done.returncode == 0
    assert f"3 studies, {len(before)} of them finished earlier" in done.stdout
    after = read_table(out / "volumes.csv")
    assert sorted(after["study_id"]) == sorted(path.name[:-7] for path in (phantoms / "images").iterdir())
    assert {name: (out / f"{name}_mask.nii.gz").stat().st_mtime_ns for name in finished} == finished
    for table in ("lesions.csv", "slices.csv"):
        rows = read_table(out / table)
        assert not rows.duplicated().any()

    (out / f"{after['study_id'][1]}.png").unlink()
    assert "3 studies, 2 of them finished earlier" in run(phantoms, out, "--resume", "True").stdout


def in_process(dataset_dir: Path, output_dir: Path, **options: object) -> pd.DataFrame:
    flow = ConfigWorkflow(
        config_file=options.pop("config_file", str(BUNDLE / "configs/inference.yaml")),
        workflow_type="infer",
        bundle_root=str(BUNDLE),
        dataset_dir=str(dataset_dir),
        output_dir=str(output_dir),
        **options,
    )
    flow.initialize()
    flow.run()
    return read_table(output_dir / "volumes.csv")


def test_an_interrupted_run_finishes_the_study_that_is_being_written(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    plainly = inference.tolerant_iteration

    def once(engine: SupervisedEvaluator, batch: dict[str, Any]) -> dict[str, Any]:
        if asked:
            raise KeyboardInterrupt
        asked.append("first")
        return plainly(engine, batch)

    def slowly(*arguments: Any) -> None:
        time.sleep(1)
        write_mask(*arguments)

    monkeypatch.setattr(inference, "tolerant_iteration", once)
    monkeypatch.setattr(inference, "write_mask", slowly)
    with pytest.raises(SystemExit):
        in_process(phantoms, tmp_path / "out")
    assert len(read_table(tmp_path / "out/volumes.csv")) == 1


def test_resume_redoes_what_was_made_otherwise(good: Path, tmp_path: Path) -> None:
    scan = tmp_path / "in" / good.name
    scan.parent.mkdir()
    scan.write_bytes(good.read_bytes())
    mask = tmp_path / "out" / good.name.replace(".nii.gz", "_mask.nii.gz")

    def redone(**options: object) -> bool:
        before = mask.stat().st_mtime_ns
        in_process(scan.parent, tmp_path / "out", resume="True", **options)
        return mask.stat().st_mtime_ns > before

    first = in_process(scan.parent, tmp_path / "out")
    assert not redone()
    assert redone(threshold=0.3)
    assert not redone(threshold=0.3)
    assert read_table(tmp_path / "out/volumes.csv")["model_version"][0] != first["model_version"][0]
    os.utime(scan)  # the same bytes, but written after the mask
    assert redone(threshold=0.3)
    time.sleep(0.02)
    affine = nib.load(scan).affine
    origins = [[*(affine[:3, 3] + k * affine[:3, 2])] for k in range(8)]
    scan.with_name(id_of(scan) + ".geometry.json").write_text(json.dumps({"slice_origins_ras_mm": origins}))
    assert redone(threshold=0.3)
    sidecar = scan.with_name(id_of(scan) + ".geometry.json")
    sidecar.write_text(sidecar.read_text() + "\n")
    os.utime(sidecar, (0, 0))  # another one, that came with its old date
    assert redone(threshold=0.3)
    assert not redone(threshold=0.3)
    sidecar.unlink()
    assert redone(threshold=0.3)


def test_voxels_beside_a_header_are_part_of_the_study(good: Path, tmp_path: Path) -> None:
    image = tmp_path / "in/a.mhd"
    image.parent.mkdir()
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(good)), str(image))
    voxels = image.with_suffix(".raw").rename(image.with_name("voxels.bin"))
    image.write_text(image.read_text().replace("a.raw", "voxels.bin"))
    first = in_process(image.parent, tmp_path / "out")
    model = Model("hematoma", first["model_version"][0], {1: "hematoma"})

    def due() -> int:
        return len(pending(str(image.parent), Report(tmp_path / "out", True), model))

    assert due() == 0
    before = voxels.stat()
    voxels.write_bytes(bytes(before.st_size))
    os.utime(voxels, ns=(before.st_atime_ns, before.st_mtime_ns))  # came with its old date
    assert due() == 1


def test_numbers_never_stand_beside_the_mask_of_a_run_that_was_broken_off(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = in_process(good, tmp_path / "out")

    def full(*_arguments: Any) -> None:
        raise InputError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(inference, "write_png", full)
        with pytest.raises(RuntimeError) as stopped:  # MONAI's, around it
            in_process(good, tmp_path / "out", resume="True", threshold=0.99)
        assert str(input_error_in(stopped.value)) == "disk full"
    again = in_process(good, tmp_path / "out", resume="True")
    assert again["volume_ml"].tolist() == first["volume_ml"].tolist()
    mask = read_scan(tmp_path / "out" / good.name.replace(".nii.gz", "_mask.nii.gz"))
    assert volume_ml(mask.voxels > 0, mask.geometry) == pytest.approx(again["volume_ml"][0], abs=1e-3)


def test_another_direction_of_the_slices_is_another_model_version(good: Path, tmp_path: Path) -> None:
    first, other = (in_process(good, tmp_path / axcodes, axcodes=axcodes) for axcodes in ("RAS", "RSA"))
    assert first["model_version"][0] != other["model_version"][0]


def test_a_study_that_left_the_folder_is_told_and_fails_no_run(
    good: Path, bad: dict[str, tuple[Path, str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for path in (good, bad["text"][0]):
        (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(SystemExit):
        in_process(folder, out, strict="True")
    (folder / bad["text"][0].name).unlink()
    in_process(folder, out, strict="True", resume="True")
    told = f"1 studies in the tables are not in this run, such as text; their rows stay until {out}/records/text.json"
    assert told in "".join(capfd.readouterr())
    (out / "records/text.json").unlink()
    assert in_process(folder, out, resume="True")["study_id"].tolist() == [id_of(good)]


def test_a_picture_that_is_not_wanted_does_not_stay_from_an_earlier_run(good: Path, tmp_path: Path) -> None:
    in_process(good, tmp_path / "out")
    assert list((tmp_path / "out").glob("*.png"))
    in_process(good, tmp_path / "out", pictures="false")
    assert not list((tmp_path / "out").glob("*.png"))


def test_a_study_is_read_once(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(image: Path, study_id: str = "") -> Scan:
        read.append(image)
        return read_scan(image, study_id)

    monkeypatch.setattr(study_reader, "read_scan", counted)
    table = in_process(good, tmp_path / "out")
    assert read == [good]
    assert table["image_sha256"][0] == hashlib.sha256(good.read_bytes()).hexdigest()


def test_a_network_of_three_dimensions_runs_in_overlapping_blocks(good: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    widths = [4, 4, 4, 8]
    torch.save(SelfAttentionUNet(3, 1, 1, widths).state_dict(), tmp_path / "model.pt")
    files = [str(BUNDLE / "configs" / name) for name in ("inference.yaml", "3d.yaml")]
    options = {
        "checkpoint": str(tmp_path / "model.pt"),
        "widths": widths,
        "plane_size": [64, 64],
        "block_size": [48, 48, 8],
    }
    table = in_process(good, tmp_path / "out", config_file=files, **options)
    assert table["status"].tolist() == ["ok"]


@pytest.mark.parametrize("value", [1, 255, 0.5])
def test_the_one_value_beside_zero_is_the_reference_of_a_single_label(good: Path, tmp_path: Path, value: float) -> None:
    scan = read_scan(good)
    label = np.zeros(scan.voxels.shape, np.float32)
    label[2:5, 2:5, 2:5] = value
    nib.save(nib.Nifti1Image(label, scan.geometry.affine_ras), tmp_path / "label.nii.gz")
    found = reference_volumes_ml(str(tmp_path / "label.nii.gz"), scan, {1: "hematoma"})
    assert found == {1: pytest.approx(27 * scan.geometry.voxel_ml)}


def test_a_mask_of_several_structures_is_no_reference_of_a_single_label(
    good: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scan = read_scan(good)
    liver_tumor = np.zeros(scan.voxels.shape, np.uint8)
    liver_tumor[2:9, 2:9, 2:5], liver_tumor[3:5, 3:5, 3:4] = 1, 2
    nib.save(nib.Nifti1Image(liver_tumor, scan.geometry.affine_ras), tmp_path / "label.nii.gz")
    assert reference_volumes_ml(str(tmp_path / "label.nii.gz"), scan, {1: "tumor"}) == {}
    assert "label.nii.gz holds [2.0], expected 0 and [1]" in caplog.text


def test_an_empty_reference_is_zero_millilitres(good: Path, tmp_path: Path) -> None:
    scan = read_scan(good)
    nib.save(nib.Nifti1Image(np.zeros(scan.voxels.shape, np.uint8), scan.geometry.affine_ras), tmp_path / "label.nii")
    assert reference_volumes_ml(str(tmp_path / "label.nii"), scan, {1: "hematoma"}) == {1: 0.0}


@pytest.mark.parametrize(
    ("is_video", "has_lengths", "title"),
    [
        (False, True, "s: cavity 0.1 ml"),
        (True, True, "s: cavity 0.9 cm² at most"),
        (True, False, "s: cavity (pixel size unknown)"),
    ],
)
def test_a_title_says_what_is_known(is_video: bool, has_lengths: bool, title: str) -> None:
    mask = np.zeros((20, 20, 4), np.uint8)
    mask[5:15, 5:15, 2] = 1
    geometry = Geometry(np.diag([-0.9, -1.0, 1, 1]), mask.shape)
    results = [LabelResult("cavity", measure(mask, geometry))]
    assert title_of("s", results, Screen(geometry, is_video, has_lengths)) == title


def test_a_reference_that_does_not_fit_leaves_the_cell_empty(good: Path, tmp_path: Path) -> None:
    scan = read_scan(good)
    label = np.ones(scan.voxels.shape, np.uint8)
    nib.save(nib.Nifti1Image(label, np.diag([2.4, 2.4, 20, 1])), tmp_path / "elsewhere.nii.gz")
    nib.save(nib.Nifti1Image(label[..., :5], scan.geometry.affine_ras), tmp_path / "short.nii.gz")
    nib.save(nib.Nifti1Image(label * 7, scan.geometry.affine_ras), tmp_path / "seven.nii.gz")
    for name in ("elsewhere", "short", "missing"):
        assert reference_volumes_ml(str(tmp_path / f"{name}.nii.gz"), scan, {1: "hematoma"}) == {}
    assert reference_volumes_ml(str(tmp_path / "seven.nii.gz"), scan, {1: "a", 2: "b"}) == {}


def test_no_side_is_claimed_without_a_middle_or_where_the_header_does_not_say_how_the_patient_lies(
    good: Path, tmp_path: Path
) -> None:
    voxels = np.asarray(nib.load(good).dataobj)
    image = nib.Nifti1Image(voxels, None)
    image.header.set_zooms((2.4, 2.4, 20.0))
    nib.save(image, tmp_path / "nowhere.nii.gz")
    scan, known = read_scan(tmp_path / "nowhere.nii.gz"), read_scan(good)
    mask = np.zeros(voxels.shape, bool)
    mask[60:70, 40:50, 3:5] = True
    assert without_side_if_unknown(measure(mask, known.geometry), known, 0.0).side != ""
    assert without_side_if_unknown(measure(mask, known.geometry), known, None).side == ""
    assert without_side_if_unknown(measure(mask, scan.geometry), scan, 0.0).side == ""


def test_high_uncertainty_is_a_lot_of_lesion_that_might_be_none() -> None:
    geometry = Geometry(np.diag([1.0, 1.0, 5.0, 1.0]), (20, 20, 10))
    sure = np.zeros((1, 20, 20, 10), np.float32)
    sure[:, 5:15, 5:15] = 0.9
    mask = np.zeros(geometry.shape, np.uint8)
    mask[5:15, 5:15] = 1
    unsure = sure.copy()
    unsure[:, 5:15, 5:13] = 0.6
    tiny = np.zeros_like(sure)
    tiny[:, 5:7, 5:7, 3] = 0.5

    def flags(probability: np.ndarray, mask: np.ndarray) -> tuple[str, ...]:
        return certainty_flags(unsure_voxels(torch.from_numpy(probability)), mask, geometry)

    assert flags(sure, mask) == ()
    assert flags(unsure, mask) == ("high_uncertainty",)
    assert flags(tiny, mask * 0) == ()
    assert flags(np.zeros_like(sure), mask * 0) == ()
