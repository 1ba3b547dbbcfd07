import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "kgt": {"kgt", "torch", "triton"},
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
    import sys

    return names - set(sys.stdlib_module_names)


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_point_one_way(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert _third_party_imports(path) <= ALLOWED[package], path


def test_nothing_imports_the_tests():
    for package in PROJECT:
        for path in (ROOT / package).rglob("*.py"):
            assert "tests" not in _third_party_imports(path), path
