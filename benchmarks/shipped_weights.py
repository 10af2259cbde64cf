"""The shipped weights on generated studies that training never saw: python benchmarks/shipped_weights.py STUDIES SCORES

STUDIES is what `sliceweave phantom` wrote, SCORES what the bundle's `evaluate` made of it. Prints cases.csv in short,
the mean Dice of the studies that have the structure, and how many of the others were given one; `make scores TASK=…`
does all of it.
"""

import argparse
from pathlib import Path

import pandas as pd
from machine import machine_and_torch

from sliceweave.pipelines.tables import read_table

SHOWN = ["dice", "precision", "recall", "hd95_mm", "volume_error_ml"]


def has_structure(cases: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """Whether each case's label is there in truth; where no volume is known, as in videos, it always is."""
    columns = ["volume_ml" if "volume_ml" in truth else f"{label}_ml" for label in cases["label"]]
    places = zip(columns, cases["study_id"], strict=True)
    known = [truth.loc[study, column] if column in truth else 1.0 for column, study in places]
    return pd.Series(known, index=cases.index) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path)
    parser.add_argument("scores", type=Path)
    arguments = parser.parse_args()
    truth = pd.read_csv(arguments.studies / "truth.csv", dtype={"study_id": str}).set_index("study_id")
    cases = read_table(arguments.scores / "cases.csv")
    cases[SHOWN] = cases[SHOWN].astype(float)
    print(cases[["study_id", "label", *SHOWN]].to_string(index=False, float_format="{:.3f}".format, na_rep=""))
    cases["present"] = has_structure(cases, truth)
    for label, rows in cases.groupby("label"):
        dice, absent = rows.loc[rows["present"], "dice"], rows[~rows["present"]]
        spread = f"median {dice.median():.3f}, lowest {dice.min():.3f}"
        print(f"{label}: mean Dice {dice.mean():.3f}, {spread}, {len(dice)} studies")
        if len(absent):
            false_ml = absent["volume_error_ml"]
            alarm = f"false alarm of {false_ml.mean():.2f} ml in the mean, {false_ml.max():.2f} at most"
            print(f"{len(absent)} without {label}: {alarm}")
    print(machine_and_torch())


if __name__ == "__main__":
    main()
