"""Programs that read a bundle's files and run its parts themselves, in the manner of MONAI Label and MONAI Deploy."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle_runs import FolderOf, every_bundle, run
from monai.bundle import ConfigParser, ckpt_export
from monai.data import MetaTensor
from monai.inferers import Inferer
from monai.transforms import Compose, SaveImaged

from sliceweave.pipelines.bundles import bundle_root, labels_of, tasks
from sliceweave.pipelines.phantom import write_phantoms
from sliceweave.pipelines.phantom_tasks import phantom_task


class LabelStyleReader:
    """Knows a bundle by `configs/inference.yaml`, `configs/metadata.json` and `models/model.pt` alone."""

    def __init__(self, root: Path) -> None:
        formats = json.loads((root / "configs/metadata.json").read_bytes())["network_data_format"]
        self.image_key, self.pred_key = next(iter(formats["inputs"])), next(iter(formats["outputs"]))
        channels = formats["outputs"][self.pred_key]["channel_def"]
        self.labels = {name.lower(): int(value) for value, name in channels.items() if name.lower() != "background"}
        self.parser = ConfigParser()
        self.parser.read_config(str(root / "configs/inference.yaml"))
        self.parser.config["bundle_root"] = str(root)
        self.network = self.parser.get_parsed_content("network_def")
        self.network.load_state_dict(torch.load(root / "models/model.pt", weights_only=True), strict=True)
        self.network.eval()

    def transforms(self, name: str) -> Sequence[Any]:
        return [step for step in self.parser.get_parsed_content(name).transforms if not isinstance(step, SaveImaged)]

    def mask(self, image: Path) -> MetaTensor:
        data: dict[str, Any] = {self.image_key: str(image)}
        for step in self.transforms("preprocessing"):
            data = step(data)
        inferer: Inferer = self.parser.get_parsed_content("inferer")
        with torch.no_grad():
            data[self.pred_key] = inferer(data[self.image_key][None], self.network)[0]
        for step in self.transforms("postprocessing"):
            data = step(data)
        return data[self.pred_key]


class DeployStyleReader:
    """Knows a bundle by its TorchScript export and the configs; images come from memory, loaded by nobody here."""

    def __init__(self, root: Path, model: Path) -> None:
        files = {"meta_file": str(root / "configs/metadata.json"), "config_file": str(root / "configs/inference.yaml")}
        ckpt_export("network_def", filepath=str(model), ckpt_file=str(root / "models/model.pt"), **files)
        self.network = torch.jit.load(model).eval()
        self.parser = ConfigParser()
        self.parser.read_meta(files["meta_file"])
        self.parser.read_config(files["config_file"])

    def chain(self, name: str) -> Compose:
        chain = self.parser.get_parsed_content(name)
        assert isinstance(chain, Compose)
        unwanted = ("LoadImage", "SaveImage")
        return Compose([step for step in chain.transforms if not any(word in type(step).__name__ for word in unwanted)])

    def mask(self, image: Path) -> MetaTensor:
        volume = nib.load(image)
        meta = {"original_channel_dim": "no_channel", "original_affine": volume.affine, "affine": volume.affine}
        meta |= {"spatial_shape": np.array(volume.shape), "space": "RAS"}
        voxels = torch.from_numpy(np.asarray(volume.dataobj).astype(np.float32))
        data = self.chain("preprocessing")({"image": MetaTensor.ensure_torch_and_prune_meta(voxels, meta)})
        with torch.no_grad():
            logits = self.parser.get_parsed_content("inferer")(inputs=data["image"][None], network=self.network)
        return self.chain("postprocessing")({"pred": logits[0], **data})["pred"]


def images_of(folder: Path) -> list[Path]:
    return sorted((folder / "images").glob("*.nii.gz"))


def dice(mask: np.ndarray, truth: np.ndarray, value: int) -> float:
    return float(2 * ((mask == value) & (truth == value)).sum() / ((mask == value).sum() + (truth == value).sum()))


def check_mask(mask: MetaTensor, image: Path, written: Path) -> None:
    """It is the one that our own run wrote, and lies on the scan's grid."""
    scan, ours = nib.load(image), nib.load(written)
    assert mask.shape == (1, *scan.shape)
    np.testing.assert_allclose(mask.affine, scan.affine, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(mask[0].numpy(), np.asarray(ours.dataobj))


@pytest.fixture(scope="module")
def own_masks(tmp_path_factory: pytest.TempPathFactory, cohort: FolderOf, own_bundle: FolderOf) -> FolderOf:
    """Output folder of our own inference run over a task's cohort."""
    done: dict[str, Path] = {}

    def infer(task: str) -> Path:
        if task not in done:
            done[task] = tmp_path_factory.mktemp(f"{task}-results")
            places = {"dataset_dir": str(cohort(task)), "output_dir": str(done[task]), "pictures": False, "bf16": False}
            run(task, ["inference"], places, own_bundle(task))
        return done[task]

    return infer


@every_bundle
def test_a_label_style_reader_finds_the_structures_and_gets_our_masks(
    task: str, cohort: FolderOf, own_bundle: FolderOf, own_masks: FolderOf
) -> None:
    reader = LabelStyleReader(own_bundle(task))
    for image in images_of(cohort(task))[:2]:  # one straight, one oblique
        mask = reader.mask(image)
        check_mask(mask, image, own_masks(task) / image.name.replace(".nii.gz", "_mask.nii.gz"))
        assert set(mask.unique().tolist()) == {0, *reader.labels.values()}
        truth = np.asarray(nib.load(cohort(task) / "labels" / image.name).dataobj)
        for value in reader.labels.values():
            assert dice(mask[0].numpy(), truth, value) > 0.6


@every_bundle
def test_a_deploy_style_reader_gets_our_masks_from_images_in_memory(
    task: str, cohort: FolderOf, own_bundle: FolderOf, own_masks: FolderOf, tmp_path: Path
) -> None:
    reader = DeployStyleReader(own_bundle(task), tmp_path / "model.ts")
    for image in images_of(cohort(task))[:2]:
        check_mask(reader.mask(image), image, own_masks(task) / image.name.replace(".nii.gz", "_mask.nii.gz"))


@every_bundle
def test_a_label_style_reader_gets_the_masks_of_the_shipped_weights(
    task: str, cohort: FolderOf, tmp_path: Path
) -> None:
    image = images_of(cohort(task))[0]
    run(task, ["inference"], {"dataset_dir": str(image), "output_dir": str(tmp_path), "bf16": False})
    mask = LabelStyleReader(bundle_root(task)).mask(image)
    check_mask(mask, image, tmp_path / image.name.replace(".nii.gz", "_mask.nii.gz"))


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> FolderOf:
    """Folder of a full-size phantom cut down to eight slices with much to be found."""

    @cache
    def generate(task: str) -> Path:
        folder = tmp_path_factory.mktemp(f"{task}-unseen")
        write_phantoms(task, folder, 1, seed=9002, options=phantom_task(task).options)
        (image,) = images_of(folder)
        files = [nib.load(folder / kind / image.name) for kind in ("images", "labels")]
        label = np.asarray(files[1].dataobj)
        rarest = min(([(label == value).sum((0, 1)) for value in labels_of(task)]), key=np.sum)
        first = int(np.clip(rarest.argmax() - 4, 0, len(rarest) - 8))
        for kind, file in zip(("images", "labels"), files, strict=True):
            nib.save(file.slicer[:, :, first : first + 8], folder / kind / image.name)
        return folder

    return generate


@pytest.mark.slow
@pytest.mark.parametrize("task", tasks())
def test_a_label_style_reader_with_the_shipped_weights_finds_what_is_in_an_unseen_phantom(
    task: str, unseen: FolderOf
) -> None:
    (image,) = images_of(unseen(task))
    reader = LabelStyleReader(bundle_root(task))
    mask = reader.mask(image)[0].numpy()
    truth = np.asarray(nib.load(unseen(task) / "labels" / image.name).dataobj)
    for value in reader.labels.values():
        assert (truth == value).sum() > 50
        assert dice(mask, truth, value) > 0.7
