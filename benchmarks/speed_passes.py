"""What `speed.py` times within one process: the stages of a study, passes of networks, growth. Prints JSON on one line.

`python benchmarks/speed_passes.py stages STUDY.nii.gz` | `training STUDIES` | `passes` | `gpu` | `compile` | `slabs`;
`--runs 5`. Contenders take turns.
"""

import argparse
import copy
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

BEGAN = time.perf_counter()

import torch  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402

from sliceweave.networks import InceptionResUNet, LGNet, SelfAttentionUNet  # noqa: E402
from sliceweave.pipelines.acceleration import for_inference, slices_a_batch, use_bf16  # noqa: E402
from sliceweave.pipelines.bundles import bundle_root  # noqa: E402
from sliceweave.pipelines.network_table import operations  # noqa: E402
from sliceweave.pipelines.openvino_network import has_openvino  # noqa: E402

IMPORTED_S = time.perf_counter() - BEGAN
MATRIX_SIDE, GPU_MATRIX_SIDE = 2048, 8192
SLOW_S = 20.0
LONG_FLOOR_S = 5.0  # a network that takes minutes is timed as inference runs it, and not as it was trained

PASSES: dict[str, tuple[Callable[[], torch.nn.Module], tuple[int, ...]]] = {
    "hematoma, shipped, 3 slices of 192×240": (lambda: SelfAttentionUNet(2, 3, 1, (24, 48, 96, 192)), (1, 3, 192, 240)),
    "hematoma, the paper's 512×512": (lambda: SelfAttentionUNet(2, 1, 1), (1, 1, 512, 512)),
    "LG-Net, the paper's 512×512": (lambda: LGNet(2, 1, 1, key_pooling=[1, 1, 1, 1]), (1, 1, 512, 512)),
    "InceptionResUNet, attention at 256×256": (lambda: InceptionResUNet(2, 3, 1), (1, 3, 256, 256)),
}
QUICK = tuple(PASSES)[:1]


def medians(contenders: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Median seconds of each; they take turns, after a first one that counts only of what takes longer than `SLOW_S`,
    which has no other.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    slow: dict[str, float] = {}
    for turn in range(runs + 1):
        for name, work in contenders.items():
            if name in slow:
                continue
            began = time.perf_counter()
            work()
            seconds = time.perf_counter() - began
            if turn:
                times[name].append(seconds)
            elif seconds > SLOW_S:
                slow[name] = seconds
    return slow | {name: median(values) for name, values in times.items() if values}


def matrix_rate(kind: torch.dtype, runs: int) -> float:
    """Operations a second of a large matrix product."""
    left, right = (torch.rand(MATRIX_SIDE, MATRIX_SIDE).to(kind) for _ in range(2))
    return 2 * MATRIX_SIDE**3 / medians({"": lambda: left @ right}, runs)[""]


def on_gpu(name: str, runs: int) -> dict[str, float]:
    """The network as inference runs it on a GPU, by the slice, and its share of what a large matrix product does there.

    The product is of `GPU_MATRIX_SIDE`, in bf16 as the network is.
    """
    device = torch.device("cuda")
    make, (_, *shape) = PASSES[name]
    batch = slices_a_batch(device)
    network = for_inference(make().to(device), device)
    slabs = torch.rand(batch, *shape, device=device)
    left, right = (torch.rand(GPU_MATRIX_SIDE, GPU_MATRIX_SIDE, device=device).bfloat16() for _ in range(2))

    def look() -> None:
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16):
            network(slabs)
        torch.cuda.synchronize()

    def multiply() -> None:
        torch.matmul(left, right)
        torch.cuda.synchronize()

    seconds = medians({"look": look, "multiply": multiply}, 10 * runs)
    rate = 2 * GPU_MATRIX_SIDE**3 / seconds["multiply"]
    share = batch * operations(make().to("meta"), tuple(shape)) / seconds["look"] / rate
    return {"s a slice": seconds["look"] / batch, "its matrix rate, TFLOP/s": rate / 1e12, "share of that rate": share}


def network_passes(names: list[str], runs: int) -> list[dict[str, Any]]:
    """Each network as trained in float32, and as inference runs it."""
    is_bf16 = use_bf16("auto")
    rate = matrix_rate(torch.bfloat16 if is_bf16 else torch.float32, runs)
    rows = []
    for name in names:
        make, shape = PASSES[name]
        plain, image = make().eval(), torch.rand(shape)
        fast = for_inference(copy.deepcopy(plain))

        def plainly(network: torch.nn.Module = plain, image: torch.Tensor = image) -> None:
            with torch.no_grad():
                network(image)

        def quickly(network: torch.nn.Module = fast, image: torch.Tensor = image, bf16: bool = False) -> None:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                network(image)

        floor = operations(make().to("meta"), shape[1:]) / rate
        ways: dict[str, Callable[[], None]] = {"float32": plainly} if floor < LONG_FLOOR_S else {}
        ways |= {"torch": quickly} | ({"torch, bf16": partial(quickly, bf16=True)} if is_bf16 else {})
        if has_openvino() and floor < LONG_FLOOR_S:  # attention over so many pixels cannot be translated
            by_openvino = partial(quickly, for_inference(copy.deepcopy(plain), compile="openvino"))
            ways |= {"OpenVINO": by_openvino}
            ways |= {"OpenVINO, bf16": partial(by_openvino, bf16=True)} if is_bf16 else {}
        rows.append({"network": name, **medians(ways, runs), "floor": floor})
    return rows


