"""The examples: notebooks run, the recipe is one, the backend meets the contract."""

import json
import runpy
from pathlib import Path

import nbformat
import pytest
import torch
import yaml
from nbclient import NotebookClient

from benchmarks.training.recipes import OwnFolder, Recipe, load_recipe
from kgt.attention import registry
from tests.kgt.attention.test_attention import CASES, check_contract

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_small_and_without_results(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size < 10_000
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_the_annotated_recipe_has_every_field():
    path = EXAMPLES / "recipe.yaml"
    content = yaml.safe_load(path.read_text())
    assert list(content) == list(Recipe.model_fields)
    recipe = load_recipe(str(path))
    assert recipe.datasets == (OwnFolder(folder=str(EXAMPLES / "photos")),)


def test_what_the_annotated_recipe_calls_defaults_are():
    text = (EXAMPLES / "recipe.yaml").read_text()
    content = yaml.safe_load(text)
    recipe, plain = load_recipe(str(EXAMPLES / "recipe.yaml")), Recipe.model_fields
    said = {
        line.partition(":")[0]
        for line in text.splitlines()
        if "default:" in line or "needed" in line
    }
    for field in set(content) - said - {"level", "tasks", "datasets"}:
        assert getattr(recipe, field) == plain[field].default, field


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_backend_meets_the_contract(case, dtype, monkeypatch):
    monkeypatch.setattr(registry, "_BACKENDS", dict(registry._BACKENDS))
    backend = runpy.run_path(str(EXAMPLES / "backend.py"))["BACKEND"]
    registry.register(backend)
    check_contract(backend.name, dtype, case)
