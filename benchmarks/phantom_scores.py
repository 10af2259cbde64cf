"""Measured against true volumes of generated studies: python benchmarks/phantom_scores.py STUDIES RESULTS

STUDIES is what `sliceweave phantom` wrote, RESULTS what the inference bundle made of it. Prints one line per study and
the means; exit status 1 if a study has no measurement.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from machine import machine_and_torch
from monai.metrics import DiceHelper

from sliceweave.pipelines.reading import read_scan
from sliceweave.pipelines.tables import read_table


def dice(label: Path, mask: Path) -> float:
    """Dice of two masks; 1 if both are empty, 0 if one is."""
    truth, found = (torch.from_numpy(read_scan(path).voxels > 0)[None, None] for path in (label, mask))
    score, _ = DiceHelper(include_background=True, ignore_empty=False)(found, truth)
    return float(not found.any()) if not truth.any() else float(score)


def score_table(studies: Path, results: Path) -> pd.DataFrame:
    truth = pd.read_csv(studies / "truth.csv").set_index("study_id")["volume_ml"].rename("true_ml")
    measured = (
        read_table(results / "volumes.csv").set_index("study_id")["volume_ml"].astype(float).rename("measured_ml")
    )
    table = pd.concat([truth, measured], axis=1).loc[truth.index]
    table["error_ml"] = table["measured_ml"] - table["true_ml"]
    table["dice"] = [
        dice(studies / "labels" / f"{name}.nii.gz", results / f"{name}_mask.nii.gz")
        if measured_ml == measured_ml
        else np.nan
        for name, measured_ml in table["measured_ml"].items()
    ]
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path)
    parser.add_argument("results", type=Path)
    arguments = parser.parse_args()
    table = score_table(arguments.studies, arguments.results)
    print(table.to_string(float_format="{:.2f}".format))
    bleeding, healthy = table[table["true_ml"] > 0], table[table["true_ml"] == 0]
    print(f"{len(table)} studies: mean absolute error {table['error_ml'].abs().mean():.2f} ml")
    print(f"{len(bleeding)} bleed: mean Dice {bleeding['dice'].mean():.3f}, lowest {bleeding['dice'].min():.3f}")
    if len(healthy):
        print(f"{len(healthy)} healthy: false alarm of {healthy['measured_ml'].mean():.2f} ml in the mean")
    print(machine_and_torch())
    sys.exit(int(table["measured_ml"].isna().any()))


if __name__ == "__main__":
    main()
