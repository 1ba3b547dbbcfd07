"""Commands answer at once: nothing heavy is loaded to print a help or a list."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    *("torch", "torchvision", "triton", "scipy", "pandas", "matplotlib", "lightning_fabric"),
    *("lpips", "fvcore", "spandrel", "colour_demosaicing", "rich"),
}


def load(*arguments):
    """Top-level packages that a command of Python loads."""
    command = [sys.executable, "-X", "importtime", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    modules = (line.rpartition("|")[2].strip() for line in run.stderr.splitlines())
    assert run.stdout
    return {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize(
    "arguments",
    [
        "kgt --help",
        "kgt restore --help",
        "kgt export --help",
        "benchmarks.reproduce --help",
        "benchmarks.reproduce --list",
        "benchmarks.evaluate --help",
        "benchmarks.train --help",
        "benchmarks.measure --help",
        "benchmarks.measure attention --help",
        "benchmarks.docs --help",
        "benchmarks.doctor --help",
        "benchmarks.regress --help",
        "benchmarks.sweep --help",
        "benchmarks.regress paired --list",
    ],
)
def test_a_help_or_a_list_loads_nothing_heavy(arguments):
    assert load("-m", *arguments.split()) & HEAVY == set()


@pytest.mark.parametrize("package", ["kgt", "baselines"])
def test_a_package_loads_what_is_used(package):
    assert (
        load("-c", f"import {package}; print({package}.__all__)") & {*HEAVY, "numpy", "pyvips"}
        == set()
    )


@pytest.mark.parametrize("package", ["kgt", "baselines"])
def test_every_exported_name_is_where_type_checkers_look(package):
    module = import_module(package)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {alias.name: node.module for node in block.body for alias in node.names}
    assert typed == {name: f"{package}.{home}" for name, home in module._HOMES.items()}
    for name, home in typed.items():
        assert getattr(module, name) is getattr(import_module(home), name)
    with pytest.raises(AttributeError, match="no attribute 'restores'"):
        module.restores  # noqa: B018


def test_the_base_install_has_seven_dependencies_at_most():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    required = text.partition("\ndependencies = [\n")[2].partition("\n]")[0].splitlines()
    assert 3 < len(required) <= 7
