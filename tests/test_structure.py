"""The layout's rules: who may import whom, flat packages, bundles without code."""

import ast
from fnmatch import filter as matching
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "networks": {"networks"},
    "transforms": {"transforms"},
    "pipelines": {"pipelines", "transforms", "networks", "bundles"},  # bundles: only to find its folder
    "bundles": set(),
}
PAPERS = {
    "eas_unet",
    "fcn8s",
    "inception_res_unet",
    "lg_net",
    "ra_unet",
    "res_unet",
    "segnet",
    "self_attention_unet",
    "u2net",
    "unet",
}


BRICKS_OF = {
    "feature_fusion": "lg_net",
    "lg_attention": "lg_net",
    "position_encoding": "self_attention_unet",
    "rectified_affinity": "lg_net",
    "skip_attention": "self_attention_unet",
}


def imported(path: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in the file: modules, and what it takes from them."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    sources = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    taken = {f"{node.module}.{alias.name}" for node in sources for alias in node.names}
    return plain | taken | {node.module or "." for node in sources}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).glob("*.py"))


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_in_the_allowed_direction(package: str) -> None:
    allowed = MAY_IMPORT[package]
    wrong = {
        (path.name, name)
        for path in modules(package)
        for name in imported(path)
        if name.split(".")[0] == "sliceweave" and name.split(".")[1] not in allowed
    }
    assert modules(package)
    assert wrong == set()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_are_absolute(package: str) -> None:
    nodes = [n for path in modules(package) for n in ast.walk(ast.parse(path.read_text("utf-8")))]
    assert [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.level > 0] == []


def test_networks_are_mathematics_only() -> None:
    top_level = {name.split(".")[0] for path in modules("networks") for name in imported(path)}
    assert top_level <= {"torch", "monai", "sliceweave", "collections", "itertools", "math", "typing"}
    from_monai = {name for path in modules("networks") for name in imported(path) if name.startswith("monai")}
    assert all(name.startswith(("monai.networks", "monai.losses")) for name in from_monai)


def papers_imported(path: Path) -> set[str]:
    """The papers whose network or own bricks a module of the networks imports."""
    stems = {name.split(".")[-1] for name in imported(path) if name.startswith("sliceweave.networks.")}
    return {BRICKS_OF.get(stem, stem) for stem in stems} & PAPERS


def test_papers_never_import_each_other() -> None:
    for path in modules("networks"):
        own = {BRICKS_OF.get(path.stem, path.stem)}
        assert path.stem in ("__init__", "catalogue") or papers_imported(path) <= own


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_are_flat_and_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert [p for p in (ROOT / package).glob("*/**/*.py") if "__pycache__" not in p.parts] == []


def test_bundles_hold_no_code() -> None:
    assert [path.name for path in (ROOT / "bundles").rglob("*.py")] == ["__init__.py"]


def test_tests_are_no_package() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("paper", sorted(PAPERS))
def test_a_papers_file_is_short_and_its_network_takes_six_arguments_at_most(paper: str) -> None:
    text = (ROOT / "networks" / f"{paper}.py").read_text("utf-8")
    assert len(text.splitlines()) <= 150
    constructors = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    assert constructors
    assert max(len(node.args.args) - 1 for node in constructors) <= 6


@pytest.mark.parametrize("bricks", ["blocks", "attention", "skeleton"])
def test_every_shared_brick_serves_two_networks_at_least(bricks: str) -> None:
    def names_from(path: Path) -> set[str]:
        nodes = ast.walk(ast.parse(path.read_text("utf-8")))
        taken = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module == f"sliceweave.networks.{bricks}"]
        return {alias.name for node in taken for alias in node.names}

    tree = ast.parse((ROOT / "networks" / f"{bricks}.py").read_text("utf-8"))
    offered = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    users: dict[str, set[str]] = {}
    for path in modules("networks"):
        users.setdefault(BRICKS_OF.get(path.stem, path.stem), set()).update(names_from(path))
    assert offered
    assert {name for name in offered if sum(name in taken for taken in users.values()) < 2} == set()


def rooms() -> list[list[str]]:
    """Modules of the pipelines, room by room from the ground up, as the package's docstring lists them."""
    text = ast.get_docstring(ast.parse((ROOT / "pipelines" / "__init__.py").read_text("utf-8"))) or ""
    stems = [path.stem for path in modules("pipelines") if path.stem != "__init__"]
    found: list[list[str]] = []
    for line in text.splitlines():
        if line.endswith(":"):
            found.append([])
        elif line.startswith(" "):
            found[-1] += [stem for pattern in line.split() for stem in matching(stems, pattern) or [pattern]]
    return found


def test_every_module_of_the_pipelines_has_one_room() -> None:
    stems = sorted(path.stem for path in modules("pipelines") if path.stem != "__init__")
    assert sorted(stem for room in rooms() for stem in room) == stems


def test_modules_of_the_pipelines_import_from_their_own_room_and_those_before_it() -> None:
    floor = {stem: number for number, room in enumerate(rooms()) for stem in room}
    climbs = {
        (stem, name)
        for stem in floor
        for name in imported(ROOT / "pipelines" / f"{stem}.py")
        if name.startswith("sliceweave.pipelines.") and floor[name.split(".")[2]] > floor[stem]
    }
    assert climbs == set()
