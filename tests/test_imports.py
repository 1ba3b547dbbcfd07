import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "kgt": {
        *("kgt", "torch", "triton"),
        *("PIL", "av", "numpy", "onnxruntime", "pyvips", "rich", "safetensors"),
    },
    "baselines": {
        *("baselines", "kgt", "torch", "numpy", "safetensors"),
        *("colour_demosaicing", "skimage", "spandrel"),
    },
}
PROJECT = {"kgt", "baselines", "benchmarks"}


def _third_party_imports(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_point_one_way(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        is_root = _floor(_name(path, ROOT), ROOT) == COMPOSITION_ROOT[:2]
        above = {"baselines"} if is_root else set()
        assert _third_party_imports(path) <= ALLOWED[package] | above, path


# Every module or folder of a package, from the ground up; an import goes down or stays inside.
FLOORS = {
    "kgt": (
        *(
            "lazy",
            "contract",
            "files",
            "cache",
            "errors",
            "fields",
            "tasks",
            "cli",
            "attention",
            "config",
            "network",
            "checkpoints",
            "pretrained",
        ),
        *(
            "zoo",
            "tiles",
            "pictures",
            "restoring",
            "video",
            "export",
            "__init__",
            "command",
            "__main__",
        ),
    ),
    "benchmarks": (
        *("__init__", "records", "cli", "data", "tasks", "models", "measure", "quality"),
        *("training", "plan", "report", "regression", "docs"),
        *("reproduce", "sweep", "evaluate", "train", "doctor", "regress"),
        *("conftest", "test_attention", "test_graph", "test_metrics", "test_network"),
        "test_triton",
    ),
}
PACKAGES = ("kgt", "baselines", "benchmarks")
# The command line takes all models by name, so it alone may look up.
COMPOSITION_ROOT = ("kgt", "command", "baselines")


def _name(path, root):
    return ".".join(path.relative_to(root).with_suffix("").parts)


def _imported(path, root):
    """Dotted names that a file imports, wherever in the file the import stands."""
    package = _name(path, root).split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _floor(dotted, root):
    """(package, position of the module or folder in it); of a package itself its __init__."""
    package, *rest = dotted.split(".")
    unit = rest[0] if rest else "__init__"
    if not ((root / package / unit).is_dir() or (root / package / f"{unit}.py").is_file()):
        unit = "__init__"  # a function or class that the package exports
    return package, unit


def find_arrows_up(root):
    """Imports that go up, as "importer -> imported", and modules that have no floor."""
    found = []
    for path in sorted(p for package in PACKAGES for p in (root / package).rglob("*.py")):
        name = _name(path, root)
        package, unit = _floor(name, root)
        floors = FLOORS.get(package)
        if floors and unit not in floors:
            found.append(f"{name} has no floor")
            continue
        for imported in _imported(path, root):
            if imported.split(".")[0] not in PACKAGES:
                continue
            other, target = _floor(imported, root)
            if other != package:
                up = PACKAGES.index(other) > PACKAGES.index(package)
                up &= (package, unit, other) != COMPOSITION_ROOT
            else:
                up = bool(floors) and floors.index(target) > floors.index(unit)
            if up:
                found.append(f"{name} -> {imported}")
    return found


def test_imports_go_down_the_floors():
    assert find_arrows_up(ROOT) == []


@pytest.mark.parametrize(
    ("module", "line", "arrow"),
    [
        ("kgt/tiles/bands.py", "from kgt.pictures import png", "kgt.pictures.png"),
        ("kgt/zoo.py", "import kgt", "kgt"),
        ("kgt/config.py", "from kgt import create_model", "kgt.create_model"),
        ("kgt/attention/call.py", "from ..network import model", "kgt.network.model"),
        ("kgt/cli.py", "import baselines", "baselines"),
        ("baselines/dense.py", "from benchmarks.models import x", "benchmarks.models.x"),
        (
            "benchmarks/records/cell.py",
            "import benchmarks.plan.specs as s",
            "benchmarks.plan.specs",
        ),
        (
            "benchmarks/plan/runner.py",
            "from benchmarks.report import tables",
            "benchmarks.report.tables",
        ),
        ("benchmarks/report/tables.py", "from benchmarks import reproduce", "benchmarks.reproduce"),
    ],
)
def test_a_planted_arrow_up_is_found(module, line, arrow, tmp_path):
    for folder in ("kgt/attention", "kgt/network", "kgt/pictures", "kgt/tiles", "baselines"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("records", "plan", "report"):
        (tmp_path / "benchmarks" / folder).mkdir(parents=True)
    for name in ("kgt/__init__", "benchmarks/reproduce", "benchmarks/models", "kgt/__main__"):
        (tmp_path / f"{name}.py").write_text("import torch\n")
    (tmp_path / "kgt/command.py").write_text("import baselines.registry\n")
    (tmp_path / module).write_text(f"def late():\n    {line}\n")
    name = module.removesuffix(".py").replace("/", ".")
    assert find_arrows_up(tmp_path) == [f"{name} -> {arrow}"]


def test_a_module_without_a_floor_is_found(tmp_path):
    (tmp_path / "kgt").mkdir()
    (tmp_path / "kgt/attic.py").touch()
    assert find_arrows_up(tmp_path) == ["kgt.attic has no floor"]


def test_nothing_imports_the_tests():
    for package in PROJECT:
        for path in (ROOT / package).rglob("*.py"):
            assert "tests" not in _third_party_imports(path), path


def test_the_model_alone_loads_nothing_that_only_pictures_need():
    others = "{'PIL', 'av', 'cv2', 'pyvips', 'rich', 'safetensors'}"
    code = f"import sys, kgt; kgt.create_model('kgt-tiny-x2'); print({others} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_the_size_of_a_network_with_own_fields_is_found_without_a_library_of_algebra():
    names = ("kgt-tiny-x2", "kgt-u", "swinir-tiny-x2", "smfanet-x2", "hit-srf-x4")
    code = f"""
import sys
import torch
from baselines.catalog import create_any_model
with torch.device("meta"):
    for name in {names}:
        create_any_model(name)
print({{"sympy", "torch._dynamo"}} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
