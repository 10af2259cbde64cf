"""The shipped weights on generated studies that training never saw: python benchmarks/shipped_weights.py TASK SCORES

SCORES is what the bundle's `evaluate` wrote. Prints cases.csv in short and the means of the studies with and without a
lesion; `make scores TASK=…` does all of it.
"""

import argparse
import platform
from pathlib import Path

import pandas as pd
import torch

from sliceweave.pipelines.tables import read_table

SHOWN = ["dice", "precision", "recall", "hd95_mm", "volume_error_ml"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("scores", type=Path)
    arguments = parser.parse_args()
    cases = read_table(arguments.scores / "cases.csv")
    cases[SHOWN] = cases[SHOWN].astype(float)
    pd.set_option("display.width", 200)
    print(cases[["study_id", "label", *SHOWN]].to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    for label, rows in cases.groupby("label"):
        # an empty truth is scored 1 if nothing was found and 0 otherwise
        dice = rows["dice"]
        scores = f"mean Dice {dice.mean():.3f}, median {dice.median():.3f}, lowest {dice.min():.3f}"
        print(f"{label}: {scores}, {len(rows)} studies")
    print(f"{arguments.task}, {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")


if __name__ == "__main__":
    main()