def compiling(name: str, runs: int) -> dict[str, dict[str, float]]:
    """What `--compile` costs at first and saves with each slice, in float32, by who translates."""
    make, shape = PASSES[name]
    plain, image = for_inference(make()), torch.rand(shape)

    def once(network: torch.nn.Module) -> None:
        with torch.inference_mode():
            network(image)

    once(plain)
    found = {}
    for how in ("openvino", "true"):
        translated = for_inference(copy.deepcopy(plain), compile=how)
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # as on a machine where nobody has compiled it
            began = time.perf_counter()
            once(translated)
            first_s = time.perf_counter() - began
        seconds = medians({"as it is": partial(once, plain), "translated": partial(once, translated)}, 5 * runs)
        saved_s = seconds["as it is"] - seconds["translated"]
        pays = first_s / saved_s if saved_s > 0 else math.inf
        found[how] = {"translating": first_s, **seconds, "slices until it pays": pays}
    return found


def training(studies: Path, runs: int) -> dict[str, float]:
    """Median seconds of a batch of the hematoma bundle's compact recipe: from the loader, and through a step."""
    root = bundle_root("hematoma")
    parser = ConfigParser()
    parser.read_meta(str(root / "configs/metadata.json"))
    parser.read_config([str(root / f"configs/{name}.yaml") for name in ("train", "compact")])
    parser.config |= {"bundle_root": str(root), "dataset_dir": str(studies), "output_dir": str(studies / "training")}
    network, optimizer, loss = (parser.get_parsed_content(name) for name in ("network", "optimizer", "loss"))
    loader = parser.get_parsed_content("train::dataloader")
    batches = iter(loader)
    batch = next(batches)

    def step(bf16: bool) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(batch["image"])
        loss(logits.float(), batch["label"]).backward()
        optimizer.step()

    def load() -> None:
        next(batches)

    ways = {"load": load, "step, float32": partial(step, False)}
    ways |= {"step, bf16": partial(step, True)} if use_bf16("auto") else {}
    return {"slices a batch": len(batch["image"]), **medians(ways, min(runs, len(loader) - 2))}


def stages(image: Path, runs: int) -> dict[str, float]:
    """Median seconds of each stage of one study, by the hematoma bundle, and how many slices the network is asked."""
    from monai.data import decollate_batch, list_data_collate

    from sliceweave.pipelines.file_stamps import sha256_of
    from sliceweave.pipelines.measuring import label_results, turned
    from sliceweave.pipelines.montage import montage, write_png
    from sliceweave.pipelines.reading import read_scan, write_mask

    root = bundle_root("hematoma")
    parser = ConfigParser()
    parser.read_meta(str(root / "configs/metadata.json"))
    parser.read_config(str(root / "configs/inference.yaml"))
    parser.config["bundle_root"] = str(root)
    chain, after, kind = (parser.get_parsed_content(name) for name in ("preprocessing", "postprocessing", "study_kind"))
    network, inferer = (parser.get_parsed_content(name) for name in ("network", "tta_inferer"))
    state: dict[str, Any] = {}

    def read() -> None:
        state["scan"] = read_scan(image)

    def load() -> None:
        state["batch"] = list_data_collate([chain({"image": str(image)})])

    def check() -> None:
        scan = state["scan"]
        state["flags"] = kind.flags(scan), kind.middle_r_mm(scan), sha256_of(image)

    def infer() -> None:
        with torch.no_grad():
            state["batch"]["pred"] = inferer(state["batch"]["image"], network)

    def invert() -> None:
        (case,) = decollate_batch(state["batch"])
        state["mask"] = after(case)["pred"][0].numpy()

    def measure() -> None:
        view, shown = turned(state["scan"], state["mask"], kind.slice_axis)
        label_results(shown, view, {1: "hematoma"}, {}, state["flags"][1])

    def write() -> None:
        write_mask(state["mask"], state["scan"], state["folder"] / "mask.nii.gz")

    def picture() -> None:
        view, shown = turned(state["scan"], state["mask"], kind.slice_axis)
        write_png(montage(view.voxels, shown, kind.screen(view), "", (0, 100)), state["folder"] / "picture.png")

    steps = (read, load, check, infer, invert, measure, write, picture)
    with tempfile.TemporaryDirectory() as folder:
        state["folder"] = Path(folder)
        seconds = medians({step.__name__: step for step in steps}, runs)
    preprocess = seconds.pop("load") - seconds["read"]  # the chain reads too
    asked = parser.get_parsed_content("inferer").asked(state["batch"]["image"][0])
    return {"import": IMPORTED_S, "preprocess": preprocess, **seconds, "slices asked": len(asked)}


def slab_widths(widths: list[int], runs: int) -> dict[int, float]:
    """Median seconds of 16 slices by the slab's width."""
    from sliceweave.pipelines.inferers import SlabInferer

    volume = torch.rand(1, 1, 256, 256, 16)

    def inference(width: int) -> Callable[[], None]:
        network = for_inference(SelfAttentionUNet(2, width, 1, (16, 32, 64, 128)))
        inferer = SlabInferer(width)

        def run() -> None:
            with torch.no_grad():
                inferer(volume, network)

        return run

    found = medians({str(width): inference(width) for width in widths}, runs)
    return {int(width): seconds for width, seconds in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("stages", "training", "passes", "gpu", "compile", "slabs"))
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.what == "stages":
        found: Any = stages(arguments.data, arguments.runs)
    elif arguments.what == "training":
        found = training(arguments.data, arguments.runs)
    elif arguments.what == "compile":
        found = compiling(QUICK[0], arguments.runs)
    elif arguments.what == "gpu":
        found = on_gpu(QUICK[0], arguments.runs)
    elif arguments.what == "passes":
        found = network_passes([*(QUICK if arguments.quick else PASSES)], arguments.runs)
    else:
        found = slab_widths([1, 3, 5] if arguments.quick else [1, 3, 5, 7, 9], arguments.runs)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
