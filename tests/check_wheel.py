"""Checks what a wheel holds: python tests/check_wheel.py WHEEL. Status 1 and a line for each thing that is wrong."""

import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
PACKAGES = ("networks", "transforms", "pipelines", "bundles")


def expected() -> set[str]:
    """Every file below the four packages' folders, as it is called in the wheel."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return {f"sliceweave/{path.relative_to(ROOT).as_posix()}" for path in files if "__pycache__" not in path.parts}


def complaints(names: set[str]) -> list[str]:
    top_level = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    found = [f"missing: {name}" for name in sorted(expected() - names)]
    found += [f"not in the repository: {name}" for name in sorted(names - expected()) if ".dist-info/" not in name]
    found += [f"top level: {name}" for name in sorted(top_level - {"sliceweave"})]
    if not any(name.endswith("models/model.pt") for name in names):
        found.append("no weights")
    return found


def main() -> None:
    with ZipFile(sys.argv[1]) as wheel:
        found = complaints(set(wheel.namelist()))
    print("\n".join(found) or f"{sys.argv[1]}: contents as expected")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
