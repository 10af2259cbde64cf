"""What inference costs, in tables: python benchmarks/speed.py [--runs 5] [--write docs/performance.md]

Generated studies go through `python -m monai.bundle run`, and through the chain that MONAI's tutorials write
(`speed_peer.py`: the same network and weights, float32), each in a process of its own, in turns: an idle machine is
wanted. "cold" is a process with one study, from its start to its end; "warm" each further study of a cohort; "CPU" what
those take of all cores together; "peak" the largest resident set, "its own" the most of it that no file backs. Stages,
single passes and slab widths come from `speed_passes.py`. The fits are straight lines by least squares. Without a GPU
its rows say so.

`--write FILE` puts the tables between the two markers in that file, each as soon as it is measured. Half an hour;
`--only "Growth|Straight"` measures the tables whose titles have that in them and leaves the others as they stand.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sliceweave.pipelines.bundles import bundle_root, tasks

HERE = Path(__file__).parent
MARKERS = "<!-- speed: begin -->", "<!-- speed: end -->"
MIB = 1 << 20
OURS, BY_TORCH, PEER = "sliceweave", "sliceweave, by torch", "MONAI tutorial, float32"
WAYS: dict[str, dict[str, bool]] = {  # and the options that make it so
    OURS: {},
    BY_TORCH: {"compile": False},
    f"{BY_TORCH} in float32": {"compile": False, "bf16": False},
    PEER: {},
}


class Cost(NamedTuple):
    """Of one process."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    private_mib: float


@dataclass(frozen=True)
class Settings:
    """How much is measured."""

    quick: bool
    runs: int
    folder: Path

    def sizes(self, quick: Sequence[int], full: Sequence[int]) -> Sequence[int]:
        return quick if self.quick else full


