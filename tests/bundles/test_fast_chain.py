"""Inference as it runs by default against the plain chain in float32: the results do not move.

Plain is MONAI's: the network as it was trained, every slice asked, probabilities inverted whole, then decided.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from bundle_runs import FolderOf, every_bundle, run
from monai.bundle import ConfigParser
from monai.transforms import Compose, Invertd

from sliceweave.pipelines.bundles import bundle_root, labels_of
from sliceweave.pipelines.inferers import SlabInferer
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_tasks import phantom_task
from sliceweave.pipelines.studies import id_of

REAL = {
    "hematoma": "head_ct/ct_ich/**/*_ct.nii.gz",
    "liver_tumor": "liver_ct/**/example_ct*.nii.gz",
    "knee_cartilage": "knee_mr/**/mese_te*.nii.gz",
}


class PlainChain:
    """A bundle's mask of a study, without anything that makes it fast."""

    def __init__(self, root: Path) -> None:
        self.parser = ConfigParser()
        self.parser.read_config(str(root / "configs/inference.yaml"))
        self.parser["bundle_root"] = str(root)
        self.network = self["network_def"]
        self.network.load_state_dict(torch.load(root / "models/model.pt", weights_only=True))
        self.network.eval()
        self.inferer = SlabInferer(self["slab"])
        invert = Invertd("pred", self["preprocessing"], "image", nearest_interp=False)
        self.after = Compose([self["activation"], self["plausible"], invert, self["decision"], self["cleaning"]])

    def __getitem__(self, name: str) -> Any:
        return self.parser.get_parsed_content(name)

    @torch.no_grad()
    def mask(self, image: Path) -> np.ndarray:
        case = self["preprocessing"]({"image": str(image)})
        case["pred"] = self.inferer(case["image"][None], self.network)[0]
        return self.after(case)["pred"][0].numpy().astype(np.uint8)


def check_same(ours: np.ndarray, plain: np.ndarray, voxel_ml: float, values: Sequence[int]) -> None:
    """Volumes within 0.5 % or 0.1 ml, Dice 0.999 or more of what exceeds 1 ml, for each label."""
    for value in values:
        found, expected = (mask == value for mask in (ours, plain))
        ours_ml, plain_ml = found.sum() * voxel_ml, expected.sum() * voxel_ml
        assert abs(ours_ml - plain_ml) <= max(0.005 * plain_ml, 0.1), (value, ours_ml, plain_ml)
        if plain_ml > 1:
            dice = 2 * (found & expected).sum() / (found.sum() + expected.sum())
            assert dice >= 0.999, (value, plain_ml, dice)


def check_studies(task: str, images: Sequence[Path], results: Path) -> float:
    """Runs the bundle over them, by OpenVINO and by torch, and checks each; the most of a study that is marked."""
    studies = results / "studies.csv"
    pd.DataFrame({"study_id": map(id_of, images), "image": images}).to_csv(studies, index=False)
    ways = {"openvino": results / "openvino", "false": results / "torch"}
    for way, folder in ways.items():
        places = {"dataset_dir": str(studies), "output_dir": str(folder)}
        run(task, ["inference"], {**places, "compile": way, "pictures": False})
    chain = PlainChain(bundle_root(task))
    marked = []
    for image in images:
        plain = chain.mask(image)
        marked.append((plain > 0).mean())
        for folder in ways.values():
            ours = nib.load(folder / f"{id_of(image)}_mask.nii.gz")
            voxel_ml = abs(np.linalg.det(ours.affine[:3, :3])) / 1000
            check_same(np.asarray(ours.dataobj), plain, voxel_ml, [*labels_of(task)])
    return float(max(marked))


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> FolderOf:
    """Folder of two generated studies, of ten slices or frames."""

    @cache
    def generate(task: str) -> Path:
        folder = tmp_path_factory.mktemp(f"{task}-phantoms")
        write_phantoms(task, folder, 2, 9100, phantom_task(task).options.with_slices(10), workers=1)
        return folder

    return generate


@pytest.mark.slow
@every_bundle
def test_phantoms_get_the_plain_chains_masks(task: str, phantoms: FolderOf, tmp_path: Path) -> None:
    images = sorted((phantoms(task) / "images").glob("*.nii.gz"))
    assert check_studies(task, images, tmp_path) > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("task", REAL)
def test_real_scans_get_the_plain_chains_masks(task: str, real_data: Path, tmp_path: Path) -> None:
    images = sorted(real_data.glob(REAL[task]))
    assert images
    check_studies(task, images, tmp_path)


@pytest.mark.parametrize("task", ["hematoma", "knee_cartilage"])
def test_on_a_miniature_cohort_only_rounding_moves(
    task: str, cohort: FolderOf, own_bundle: FolderOf, tmp_path: Path
) -> None:
    image = min((cohort(task) / "images").glob("*.nii.gz"))
    places = {"dataset_dir": str(image), "output_dir": str(tmp_path), "pictures": False}
    run(task, ["inference"], {**places, "bf16": False}, own_bundle(task))
    ours = np.asarray(nib.load(tmp_path / f"{id_of(image)}_mask.nii.gz").dataobj)
    plain = PlainChain(own_bundle(task)).mask(image)
    assert (plain > 0).any()
    assert (ours != plain).mean() < 1e-4
