"""Where the bundles are, and how their stage files come from `shared/` and `task.yaml`."""

from pathlib import Path
from typing import Any

import yaml

import sliceweave.bundles
from sliceweave.pipelines.errors import InputError

STAGES = ("inference", "train", "evaluate", "multi_gpu", "3d")
_OVERLAYS = ("evaluate", "multi_gpu", "3d")
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


def merge(base: Config, over: Config) -> Config:
    """`base` with the values of `over`; dictionaries merge, anything else (lists too) is replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = merge(base[key], value) if both else value
    return merged


def stage_files(task: str) -> list[Path]:
    """The task's stage files, whether they are there or not."""
    return [bundle_root(task) / "configs" / f"{stage}.yaml" for stage in STAGES]


def rendered(path: Path) -> str:
    """What a stage file has to contain, as it follows from the sources."""
    task, stage = path.parent.parent.name, path.stem
    source = _read(bundle_root(task) / "task.yaml")
    own = {} if stage in _OVERLAYS else source["everywhere"]
    config = merge(merge(_read(_ROOT / "shared" / path.name), own), source.get(stage, {}))
    header = f"# Rendered by `sliceweave render` from bundles/shared and bundles/{task}/task.yaml: change those.\n"
    return header + yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120)


def stale(task: str) -> list[Path]:
    """The task's stage files that are not what the sources say."""
    return [path for path in stage_files(task) if not path.is_file() or path.read_text("utf-8") != rendered(path)]


def _read(path: Path) -> Config:
    content: Config = yaml.safe_load(path.read_text("utf-8"))
    return content
