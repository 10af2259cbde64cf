"""Which threshold and which smallest lesion suit weights: python benchmarks/threshold.py STUDIES [--checkpoint M] …

STUDIES is a prepared or generated folder with images/ and labels/ that training never saw, such as painted heads from
another seed and other heads. The hematoma bundle's network runs once over each; every threshold and least lesion volume
is then tried on its probabilities on the scan's own grid. Columns are the least volume of a lesion in ml; rows the
threshold; values the mean Dice of the studies that bleed, and below it the mean false alarm in ml of those that do not.
"""

import argparse
import platform
import tempfile
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import pandas as pd
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from numpy.typing import NDArray
from real_scans import WITH_PROBABILITY

from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.reading import read_grid, read_scan

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
LEAST_ML = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)


class Sweep:
    """Handler of the inference engine: a row for each study, threshold and least lesion."""

    def __init__(self, labels: Path) -> None:
        self.labels = labels
        self.rows: list[dict[str, Any]] = []

    def __call__(self, engine: Any) -> None:
        (case,), (output,) = engine.state.batch, engine.state.output
        name = case["study_id"]
        truth = read_scan(self.labels / f"{name}.nii.gz").voxels > 0
        geometry, _ = read_grid(self.labels / f"{name}.nii.gz", name)
        probability = output["probability"].as_tensor()[0].cpu().numpy()
        for threshold in THRESHOLDS:
            for row in rows_of(probability > threshold, truth, geometry.voxel_ml):
                self.rows.append({"study_id": name, "threshold": threshold, **row})


def rows_of(mask: NDArray[np.bool_], truth: NDArray[np.bool_], voxel_ml: float) -> list[dict[str, float]]:
    """Dice (of an empty truth: nothing) and false alarm in ml for each least lesion volume."""
    components = cc3d.connected_components(np.ascontiguousarray(mask, np.uint8), connectivity=26)
    sizes = np.bincount(components.ravel())
    hits = np.bincount(components[truth], minlength=len(sizes))
    rows = []
    for least_ml in LEAST_ML:
        kept = sizes * voxel_ml >= least_ml
        kept[0] = False
        found, shared, true = sizes[kept].sum(), hits[kept].sum(), truth.sum()
        dice = 2 * shared / (found + true) if true else np.nan
        rows.append({"least_ml": least_ml, "dice": dice, "false_ml": np.nan if true else found * voxel_ml})
    return rows


def swept(arguments: argparse.Namespace, results: Path) -> pd.DataFrame:
    """Rows of all studies."""
    root = bundle_root("hematoma")
    places = {"bundle_root": str(root), "dataset_dir": str(arguments.studies / "images"), "output_dir": str(results)}
    options = {"postprocessing::transforms": WITH_PROBABILITY, "pictures": False}
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
    return pd.DataFrame(sweep.rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="weights; the shipped ones by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as results:
        rows = swept(arguments, Path(results))
    bleeding = rows.dropna(subset="dice")["study_id"].nunique()
    for title, column in {
        f"mean Dice, {bleeding} studies that bleed": "dice",
        "mean false alarm, ml": "false_ml",
    }.items():
        table = rows.pivot_table(index="threshold", columns="least_ml", values=column)
        print(f"\n{title}:\n{table.to_string(float_format='%.3f')}")
    print(f"\n{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
