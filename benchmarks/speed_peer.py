"""The chain that `speed.py` compares with: a bundle's network and weights, run as MONAI's tutorials write inference.

`python benchmarks/speed_peer.py TASK STUDIES RESULTS` loads, preprocesses, segments in float32 and writes the mask of
each study in the folder, with MONAI's own transforms and inferer and with their defaults. What a bundle does and MONAI
lacks (CLAHE, a crop to the body, slabs) is taken from the bundle, since weights need it. Nothing is measured, checked
or drawn. Prints the seconds of each study as JSON, on one line.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, Dataset, decollate_batch
from monai.inferers import SliceInferer
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    Orientationd,
    Resized,
    SaveImaged,
    ScaleIntensityRanged,
)

from sliceweave.pipelines.bundles import bundle_root
from sliceweave.transforms import AdjacentSlicesd, CropToRegiond

WINDOWS_HU = {"hematoma": (0, 100), "lung_infection": (-1250, 250)}


class Bundle:
    """What a bundle's `inference.yaml` says."""

    def __init__(self, task: str, checkpoint: str | None = None) -> None:
        self.task, self.root = task, bundle_root(task)
        self.parser = ConfigParser()
        self.parser.read_config(str(self.root / "configs/inference.yaml"))
        self.checkpoint = checkpoint or str(self.root / "models/model.pt")

    def __getitem__(self, name: str) -> Any:
        return self.parser.get_parsed_content(name)

    def network(self) -> torch.nn.Module:
        network = self["network_def"]
        network.load_state_dict(torch.load(self.checkpoint, weights_only=True))
        return network.eval()

    def preprocessing(self) -> Compose:
        slab = [AdjacentSlicesd("image", self["slab"])] if self["slab"] > 1 else []
        return Compose(
            [
                LoadImaged("image"),
                EnsureChannelFirstd("image"),
                Orientationd("image", axcodes=self["axcodes"], labels=None),
                self.intensity(),
                CropToRegiond("image", self["region"]),
                Resized("image", [*self["plane_size"], -1], mode="trilinear"),
                *slab,
            ]
        )

    def intensity(self) -> Any:
        if self.task not in WINDOWS_HU:
            return self["intensity"]
        low, high = WINDOWS_HU[self.task]
        return ScaleIntensityRanged("image", low, high, 0.0, 1.0, clip=True)

    def postprocessing(self, preprocessing: Compose, results: Path) -> Compose:
        return Compose(
            [
                self["activation"],
                Invertd("pred", preprocessing, "image", nearest_interp=False),
                self["decision"],
                SaveImaged("pred", output_dir=results, output_postfix="mask", separate_folder=False, print_log=False),
            ]
        )


def run(bundle: Bundle, images: list[Path], results: Path) -> list[float]:
    """Seconds of each study."""
    preprocessing = bundle.preprocessing()
    postprocessing = bundle.postprocessing(preprocessing, results)
    network = bundle.network()
    inferer = SliceInferer(roi_size=bundle["plane_size"], spatial_dim=2, sw_batch_size=1)
    loader = DataLoader(Dataset([{"image": str(image)} for image in images], preprocessing), batch_size=1)
    seconds, began = [], time.perf_counter()
    with torch.no_grad():
        for batch in loader:
            batch["pred"] = inferer(batch["image"], network)
            for case in decollate_batch(batch):
                postprocessing(case)
            seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
    return seconds


def main() -> None:
    task, studies, results = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    images = sorted((studies / "images").glob("*.nii.gz"))
    print(json.dumps(run(Bundle(task, *sys.argv[4:]), images, results)))


if __name__ == "__main__":
    main()