class Private(threading.Thread):
    """Watches how much of a process's memory is its own: what files back, the system takes when it is short of any.

    Attributes:
        peak_mib: the most that was seen, every 50 ms; NaN where the system does not say.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status = Path(f"/proc/{pid}/status")
        self.peak_mib = float("nan")
        self.start()

    def run(self) -> None:
        with suppress(OSError):  # it has ended
            while found := re.search(r"RssAnon:\s+(\d+) kB", self.status.read_text("ascii")):
                self.peak_mib = max(int(found[1]) / 1024, self.peak_mib)  # in this order: NaN loses
                time.sleep(0.05)


def process(command: Sequence[str]) -> tuple[Cost, str]:
    """What a process cost, and what it printed; its messages go to a file beside."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=said, stderr=errors)
        private = Private(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - began
        said.seek(0), errors.seek(0)
        if status:
            sys.exit(f"{' '.join(command)} failed:\n{errors.read()[-2000:]}")
        return Cost(
            wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MIB, private.peak_mib
        ), said.read()


def command(way: str, task: str, studies: Path, results: Path) -> list[str]:
    if way == PEER:
        return [sys.executable, str(HERE / "speed_peer.py"), task, str(studies), str(results)]
    root = bundle_root(task)
    options = {"bundle_root": root, "config_file": root / "configs/inference.yaml", "dataset_dir": studies}
    options |= {"output_dir": results, **WAYS[way]}
    typed = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return [sys.executable, "-m", "monai.bundle", "run", *typed]


def seconds_of(way: str, said: str, results: Path) -> list[float]:
    """Of each study, as the process itself took them."""
    if way == PEER:
        return list(json.loads(said.strip().splitlines()[-1]))
    return list(pd.read_csv(results / "volumes.csv").drop_duplicates("study_id")["seconds"])


def generated(settings: Settings, task: str, studies: int, slices: int | None = None) -> Path:
    """Folder of generated studies with labels."""
    folder = settings.folder / f"generated-{task}-{slices}-{studies}"
    if not folder.is_dir():
        more = ["--slices", str(slices)] if slices else []
        code = "from sliceweave.pipelines.cli import main; main()"
        phantom = [sys.executable, "-c", code, "phantom", task, str(folder), "--seed", "0"]
        process([*phantom, "--studies", str(studies), *more])
    return folder


def cohort(settings: Settings, task: str, studies: int, slices: int | None = None) -> Path:
    """Folder of one generated study, under as many names."""
    folder = settings.folder / f"{task}-{slices}-{studies}" / "images"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        (image,) = (generated(settings, task, 1, slices) / "images").glob("*.nii.gz")
        for number in range(studies):
            os.link(image, folder / f"study{number:03}.nii.gz")
    return folder.parent


def end_to_end(settings: Settings, task: str, ways: Sequence[str], studies: int) -> pd.DataFrame:
    """A row for each way: medians over the runs, in which they take turns."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    one, many = (cohort(settings, task, count) for count in (1, studies))
    for _ in range(settings.runs):
        for way in ways:
            results = settings.folder / "results"
            costs = []
            for folder in (one, many):
                shutil.rmtree(results, ignore_errors=True)
                cost, said = process(command(way, task, folder, results))
                costs.append(cost)
            warm = seconds_of(way, said, results)[1:]
            cpu_s = (costs[1].cpu_s - costs[0].cpu_s) / (studies - 1)
            peak = costs[1].peak_mib
            found[way].append({"cold s": costs[0].wall_s, "warm s": median(warm), "CPU s": cpu_s, "peak MiB": peak})
    table = pd.DataFrame({way: pd.DataFrame(rows).median() for way, rows in found.items()}).T
    table["warm, times ours"] = table["warm s"] / table["warm s"].iloc[0]
    table["CPU, times ours"] = table["CPU s"] / table["CPU s"].iloc[0]
    return table


def bundles(settings: Settings) -> pd.DataFrame:
    """Ours, with OpenVINO and without, and MONAI's chain for each bundle, once: some take minutes."""
    chosen, once = [task for task in tasks() if task != "hematoma"], replace(settings, runs=1)
    tables = {task: end_to_end(once, task, (OURS, BY_TORCH, PEER), 3) for task in settings.sizes(chosen[:1], chosen)}
    return pd.concat(tables, names=["bundle", "way"])


def passes(what: str, settings: Settings, *more: str) -> Any:
    flags = ["--runs", str(settings.runs), *(["--quick"] if settings.quick else [])]
    return json.loads(process([sys.executable, str(HERE / "speed_passes.py"), what, *more, *flags])[1].splitlines()[-1])


def stage_seconds(settings: Settings) -> pd.Series:
    (image,) = (cohort(settings, "hematoma", 1) / "images").glob("*.nii.gz")
    return pd.Series(passes("stages", settings, str(image)), name="s")


def stages(settings: Settings) -> pd.DataFrame:
    found = stage_seconds(settings).drop("slices asked")
    return pd.DataFrame({"s": found, "share of a warm study": found.drop("import") / found.drop("import").sum()})


def training(settings: Settings) -> pd.DataFrame:
    found = pd.Series(passes("training", settings, str(generated(settings, "hematoma", 3))))
    slices = int(found.pop("slices a batch"))
    return pd.DataFrame({f"s a batch of {slices} slices": found, "s a slice": found / slices})


def compiling(settings: Settings) -> pd.DataFrame:
    found = pd.DataFrame(passes("compile", settings)).T
    return found.rename(columns=lambda name: name if "pays" in name else f"{name}, s")


def network_passes(settings: Settings) -> pd.DataFrame:
    table = pd.DataFrame(passes("passes", settings)).set_index("network")
    table.columns = [f"{name} s" for name in table.columns]
    fastest = table.drop(columns=["float32 s", "floor s"]).min(axis=1)
    table["times faster"] = table["float32 s"] / fastest
    table["gap: fastest over floor"] = fastest / table["floor s"]
    return table


def least(settings: Settings) -> pd.DataFrame:
    """What no warm study can be faster than on this machine, beside a quarter of what MONAI's chain takes.

    As if all else shared the cores without loss and no slice were looked at twice: once with the network at the rate of
    a large matrix product, once with the fastest pass there is, as if that were good enough to decide by.
    """
    peer_s = end_to_end(settings, "hematoma", [PEER], 3)["warm s"].iloc[0]
    found = stage_seconds(settings)
    slices = int(found["slices asked"])
    (network,) = passes("passes", replace(settings, quick=True))
    pass_s = {"matrix rate": network["floor"]}
    pass_s["fastest pass"] = min(network[way] for way in network if way not in ("network", "float32", "floor"))
    rest_s = found.drop(["slices asked", "import", "infer"]).sum()
    row = {"MONAI tutorial, float32: a quarter, s": peer_s / 4, "slices asked": slices, "all else, one core s": rest_s}
    row |= {f"at least, at the {name}, s": slices * seconds + rest_s / cores() for name, seconds in pass_s.items()}
    return pd.DataFrame([row], index=["512×512×32"])


def growth(settings: Settings) -> pd.DataFrame:
    """Seconds and peak memory against slices, studies and slab width, each with a straight line's fit."""
    rows = []
    for slices in settings.sizes((8, 32), (8, 32, 128, 512, 1000)):
        folder, results = cohort(settings, "hematoma", 2, slices), settings.folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        cost, said = process(command(OURS, "hematoma", folder, results))
        rows.append(("slices", slices, seconds_of(OURS, said, results)[-1], cost.peak_mib, cost.private_mib))
    for studies in settings.sizes((1, 4), (1, 10, 50, 200)):
        folder, results = cohort(settings, "hematoma", studies), settings.folder / "results"
        shutil.rmtree(results, ignore_errors=True)
        cost, said = process(command(OURS, "hematoma", folder, results))
        rows.append(("studies", studies, cost.wall_s, cost.peak_mib, cost.private_mib))
    widths = passes("slabs", settings)
    rows += [("slab width", int(width), seconds, np.nan, np.nan) for width, seconds in widths.items()]
    return pd.DataFrame(rows, columns=["against", "number", "s", "peak MiB", "its own MiB"])


def fits(grown: pd.DataFrame) -> pd.DataFrame:
    """Slope and r² of the seconds, and what a process's own memory grew by from the second smallest to the largest."""
    rows = {}
    for name, part in grown.groupby("against", sort=False):
        slope, start = np.polyfit(part["number"], part["s"], 1)
        r2 = np.corrcoef(part["number"], part["s"])[0, 1] ** 2
        more = part["its own MiB"].iloc[-1] - part["its own MiB"].iloc[1]
        rows[name] = {"s for each": slope, "s to begin": start, "r²": r2, "its own grows by MiB": more}
    return pd.DataFrame(rows).T


def gpu(settings: Settings) -> pd.DataFrame:
    """A study and a pass of the hematoma bundle on the GPU, where there is one."""
    code = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    name = process([sys.executable, "-c", code])[1].strip()
    if not name:
        columns = ("warm s", "s a slice", "its matrix rate, TFLOP/s", "share of that rate")
        return pd.DataFrame(dict.fromkeys(columns, "not measured"), index=["no GPU here"])
    warm_s = end_to_end(settings, "hematoma", [OURS], 5)["warm s"].iloc[0]  # the bundle takes a GPU where there is one
    return pd.DataFrame({"warm s": warm_s, **passes("gpu", settings)}, index=[name])


def tables(settings: Settings) -> dict[str, Callable[[], pd.DataFrame]]:
    """What measures each table, by its title."""
    grown = cache(partial(growth, settings))
    return {
        "Hematoma, 512×512×32, end to end": partial(
            end_to_end, settings, "hematoma", [*WAYS], 3 if settings.quick else 5
        ),
        "Stages of one study": partial(stages, settings),
        "Training, the hematoma bundle's compact recipe": partial(training, settings),
        "`--compile`, one slice of the shipped hematoma network": partial(compiling, settings),
        "Growth": lambda: grown().set_index("against"),
        "Straight lines through it": lambda: fits(grown()),
        "The other bundles, end to end": partial(bundles, settings),
        "One slice through a network": partial(network_passes, settings),
        "A quarter of the tutorial's time": partial(least, settings),
        "GPU": partial(gpu, settings),
    }


def markdown(table: pd.DataFrame, title: str, measured_on: str) -> str:
    """The table under its title and what it was measured on."""
    flat = table.reset_index()
    head = [str(name) if name != "index" else "" for name in flat.columns]
    lines = [head, ["---"] * len(head)]
    for row in flat.itertuples(index=False):
        lines.append([f"{value:.3g}" if isinstance(value, float) else str(value) for value in row])
    body = "\n".join("| " + " | ".join("–" if cell == "nan" else cell for cell in line) + " |" for line in lines)
    return f"{title}\n\n{measured_on}\n\n{body}\n"


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """What was measured on, and with what."""
    cpuinfo = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo)
    name = found[1] if found else platform.processor()
    units = ", ".join(sorted(set(re.findall("amx_bf16|avx512_bf16", cpuinfo)))) or "no bf16"
    threads, busy = os.environ.get("OMP_NUM_THREADS", "unset"), os.getloadavg()[0]
    python = platform.python_version()
    return (
        f"{name} ({units}), {cores()} cores, OMP_NUM_THREADS {threads}, load {busy:.1f} at the start; Python {python}."
    )


def written(path: Path) -> list[str]:
    """What stands before the markers of a file, between them and behind."""
    return re.split("|".join(MARKERS), path.read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short form, to see that it runs")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", metavar="PATTERN", help="of titles; the other tables stay")
    parser.add_argument("--write", type=Path, help="file with the two markers")
    arguments = parser.parse_args()
    said = {"": ""}
    if arguments.write and arguments.only:
        kept = written(arguments.write)[1].split("\n### ")[1:]
        said |= {text.split("\n")[0]: text for text in kept}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(arguments.quick, 1 if arguments.quick else arguments.runs, Path(folder))
        for title, measured in tables(settings).items():
            if not re.search(arguments.only, title):
                continue
            measured_on = machine()
            said[title] = markdown(measured(), title, measured_on)
            if arguments.write:
                before, _, after = written(arguments.write)
                text = "\n### ".join(said.values())
                arguments.write.write_text(f"{before}{MARKERS[0]}\n{text}{MARKERS[1]}{after}", "utf-8")
    sys.stdout.write("\n### ".join(said.values()))


if __name__ == "__main__":
    main()
