import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "kgt": {
        *("kgt", "torch", "triton"),
        *("PIL", "cv2", "numpy", "rich", "safetensors"),
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
        assert _third_party_imports(path) <= ALLOWED[package], path


def test_nothing_imports_the_tests():
    for package in PROJECT:
        for path in (ROOT / package).rglob("*.py"):
            assert "tests" not in _third_party_imports(path), path


def test_the_model_alone_loads_nothing_that_only_pictures_need():
    others = "{'PIL', 'cv2', 'rich', 'safetensors'}"
    code = f"import sys, kgt; kgt.create_model('kgt-tiny-x2'); print({others} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
