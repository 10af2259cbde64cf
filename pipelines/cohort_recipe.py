"""What a cohort's driver and each of its workers need to know of a bundle's run: small, and sent to other processes."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sliceweave.pipelines.bundles import bundle_root
from sliceweave.pipelines.errors import InputError
from sliceweave.pipelines.typed_options import check_option, parse_options

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

_OWN = {"dataset_dir": "SOURCE", "output_dir": "OUT", "resume": "nothing: a cohort always resumes"}
_CONFIG = "configs/inference.yaml"


@dataclass(frozen=True)
class Recipe:
    """A bundle's inference as `python -m monai.bundle run` is told of it.

    Attributes:
        files: configs, later ones laid over earlier ones; metadata.json lies beside the first.
        options: values by config id, as the bundle's own options.
        folder: what relative paths start from.
    """

    files: tuple[str, ...]
    options: Mapping[str, Any]
    folder: str

    def parser(self, **others: Any) -> "ConfigParser":
        """The config with all options in place, and others by id.

        Raises:
            InputError: a config or its metadata is missing or cannot be read, or there is no such option.
        """
        from monai.bundle import ConfigParser

        parser = ConfigParser()
        for file in (*self.files, meta := str(Path(self.files[0]).with_name("metadata.json"))):
            if not Path(file).is_file():
                raise InputError(f"{file} does not exist; expected the bundle's {Path(file).name}")
        parser.read_config(list(self.files))
        parser.read_meta(meta)
        for name, value in self.options.items():
            check_option(name, value, parser.get())
        parser.update({**self.options, **others})
        return parser


def recipe_of(task: str, bundle: Path | None, source: str, out: Path, options: Sequence[str]) -> Recipe:
    """The inference of a task's shipped bundle, or of the bundle in a folder.

    Args:
        options: as typed for the bundle: `--bf16 False --config_file "['a.yaml','b.yaml']"`.

    Raises:
        InputError: no such task or bundle, or options that are none.
    """
    root = bundle_root(task) if bundle is None else bundle
    if bundle is not None and (name := _name_of(bundle)) != task:
        raise InputError(f"{bundle}: expected the bundle of {task}, got that of '{name}'; name that as TASK")
    given = parse_options(options)
    if own := _OWN.keys() & given.keys():
        option = min(own)
        raise InputError(f"--{option} is no option of a cohort's bundle: give {_OWN[option]}")
    files = given.pop("config_file", str(root / _CONFIG))
    paths = tuple(map(str, files if isinstance(files, list | tuple) else [files]))
    cohort = {"dataset_dir": source, "output_dir": str(out), "resume": True, "bundle_root": str(root)}
    return Recipe(paths, {**given, **cohort}, os.getcwd())


def _name_of(bundle: Path) -> str:
    path = bundle / "configs/metadata.json"
    try:
        return str(json.loads(path.read_bytes())["name"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{bundle}: expected a bundle, but {path} cannot be read ({error}); give its folder"
        ) from error
