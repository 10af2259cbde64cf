"""The hematoma bundle on real head CT: python benchmarks/real_scans.py [DATA] [--checkpoint MODEL.pt] …

DATA is a folder of sample data with `head_ct/ct_ich` and `head_ct/ge_tilt_dicom` (default: SLICEWEAVE_REAL_DATA, else
../shared/data beside the repository); where it is absent, that is said and nothing is done. The bundle runs as a user
runs it, in one go, over the four CT-ICH heads without haemorrhage that are not for training, one head with a small
haemorrhage, ten labelled slices (each a study of its own, of the 8-bit JPEG grey) and the GE series from DICOM. The
labelled ones and the GE series also run as other kinds of input: HU (cut-off ends set to -1000 and 1000), clipped to
-20…100 HU, 8-bit grey of that window. The few labelled slices are for looking, not for tuning.

A slice's score is that of `slices.csv` (the mean of its 50 mm² of highest probability), or its lesion area in the
mask. The AUC is over all slices of whole studies, of which a single one bleeds, and over these and the labelled slices.

Other weights are decided at 0.5 and without certainty, unless `--options threshold=0.2 sure=0.9` compares them with
the shipped ones as these are decided. They may need `--config 2.5d` and more options, as in
`--options slab=5 "widths=[24,48,96,192]" "plane_size=[512,512]"`.
"""

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import yaml
from detection import auc
from machine import machine_and_torch
from monai.bundle import ConfigWorkflow
from numpy.typing import NDArray
from real_heads import FOR_TRAINING, Head, heads, healthy_paths
from real_kinds import kind_table
from real_overlays import write_overlays

from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.reading import read_grid
from sliceweave.pipelines.scoring import Overlap
from sliceweave.pipelines.tables import read_table
from sliceweave.pipelines.volumetry import slice_areas_mm2, volume_ml

SAME_SCAN = ("HU", "clipped", "8-bit")


class Result(NamedTuple):
    """One study as one kind of input, run."""

    head: Head
    kind: str
    mask: NDArray[np.bool_]
    areas_mm2: NDArray[np.float64]
    row: dict[str, Any]


def run_bundle(studies: Path, results: Path, arguments: argparse.Namespace) -> dict[str, NDArray[np.float64]]:
    """Runs the inference bundle over a folder; the scores of each study's slices."""
    root = bundle_root("hematoma")
    files = [str(root / f"configs/{name}.yaml") for name in ("inference", *arguments.config)]
    options = {name: yaml.safe_load(value) for name, value in (text.split("=", 1) for text in arguments.options)}
    if arguments.checkpoint:
        options["checkpoint"] = str(arguments.checkpoint)
    places = {"bundle_root": str(root), "dataset_dir": str(studies), "output_dir": str(results), "pictures": False}
    flow = ConfigWorkflow(files, workflow_type="infer", logging_file=False, **{**places, **options})
    flow.initialize()
    flow.run()
    flow.finalize()
    slices = read_table(results / "slices.csv").groupby("study_id")["score"]
    return {str(study_id): scores.to_numpy() for study_id, scores in slices}


def kinds_of(head: Head) -> tuple[str, ...]:
    return (head.given_as,) if head.group == "negative" else SAME_SCAN


def measured(head: Head, kind: str, study_id: str, results: Path) -> Result:
    mask_path = results / f"{study_id}_mask.nii.gz"
    mask = np.asarray(nib.load(mask_path).dataobj) > 0
    volumes = read_table(results / "volumes.csv").set_index("study_id")
    geometry, _ = read_grid(results.parent / "studies" / f"{study_id}.nii.gz", study_id)
    overlap = overlap_of(head, mask)
    row = {
        "study": head.name,
        "group": head.group,
        "given as": kind,
        "own kind": kind == head.given_as,
        "slices": head.hu.shape[2],
        "true_ml": volume_ml(head.label, geometry),
        "found_ml": float(volumes.loc[study_id, "volume_ml"]),
        "dice": overlap.dice if overlap.true else np.nan,
        "flags": volumes.loc[study_id, "flags"],
    }
    return Result(head, kind, mask, slice_areas_mm2(mask, geometry), row)


def overlap_of(head: Head, mask: NDArray[np.bool_]) -> Overlap:
    return Overlap(int(mask.sum()), int(head.label.sum()), int((mask & head.label).sum()), mask.size)


def pooled_dice(results: Iterable[Result]) -> float:
    return sum((overlap_of(r.head, r.mask) for r in results), start=Overlap(0, 0, 0, 0)).dice


