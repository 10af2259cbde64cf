import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml
from bundle_runs import FolderOf, Once, narrow, quick, run
from filelock import FileLock
from miniature_cohorts import write_cohort

from sliceweave.pipelines.bundles import bundle_root


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Folder of that name that is filled once, by whichever of pytest's processes comes first, and read by all."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def filled(name: str, fill: Callable[[Path], object]) -> Path:
        folder = shared / name
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                making = shared / f"{name}.making"
                shutil.rmtree(making, ignore_errors=True)
                making.mkdir()
                fill(making)
                making.rename(folder)
        return folder

    return filled


@pytest.fixture(scope="session")
def cohort(once: Once) -> FolderOf:
    """Folder of a task's labelled studies."""
    return cache(lambda task: once(f"{task}-cohort", lambda folder: write_cohort(task, folder)))


@pytest.fixture(scope="session")
def trained(once: Once, cohort: FolderOf) -> FolderOf:
    """Output folder of a training of a task's narrow network that has learned its cohort."""

    def train(task: str, folder: Path) -> None:
        places = {"dataset_dir": str(cohort(task)), "output_dir": str(folder)}
        run(task, ["train"], {**places, **quick(task), "epochs": 12})

    return cache(lambda task: once(f"{task}-trained", lambda folder: train(task, folder)))


@pytest.fixture(scope="session")
def own_bundle(tmp_path_factory: pytest.TempPathFactory, trained: FolderOf) -> FolderOf:
    """Folder of a copy of a bundle that holds the narrow network, which sees one slice at a time, and its weights."""

    @cache
    def copy(task: str) -> Path:
        root = tmp_path_factory.mktemp("bundles") / task
        shutil.copytree(bundle_root(task), root)
        slab = yaml.safe_load((root / "configs/inference.yaml").read_text("utf-8"))["slab"]
        for stage in ("train", "evaluate", "inference"):
            path = root / f"configs/{stage}.yaml"
            path.write_text(
                yaml.safe_dump({**yaml.safe_load(path.read_text("utf-8")), **narrow(task), "slab": 1}), "utf-8"
            )
        metadata = json.loads((root / "configs/metadata.json").read_text("utf-8"))
        metadata["network_data_format"]["inputs"]["image"]["num_channels"] //= slab
        (root / "configs/metadata.json").write_text(json.dumps(metadata), "utf-8")
        shutil.copy(trained(task) / "model.pt", root / "models/model.pt")
        return root

    return copy
