"""The arrows between the modules point one way, and the numerics know nothing of Dask, xarray or Zarr."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import salzarr

PACKAGE = Path(salzarr.__file__).parent

# Each layer may import from those above it, and from itself.
LAYERS = [
    {"_version", "compiled", "errors", "positions"},
    {"invocation"},
    {"schema", "location"},
    {"plan", "transport", "lease", "descriptive"},
    {"locks"},
    {"sources", "metrics", "bootstrap", "units"},
    {"cluster"},
    {"run"},
    {"watching"},
    {"store"},
    {"maps"},
    {"scores"},
    {"statistics"},
    {"plot"},
    {"report"},
    {"results_analysis"},
    {"drawing"},
    {"publishing"},
    {"cli"},
    {"__init__", "__main__"},
]
NUMERICS = ("transport", "metrics", "descriptive", "bootstrap", "units")
NOT_FOR_NUMERICS = {"dask", "distributed", "xarray", "zarr", "pandas", "matplotlib"}


def imports(path):
    """Yield every module that a file imports at run time, wherever the import stands."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for child in ast.walk(node):
                child.skip = True
    for node in ast.walk(tree):
        if hasattr(node, "skip"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name}: relative import"
            yield node.module
            if node.module == "salzarr":
                yield from (f"salzarr.{alias.name}" for alias in node.names)


def part(path):
    """Name the module or folder directly below the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files():
    return sorted(p for p in PACKAGE.rglob("*.py"))


def rank(name):
    (found,) = [i for i, layer in enumerate(LAYERS) if name in layer] or [None]
    assert found is not None, f"salzarr/{name} stands in no layer: name it in LAYERS"
    return found


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_one_way(path):
    here = part(path)
    for module in imports(path):
        if module.startswith("salzarr."):
            there = module.split(".")[1]
            if (PACKAGE / there).is_dir() or (PACKAGE / f"{there}.py").is_file():
                assert there == here or rank(there) < rank(here), f"{here} imports {module}"


def test_no_module_imports_itself_by_a_detour():
    names = {
        p: ".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for p in files()
    }
    graph = {name: set(imports(path)) & set(names.values()) - {name} for path, name in names.items()}
    # A package's __init__ imports its modules, and they import each other by full name: that is no cycle.
    graph = {name: {m for m in found if not name.startswith(f"{m}.")} for name, found in graph.items()}
    assert list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", [p for p in files() if part(p) in NUMERICS], ids=lambda p: p.name)
def test_numerics_are_pure(path):
    assert not {module.split(".")[0] for module in imports(path)} & NOT_FOR_NUMERICS


NOT_FOR_STATISTICS = {
    "salzarr.maps",
    "salzarr.store",
    "salzarr.cluster",
    "salzarr.run",
    "salzarr.metrics.block",
}


@pytest.mark.parametrize("path", [p for p in files() if part(p) == "statistics"], ids=lambda p: p.name)
def test_statistics_take_scores_and_know_neither_maps_nor_clusters(path):
    refused = tuple(f"{name}." for name in NOT_FOR_STATISTICS)
    assert not [name for name in imports(path) if f"{name}.".startswith(refused)]


def test_no_module_bears_a_public_functions_name():
    public = {name for name in salzarr.__all__ if callable(getattr(salzarr, name))}
    assert not public & {p.stem for p in PACKAGE.glob("*.py")}
    factories = set(salzarr.METRICS)
    assert not factories & {p.stem for p in (PACKAGE / "metrics").glob("*.py")}


def test_importing_salzarr_is_light():
    heavy = ["numba", "ot", "xarray", "dask", "zarr", "matplotlib", "skimage", "scipy"]
    code = f"import sys, salzarr; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
