"""The results folder of a run over generated heads, made without a network."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np

from sliceweave.pipelines.measuring import turned
from sliceweave.pipelines.model import Model
from sliceweave.pipelines.montage import montage, write_png
from sliceweave.pipelines.reading import read_scan, write_mask
from sliceweave.pipelines.report import Report
from sliceweave.pipelines.rows import LabelResult, StudyFacts, study_rows
from sliceweave.pipelines.run_record import RunRecord
from sliceweave.pipelines.studies import file_stem
from sliceweave.pipelines.study_kind import study_kind
from sliceweave.pipelines.volumetry import measure

SHAPE = (40, 48, 9)
AFFINE_RAS = np.array([[-4.5, 0, 0, 88], [0, 4.0, 0, -92], [0, 0, 12.0, -40], [0, 0, 0, 1]])
HOSTILE = "<script>alert(1)</script>\"'&é研/#?%"
MODEL = Model("hematoma", "0.2.0+12345678", {1: "hematoma"})


def head(lesion_pixels: float) -> tuple[np.ndarray, np.ndarray]:
    """A skull with brain in it, and the mask of a bleeding of some radius; HU (40, 48, 9), uint8 (40, 48, 9)."""
    i, j, k = np.ogrid[tuple(slice(size) for size in SHAPE)]
    from_centre = np.hypot((i - 19.5) / 16, (j - 23.5) / 19) + 0 * k
    voxels = np.select([from_centre < 0.9, from_centre < 1], [30, 900], -1000).astype(np.int16)
    mask = (i - 12) ** 2 + (j - 20) ** 2 + (2 * (k - 5)) ** 2 < lesion_pixels**2
    voxels[mask] = 65
    return voxels, mask.astype(np.uint8)


def write_results(folder: Path, lesions: Mapping[str, float], flags: Mapping[str, str] | None = None) -> Path:
    """`images/` and `results/` with a study for each id, whose bleeding has such a radius in pixels; the results."""
    (folder / "images").mkdir(parents=True)
    report = Report(folder / "results")
    report.start()
    rows = ["study_id,image"]
    for number, (study_id, radius) in enumerate(lesions.items()):
        image = folder / "images" / f"scan{number}.nii.gz"
        _write_study(report, study_id, image, radius, (flags or {}).get(study_id, ""))
        quoted = study_id.replace('"', '""')
        rows.append(f'"{quoted}",images/{image.name}')
    (folder / "studies.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder / "results"


def write_record(results: Path, **options: object) -> None:
    """`run.json` as a run over these studies leaves it."""
    said = {"dataset_dir": str(results.parent / "studies.csv"), "threshold": 0.5, **options}
    record = RunRecord(MODEL, study_kind("hematoma"), said)
    record.begin(results)
    record.finish(results, studies=3, failed=1)


def _write_study(report: Report, study_id: str, image: Path, radius: float, flags: str) -> None:
    voxels, mask = head(radius)
    nib.save(nib.Nifti1Image(voxels, AFFINE_RAS), image)
    scan, stem = read_scan(image), file_stem(study_id)
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    facts = StudyFacts(study_id, digest, MODEL.name, MODEL.version, 1.0, tuple(filter(None, flags.split(";"))))
    report.add(study_rows(facts, scan.geometry, [LabelResult("hematoma", measure(mask > 0, scan.geometry, 0.0))]))
    write_mask(mask, scan, report.directory / f"{stem}_mask.nii.gz")
    view, shown = turned(scan, mask, 2)
    kind = study_kind("hematoma")
    write_png(montage(view.voxels, shown, kind.screen(view), "study"), report.directory / f"{stem}.png")


def failed(report_folder: Path, study_id: str, reason: str) -> None:
    """Adds a study that could not be measured."""
    report = Report(report_folder, resume=True)
    report.start()
    report.fail(StudyFacts(study_id), reason)


def described(folder: Path) -> SimpleNamespace:
    """What a `study.js` says."""
    import json

    text = (folder / "study.js").read_text("ascii")
    return SimpleNamespace(**json.loads(text.removeprefix("sliceweaveStudy(").removesuffix(");\n")))
