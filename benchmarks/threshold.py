"""Which threshold and which certainty suit weights: python benchmarks/threshold.py STUDIES [--checkpoint M] …

STUDIES is a prepared or generated folder with images/ and labels/ that training never saw, such as painted heads from
another seed and other heads. The hematoma bundle's network runs once over each; every threshold, and every probability
that some voxel of a lesion must exceed, is then tried on what it gives on the scan's own grid. Columns are that
certainty, 0 for none; rows the threshold; values the mean Dice of the studies that bleed, the mean of their relative
volume differences, and the mean false alarm in ml of those that do not bleed. Below them, how well the scores of
`slices.csv`, which know of neither, tell slices that bleed from slices without any blood.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import pandas as pd
from detection import auc
from ignite.engine import Events
from machine import machine_and_torch
from monai.bundle import ConfigWorkflow
from numpy.typing import NDArray
from scipy import ndimage

from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.reading import read_grid, read_scan
from sliceweave.pipelines.volumetry import slice_areas_mm2
from sliceweave.transforms.slice_scores import SLICE_SCORES

THRESHOLDS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
CERTAINTIES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
WITH_PROBABILITY = [
    "@activation",
    "@place",
    {"_target_": "sliceweave.transforms.SliceScoresd", "keys": "pred"},
    {"_target_": "CopyItemsd", "keys": "pred", "names": "probability"},
    "@certainty",
    {
        "_target_": "Invertd",
        "keys": ["pred", "probability"],
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": False,
    },
    "@decision",
    "@cleaning",
]
"""In place of the bundle's postprocessing, which never has probabilities at the scan's size."""

BLEEDING_MM2 = (50.0, 200.0)
"""Blood in a slice that counts as bleeding; less is left out."""


class Sweep:
    """Handler of the inference engine: a row for each study, threshold and certainty, and one for each slice."""

    def __init__(self, labels: Path) -> None:
        self.labels = labels
        self.rows: list[dict[str, Any]] = []
        self.slices: list[pd.DataFrame] = []

    def __call__(self, engine: Any) -> None:
        (case,), (output,) = engine.state.batch, engine.state.output
        name = case["study_id"]
        truth = read_scan(self.labels / f"{name}.nii.gz").voxels > 0
        geometry, _ = read_grid(self.labels / f"{name}.nii.gz", name)
        areas_mm2 = slice_areas_mm2(truth, geometry)
        self.slices.append(pd.DataFrame({"score": output[SLICE_SCORES][0], "blood_mm2": areas_mm2}))
        probability = output["probability"].as_tensor()[0].cpu().numpy()
        held = ndimage.find_objects((probability > min(THRESHOLDS)).astype(np.uint8))
        box = held[0] if held else (slice(1),) * 3
        for threshold in THRESHOLDS:
            for row in rows_of(probability[box], threshold, truth[box], truth.sum(), geometry.voxel_ml):
                self.rows.append({"study_id": name, "threshold": threshold, **row})


def rows_of(
    probability: NDArray[np.float32], threshold: float, truth: NDArray[np.bool_], true: int, voxel_ml: float
) -> list[dict[str, float]]:
    """Dice and relative volume difference (of an empty truth: nothing), and false alarm in ml, for each certainty.

    Args:
        probability, truth: in the box of what any threshold holds.
        true: voxels of the whole truth.
    """
    components = cc3d.connected_components((probability > threshold).astype(np.uint8), connectivity=6)
    sizes = np.bincount(components.ravel())
    hits = np.bincount(components[truth], minlength=len(sizes))
    highest = np.asarray(ndimage.maximum(probability, components, np.arange(len(sizes))))
    rows = []
    for certainty in CERTAINTIES:
        kept = highest > certainty
        kept[0] = False
        found, shared = sizes[kept].sum(), hits[kept].sum()
        scores = {"dice": 2 * shared / (found + true), "rvd": (found - true) / true} if true else {}
        rows.append({"certainty": certainty, "false_ml": np.nan if true else found * voxel_ml, **scores})
    return rows


def swept(arguments: argparse.Namespace, results: Path) -> Sweep:
    """What the network gives on all studies, tried."""
    root = bundle_root("hematoma")
    places = {"bundle_root": str(root), "dataset_dir": str(arguments.studies / "images"), "output_dir": str(results)}
    options = {"postprocessing::transforms": WITH_PROBABILITY, "pictures": False, "sure": 0}
    if arguments.checkpoint:
        options["checkpoint"] = str(arguments.checkpoint)
    flow = ConfigWorkflow(
        str(root / "configs/inference.yaml"), workflow_type="infer", logging_file=False, **places, **options
    )
    flow.initialize()
    sweep = Sweep(arguments.studies / "labels")
    flow.evaluator.add_event_handler(Events.ITERATION_COMPLETED, sweep)
    flow.run()
    flow.finalize()
    return sweep


def detection(slices: pd.DataFrame, bleeding_mm2: float) -> str:
    """How well the scores tell slices with more blood than that from slices without any."""
    bleeds, is_clear = slices["blood_mm2"] > bleeding_mm2, slices["blood_mm2"] == 0
    asked = slices[bleeds | is_clear]
    found = auc(asked["score"].to_numpy(), bleeds[asked.index].to_numpy())
    counted = f"{bleeds.sum()} slices with more than {bleeding_mm2:g} mm² of blood, {is_clear.sum()} without"
    return f"AUC {found:.3f} ({counted})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="weights; the shipped ones by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as results:
        sweep = swept(arguments, Path(results))
    rows, slices = pd.DataFrame(sweep.rows), pd.concat(sweep.slices, ignore_index=True)
    bleeding = rows.dropna(subset="dice")["study_id"].nunique()
    for title, column in {
        f"mean Dice, {bleeding} studies that bleed": "dice",
        "mean relative volume difference": "rvd",
        "mean false alarm, ml": "false_ml",
    }.items():
        table = rows.pivot_table(index="threshold", columns="certainty", values=column)
        print(f"\n{title}:\n{table.to_string(float_format='%.3f')}")
    print()
    for bleeding_mm2 in BLEEDING_MM2:
        print(detection(slices, bleeding_mm2))
    print(machine_and_torch())


if __name__ == "__main__":
    main()