def report_detection(results: list[Result], scores: dict[str, NDArray[np.float64]]) -> None:
    own = [r for r in results if r.row["own kind"]]
    whole = [r for r in own if r.row["slices"] > 1]
    print("\nslice-level detection, AUC:")
    for name, chosen in {"whole studies": whole, "whole studies and labelled slices": own}.items():
        truth = np.concatenate([r.head.label.any((0, 1)) for r in chosen])
        given = np.concatenate([scores[f"{r.head.name} {r.kind}"] for r in chosen])
        areas_mm2 = np.concatenate([r.areas_mm2 for r in chosen])
        values = f"{auc(given, truth):.3f} by score, {auc(areas_mm2, truth):.3f} by area in the mask"
        print(f"{name} ({truth.sum()} of {len(truth)} slices bleed): {values}")


def report_scores(results: list[Result]) -> None:
    own = [r for r in results if r.row["own kind"]]
    columns = ["study", "given as", "true_ml", "found_ml", "dice", "flags"]
    print("\n" + pd.DataFrame([r.row for r in own])[columns].to_string(index=False, na_rep="", float_format="%.3f"))
    false_ml = [r.row["found_ml"] for r in own if r.head.group == "negative"]
    print(f"\nfalse alarm: median {np.median(false_ml):.2f} ml, 90th percentile {np.percentile(false_ml, 90):.2f} ml")
    slices = [r for r in own if r.head.group == "slice"]
    mean = np.mean([r.row["dice"] for r in slices])
    print(f"{len(slices)} labelled slices: Dice {mean:.3f} in the mean, {pooled_dice(slices):.3f} pooled")
    (volume,) = (r.row for r in own if r.head.group == "volume")
    error = volume["found_ml"] - volume["true_ml"]
    share = 100 * error / volume["true_ml"]
    print(f"{volume['study']}: Dice {volume['dice']:.3f}, volume error {error:+.2f} ml ({share:+.0f} %)")


def report_kinds(results: list[Result]) -> None:
    """The same scans as each kind: Dice of the labelled ones, and volume of the GE series."""
    rows = []
    for kind in SAME_SCAN:
        slices = [r for r in results if r.kind == kind and r.head.group == "slice"]
        others = {r.head.group: r.row for r in results if r.kind == kind and r.head.group in ("volume", "tilted")}
        row = {"slices, mean": np.mean([r.row["dice"] for r in slices]), "slices, pooled": pooled_dice(slices)}
        rows.append({"as": kind, **row, "pt079": others["volume"]["dice"], "GE, ml": others["tilted"]["found_ml"]})
    table = pd.DataFrame(rows).set_index("as")
    spread = 100 * (table.max() - table.min()).drop("GE, ml")
    print("\nthe same scan as three kinds, Dice (and ml found in the GE series):")
    print(table.to_string(float_format="%.3f"))
    print(f"furthest apart, in points: {', '.join(f'{name} {points:.1f}' for name, points in spread.items())}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = Path(__file__).parents[2] / "shared/data"
    parser.add_argument("data", type=Path, nargs="?", default=Path(os.environ.get("SLICEWEAVE_REAL_DATA", beside)))
    parser.add_argument("--checkpoint", type=Path, help="weights; the shipped ones by default")
    parser.add_argument("--config", nargs="*", default=[], metavar="NAME", help="overlays such as 2.5d")
    parser.add_argument("--options", nargs="*", default=[], metavar="NAME=VALUE", help="more options of the bundle")
    parser.add_argument("--out", type=Path, metavar="CSV", help="a row for each study and kind")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="labelled slices with both contours")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    if not (arguments.data / "head_ct").is_dir():
        print(f"no head_ct in {arguments.data}: nothing measured; name the folder, or set SLICEWEAVE_REAL_DATA")
        return
    validation = ", ".join(path.name[:5] for path in healthy_paths(arguments.data)[FOR_TRAINING:])
    print(f"validation negatives (the first {FOR_TRAINING} by name are for training): {validation}")
    with tempfile.TemporaryDirectory() as work:
        studies, out = Path(work) / "studies", Path(work) / "results"
        studies.mkdir()
        cases = [(head, kind) for head in heads(arguments.data, Path(work)) for kind in kinds_of(head)]
        names = [head.write(kind, studies) for head, kind in cases]
        scores = run_bundle(studies, out, arguments)
        results = [measured(*case, name, out) for case, name in zip(cases, names, strict=True)]
    report_scores(results)
    report_detection(results, scores)
    report_kinds(results)
    print("\nkinds recognised from the voxels (right guesses):\n" + kind_table(arguments.data, results[-1].head))
    print(f"\n{machine_and_torch()}")
    if arguments.out:
        pd.DataFrame([r.row for r in results]).to_csv(arguments.out, index=False)
    if arguments.pictures:
        write_overlays([(r.head, r.mask) for r in results if r.row["own kind"]], arguments.pictures)


if __name__ == "__main__":
    main()
