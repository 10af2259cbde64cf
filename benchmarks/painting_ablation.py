"""What each part of painting and of the network is worth: python benchmarks/painting_ablation.py HEADS OUT

HEADS is a folder of head CT without haemorrhage; the first 16 are painted for training, the others for validation.
Every row is trained from nothing for the same few epochs on as many studies, so rows compare with each other, not with
the shipped weights. `--rows NAME …` does some of them, one a command; what is there already is taken up again, and the
table of all rows finished so far is printed at the end.

Columns: Dice on painted validation heads and on generated heads, as means of the studies that bleed; on real scans (see
real_scans.py; empty without them) mean Dice of the labelled slices, Dice of the one labelled volume and the
median false alarm in ml. The real ones are for looking: nothing is chosen by them.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from machine import machine_and_torch
from shipped_weights import has_structure

from sliceweave.pipelines.atomic import write_atomically
from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.tables import read_table

TRAIN_SEED, VALIDATION_SEED, PHANTOM_SEED = 11, 12, 13
VALIDATION_STUDIES, PHANTOM_STUDIES = 24, 10


class Row(NamedTuple):
    """What is painted (None: generated heads are trained on instead), and what the network is."""

    paint: tuple[str, ...] | None = ()
    network: dict[str, Any] = {}


ROWS = {
    "all of it": Row(),
    "generated heads alone": Row(paint=None),
    "intraparenchymal alone": Row(paint=("--kinds", "intraparenchymal")),
    "without subarachnoid and ventricular": Row(paint=("--kinds", "intraparenchymal,subdural,epidural")),
    "plain: no hard negatives, one appearance": Row(paint=("--plain",)),
    "one slice": Row(network={"slab": 1, "alone_share": 0}),
    "five slices": Row(network={"slab": 5}),
    "half the widths": Row(network={"widths": "[12,24,48,96]"}),
    "standard size": Row(network={"widths": "[48,96,192,384]"}),
}


class Trial(NamedTuple):
    """One row to be run, and where."""

    name: str
    row: Row
    arguments: argparse.Namespace

    @property
    def folder(self) -> Path:
        return self.arguments.out / self.name.replace(" ", "_").replace(":", "").replace(",", "")

    @property
    def studies(self) -> Path:
        """What the row trains on; rows that differ in the network alone share it."""
        if self.row.paint is None:
            return self.arguments.out / "generated"
        return self.arguments.out / "_".join(["painted", *(word.strip("-") for word in self.row.paint)])

    def options(self, *names: str) -> list[str]:
        """The network's settings as options, all or those named."""
        chosen = {key: value for key, value in self.row.network.items() if not names or key in names}
        return [word for key, value in chosen.items() for word in (f"--{key}", str(value))]

    def make_studies(self) -> None:
        count = ["--studies", str(self.arguments.studies), "--seed", str(TRAIN_SEED)]
        if self.row.paint is None:
            sliceweave("phantom", "hematoma", self.studies, *count)
        else:
            sliceweave("paint", self.arguments.heads, self.studies, "--part", "0:16", *count, *self.row.paint)

    def train(self) -> None:
        epochs = ["--epochs", str(self.arguments.epochs), "--lr_decay", "0.5", "--resume", "True"]
        more = [word for setting in self.arguments.train for word in f"--{setting}".split("=", 1)]
        bundle("compact", self.studies, self.folder / "training", *epochs, *more, *self.options())

    def synthetic_dice(self, studies: Path) -> float:
        scores = self.folder / f"scores_{studies.name}"
        model = ["--checkpoint", str(self.folder / "training/model.pt")]
        bundle("evaluate", studies, scores, *model, *self.options("slab", "widths"))
        truth = pd.read_csv(studies / "truth.csv", dtype={"study_id": str}).set_index("study_id")
        cases = read_table(scores / "cases.csv")
        return float(cases["dice"].astype(float)[has_structure(cases, truth)].mean())

    def real(self) -> dict[str, float]:
        """Empty where there are no real scans."""
        table = self.folder / "real.csv"
        table.unlink(missing_ok=True)
        settings = [f"{key}={self.row.network[key]}" for key in ("slab", "widths") if key in self.row.network]
        command: list[object] = ["--checkpoint", self.folder / "training/model.pt", "--out", table]
        command += ["--options", *settings] if settings else []
        run(sys.executable, Path(__file__).with_name("real_scans.py"), *command)
        if not table.is_file():
            return {}
        rows = pd.read_csv(table)
        own = rows[rows["own kind"]].set_index("group")
        slices = own.loc[["slice"]]
        return {
            "slices, mean": float(slices["dice"].mean()),
            "volume": float(own.loc["volume", "dice"]),
            "false alarm, ml": float(own.loc[["negative"], "found_ml"].median()),
        }


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


def sliceweave(*words: object) -> None:
    run(Path(sys.executable).with_name("sliceweave"), *words)


def bundle(overlay: str, dataset_dir: Path, output_dir: Path, *options: str) -> None:
    root = bundle_root("hematoma")
    files = str([str(root / f"configs/{name}.yaml") for name in ("train", overlay)])
    where = ["--bundle_root", root, "--config_file", files, "--dataset_dir", dataset_dir, "--output_dir", output_dir]
    run(sys.executable, "-m", "monai.bundle", "run", *where, *options)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heads", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS), metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--studies", type=int, default=64, help="to train on, for each row")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--train", nargs="*", default=[], metavar="NAME=VALUE", help="of training, as in bf16=True")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    validation, phantoms = arguments.out / "validation", arguments.out / "phantoms"
    count = ["--studies", str(VALIDATION_STUDIES), "--seed", str(VALIDATION_SEED), "--share-healthy", "0"]
    sliceweave("paint", arguments.heads, validation, "--part", "16:", *count)
    sliceweave("phantom", "hematoma", phantoms, "--studies", PHANTOM_STUDIES, "--seed", PHANTOM_SEED)
    for name in arguments.rows:
        trial = Trial(name, ROWS[name], arguments)
        result = trial.folder / "result.json"
        if result.is_file():
            continue
        trial.make_studies()
        trial.train()
        dice = {"painted": trial.synthetic_dice(validation), "generated": trial.synthetic_dice(phantoms)}
        write_atomically(result, json.dumps(dice | trial.real()).encode())
    done = {name: Trial(name, row, arguments).folder / "result.json" for name, row in ROWS.items()}
    rows = {name: json.loads(path.read_text("utf-8")) for name, path in done.items() if path.is_file()}
    print(f"{arguments.studies} studies, {arguments.epochs} epochs")
    print(pd.DataFrame.from_dict(rows, orient="index").to_string(float_format="%.3f", na_rep=""))
    print(machine_and_torch())


if __name__ == "__main__":
    main()
