"""Where the bundles are, and how their files come from `shared/` and `task.yaml`."""

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import sliceweave.bundles
from sliceweave.pipelines.errors import InputError

STAGES = ("inference", "train")
OVERLAYS = ("evaluate", "multi_gpu", "2d", "2.5d", "3d", "compact")
_COPIES = ("LICENSE", "configs/logging.conf", "docs/data_license.txt")
_ROOT = Path(sliceweave.bundles.__file__).parent

Config = dict[str, Any]


def tasks() -> list[str]:
    """The bundles' names."""
    return sorted(path.parent.name for path in _ROOT.glob("*/task.yaml"))


def bundle_root(task: str) -> Path:
    """The bundle's folder.

    Raises:
        InputError: no such task.
    """
    if task not in tasks():
        raise InputError(f"no bundle is called '{task}': choose from {', '.join(tasks())}")
    return _ROOT / task


def task_settings(task: str) -> Config:
    """What `task.yaml` says, by section. Raises InputError where there is no such task."""
    return _read(bundle_root(task) / "task.yaml")


def everywhere(task: str) -> Config:
    """What all the task's stages have in common. Raises InputError where there is no such task."""
    return merge(_read(_ROOT / "shared/everywhere.yaml"), task_settings(task)["everywhere"])


def labels_of(task: str) -> dict[int, str]:
    """Name of each label by its value, without the background. Raises InputError where there is no such task."""
    channels = task_settings(task)["metadata"]["network_data_format"]["outputs"]["pred"]["channel_def"]
    return {int(value): name for value, name in channels.items() if int(value) > 0}


def modality_of(task: str) -> str:
    """DICOM's word for the images, such as CT. Raises InputError where there is no such task."""
    return str(_metadata(task)["network_data_format"]["inputs"]["image"]["modality"])


def merge(base: Config, over: Config) -> Config:
    """`base` with the values of `over`; dictionaries merge, anything else (lists too) is replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = merge(base[key], value) if both else value
    return merged


def rendered_files(task: str) -> list[Path]:
    """The task's files that follow from the sources, whether they are there or not."""
    configs = [f"configs/{stage}.yaml" for stage in (*STAGES, *OVERLAYS)]
    return [bundle_root(task) / name for name in (*configs, "configs/metadata.json", "docs/README.md", *_COPIES)]


def rendered(path: Path) -> str:
    """What one of the `rendered_files` has to contain."""
    task = path.parent.name if path.name == "LICENSE" else path.parent.parent.name
    shared = _ROOT / "shared"
    if path.suffix == ".yaml":
        return _rendered_stage(task, path.stem)
    if path.name == "metadata.json":
        return json.dumps({**_metadata(task), "name": task}, indent=4, ensure_ascii=False) + "\n"
    if path.name == "README.md":
        about, how_to = path.with_name("about.md").read_text("utf-8"), (shared / "how_to.md").read_text("utf-8")
        return about + "\n" + how_to.replace("TASK", task)
    own = task_settings(task).get(path.stem) if path.name == "data_license.txt" else None
    return own or (shared / path.name).read_text("utf-8").replace("TASK", task)


def _metadata(task: str) -> Config:
    return merge(_read(_ROOT / "shared/metadata.yaml"), task_settings(task)["metadata"])


def _rendered_stage(task: str, stage: str) -> str:
    config = _read(_ROOT / "shared" / f"{stage}.yaml")
    if stage in STAGES:
        config = merge(config, everywhere(task))
    config = merge(config, task_settings(task).get(stage, {}))
    header = f"# Rendered by `sliceweave render` from bundles/shared and bundles/{task}/task.yaml: change those.\n"
    return header + yaml.dump(config, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


class _Plain(yaml.SafeDumper):
    """Writes what stands twice twice: MONAI's parser knows no anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def stale(task: str) -> list[Path]:
    """The task's rendered files that are not what the sources say."""
    return [path for path in rendered_files(task) if not path.is_file() or path.read_text("utf-8") != rendered(path)]


def _read(path: Path) -> Config:
    return deepcopy(_parsed(path.read_text("utf-8")))


@cache  # a task's settings are asked for by each of its files, and YAML is slow
def _parsed(text: str) -> Config:
    return yaml.safe_load(text) or {}
