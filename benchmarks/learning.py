"""Which network learns what from the same budget: python benchmarks/learning.py STUDIES [--steps 400]

STUDIES is what `sliceweave phantom hematoma` wrote. Each paper's network and the U-Net it is compared with see the same
slices in the same order, with the same seed, loss and optimiser, at the same widths, each in a process of its own; the
last quarter of the studies is kept for the score. Prints one table: Dice, seconds a step, peak memory, parameters.

It shows what one seed makes of little: few steps, small slices, generated heads. It says nothing about the papers'
data. Training sees the slices with a lesion and as many without; the score is of whole studies that have one. The lung
paper's baseline is LG-Net without its parts, the liver's has group normalisation; EAS U-Net's loss is the weighted sum
over its scales; the haematoma network has no fifth width.
"""

import argparse
import multiprocessing
import re
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pandas as pd
import torch
from machine import machine_and_torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from monai.transforms import Compose, LoadImaged, Orientationd, Resized
from tqdm import tqdm

from sliceweave.networks.catalogue import build
from sliceweave.pipelines.datasets import datalist
from sliceweave.pipelines.options import in_plane_size
from sliceweave.pipelines.study_reader import StudyReader
from sliceweave.transforms import WindowHUd

BASELINE_OF = {
    "hematoma/self_attention_unet": "hematoma/unet",
    "lung_infection/lg_net": "lung_infection/unet",
    "liver_tumor/ra_unet": "liver_tumor/unet",
    "knee_cartilage/eas_unet": "hematoma/unet",  # at one channel and one class the U-Nets of these papers are one
    "echo_left_ventricle/inception_res_unet": "hematoma/unet",
}
FOUR_STAGES = "hematoma/self_attention_unet"  # its bottom has no width of its own
Slices = tuple[torch.Tensor, torch.Tensor]


class Budget(NamedTuple):
    steps: int
    batch: int
    widths: tuple[int, ...]
    learning_rate: float
    seed: int


def slices_of(case: dict[str, str], size: int) -> Slices:
    """One study's slices and its label, resampled like them, `(slices, 1, size, size)` each."""
    load = Compose(
        [
            LoadImaged(["image", "label"], reader=StudyReader, ensure_channel_first=True),
            Orientationd(["image", "label"], axcodes="RAS", labels=None),
            WindowHUd("image", level="head"),
            Resized(["image", "label"], spatial_size=in_plane_size((size, size)), mode="trilinear"),
        ]
    )
    loaded = load(case)
    image, label = (loaded[key].as_tensor().float().permute(3, 0, 1, 2).contiguous() for key in ("image", "label"))
    return image, label


def useful(slices: Slices, generator: torch.Generator) -> Slices:
    """The slices with a lesion, and as many without."""
    marked = slices[1].flatten(1).amax(1) > 0.5
    empty = torch.nonzero(~marked).flatten()
    drawn = empty[torch.randperm(len(empty), generator=generator)[: int(marked.sum())]]
    chosen = torch.cat([torch.nonzero(marked).flatten(), drawn])
    return slices[0][chosen], slices[1][chosen]


def memory_mib(field: str) -> float:
    """What this process holds (VmRSS) or has held at most (VmHWM)."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
    return int(found[1]) / 1024 if found else float("nan")


def forget_peak() -> None:
    """Lets VmHWM start again from what is held now."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def learn(name: str, training: Slices, unseen: list[Slices], budget: Budget) -> dict[str, float]:
    """A network's row of the table."""
    torch.manual_seed(budget.seed)
    widths = budget.widths[:-1] if name == FOUR_STAGES else budget.widths
    training = training[0].clone(), training[1].clone()  # else a page counts when it is first read
    forget_peak()
    before = memory_mib("VmRSS")
    network = build(name, in_channels=1, out_channels=1, widths=widths).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=budget.learning_rate)
    loss_function = DeepSupervisionLoss(DiceCELoss(sigmoid=True, batch=True))
    order = torch.Generator().manual_seed(budget.seed)
    seconds = []
    for _ in tqdm(range(budget.steps), desc=name, unit="step"):
        chosen = torch.randint(len(training[0]), (budget.batch,), generator=order)
        start = time.perf_counter()
        optimiser.zero_grad()
        loss_function(network(training[0][chosen]), training[1][chosen]).backward()
        optimiser.step()
        seconds.append(time.perf_counter() - start)
    peak = memory_mib("VmHWM") - before
    network.eval()
    dices = [dice(network, study) for study in unseen if bool((study[1] > 0.5).any())]
    return {
        "Dice": sum(dices) / len(dices),
        "lowest Dice": min(dices),
        "s/step": median(seconds),
        "peak MiB": peak,
        "parameters": sum(p.numel() for p in network.parameters()),
    }


@torch.inference_mode()
def dice(network: torch.nn.Module, study: Slices) -> float:
    """Of a whole study, at the network's plane."""
    found = torch.cat([network(image) > 0 for image in study[0].split(4)])
    truth = study[1] > 0.5
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def table_of(names: list[str], training: Slices, unseen: list[Slices], budget: Budget) -> pd.DataFrame:
    spawn = multiprocessing.get_context("spawn")
    rows = {}
    for name in names:
        with ProcessPoolExecutor(1, mp_context=spawn) as fresh:  # its own process, so that the peak is its own
            rows[name] = fresh.submit(learn, name, training, unseen, budget).result()
    return pd.DataFrame.from_dict(rows, orient="index")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", help="folder with images/ and labels/")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=4, help="slices a step")
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--widths", type=int, nargs=5, default=[16, 32, 64, 128, 256], help="a quarter of the papers'")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cases = datalist(arguments.studies, labelled=True)
    studies = [slices_of(case, arguments.size) for case in tqdm(cases, desc="reading", unit="study")]
    kept = max(len(studies) // 4, 1)
    generator = torch.Generator().manual_seed(arguments.seed)
    parts = [useful(study, generator) for study in studies[:-kept]]
    if not parts or not any(bool((label > 0.5).any()) for _, label in studies[-kept:]):
        parser.error(f"{arguments.studies}: too few studies, or no lesion in the last {kept} of {len(studies)}")
    training = torch.cat([image for image, _ in parts]), torch.cat([label for _, label in parts])
    budget = Budget(arguments.steps, arguments.batch, tuple(arguments.widths), arguments.learning_rate, arguments.seed)

    names = list(dict.fromkeys(name for pair in BASELINE_OF.items() for name in pair))
    table = table_of(names, training, studies[-kept:], budget)
    for name, baseline in BASELINE_OF.items():
        table.loc[name, "Dice - baseline's"] = table.loc[name, "Dice"] - table.loc[baseline, "Dice"]
        table.loc[name, "s/step / baseline's"] = table.loc[name, "s/step"] / table.loc[baseline, "s/step"]
    table["parameters"] = table["parameters"].astype(int)
    print(table.to_string(float_format="{:.3g}".format, na_rep=""))
    print(f"{len(training[0])} slices of {len(studies) - kept} studies, {kept} studies unseen; {budget}")
    machine = machine_and_torch()
    print(f"{arguments.size}x{arguments.size}, {machine}")


if __name__ == "__main__":
    main()
