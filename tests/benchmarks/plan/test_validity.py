"""Records die with a version of what they depend on, and not with a byte of it."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import kgt
from benchmarks.plan import validity
from benchmarks.plan.specs import load_specs
from benchmarks.plan.validity import code_digest, find_components, is_valid
from benchmarks.records import components
from benchmarks.records.components import VERSIONS
from benchmarks.records.record import Record
from benchmarks.tasks import TASKS
from benchmarks.training.recipes import load_recipe
from kgt import zoo
from tests.benchmarks.making import make_cell, make_record

LIMITS = (1.0,)
ROOT = Path(components.__file__).parents[2]

CELLS = {
    "native": make_cell("latency", n=64, k=8, backend="native", baseline="dense"),
    "sdpa": make_cell("latency", n=64, k=8, backend="sdpa"),
    "auto on a GPU": make_cell("latency", n=64, k=8, backend="auto", device="cuda"),
    "memory": make_cell("memory", n=64, k=8, backend="native"),
    "KGT": make_cell("latency", model="kgt-tiny-x4", input="32x32"),
    "KGT on a GPU": make_cell("latency", model="kgt-tiny-x4", input="32x32", device="cuda"),
    "SwinIR": make_cell("latency", model="swinir-tiny-x4", input="32x32"),
    "SwinIR against KGT": make_cell(
        "latency", model="swinir-tiny-x4", baseline="kgt-tiny-x4", input="32x32"
    ),
    "memory of KGT": make_cell("memory", model="kgt-tiny-x4", input="32x32"),
    "cost": make_cell("cost", model="kgt-tiny-x4", input="32x32"),
    "restoration": make_cell("restoration", model="kgt-tiny-x4", input="32x32"),
    "bicubic": make_cell("quality", model="bicubic", task="sr-x4"),
    "quality": make_cell("quality", model="kgt-tiny-x4", task="sr-x4"),
    "training": make_cell("training", model="kgt-tiny-x4", recipe="sr-smoke"),
    "trained": make_cell("quality", model="kgt-tiny-x4", recipe="sr-smoke", task="sr-x4"),
    "latency of a trained": make_cell("latency", model="kgt-tiny-x4", recipe="sr-smoke"),
}
TRAINED = {"training", "trained", "latency of a trained"}
SCORED = {"bicubic", "quality", "trained"}
OF_KGT = {"KGT", "SwinIR against KGT", "memory of KGT", "cost", "restoration", "quality"} | TRAINED
KERNELS = {"native", "auto on a GPU", "KGT", "KGT on a GPU", "SwinIR against KGT"}


@pytest.fixture(autouse=True)
def _forget_kernels():
    yield
    components.digest_kernels.cache_clear()


def digest_all():
    components.digest_kernels.cache_clear()
    return {name: code_digest(cell, LIMITS) for name, cell in CELLS.items()}


def died(before):
    return {name for name, digest in digest_all().items() if digest != before[name]}


@pytest.mark.parametrize(
    ("component", "dying"),
    [
        ("attention-torch", {"native", "sdpa", "auto on a GPU", "KGT on a GPU"} | OF_KGT),
        ("attention-native", {"native", "memory"} | OF_KGT),
        ("attention-triton", {"auto on a GPU", "KGT on a GPU"}),
        ("graph", {"native", "sdpa", "auto on a GPU", "memory", "KGT on a GPU"} | OF_KGT),
        ("kgt", {"KGT on a GPU"} | OF_KGT),
        ("swinir", {"SwinIR", "SwinIR against KGT"}),
        ("baselines", SCORED),
        ("tiles", {"restoration"} | SCORED),
        ("data", {"restoration"} | SCORED | TRAINED),
        ("training", TRAINED),
        (
            "timing",
            {"sdpa", "SwinIR", "restoration", "latency of a trained"} | KERNELS,
        ),
        ("memory", {"memory", "memory of KGT", "restoration"}),
        ("cost", {"cost"}),
    ],
)
def test_records_die_with_the_components_they_depend_on_alone(component, dying, monkeypatch):
    before = digest_all()
    monkeypatch.setitem(VERSIONS, component, 2)
    assert died(before) == dying


def test_every_component_ends_some_record():
    assert {name for cell in CELLS.values() for name in find_components(cell)} >= set(VERSIONS)


def test_records_die_with_the_rule_by_which_their_inputs_are_made(monkeypatch):
    before = digest_all()
    task = TASKS["sr-x4"]
    other = {name: replace(made, version=2) for name, made in task.degradations.items()}
    monkeypatch.setitem(TASKS, "sr-x4", replace(task, degradations=other))
    assert died(before) == SCORED | TRAINED


def test_a_new_component_leaves_old_records_valid(monkeypatch):
    before = digest_all()
    found = validity.find_components
    monkeypatch.setattr(validity, "find_components", lambda cell: found(cell) | {"new": 1})
    assert died(before) == set()


def test_records_die_with_the_limits_of_the_profile():
    for cell in CELLS.values():
        assert code_digest(cell, (1.0,)) != code_digest(cell, (2.0,))


def test_records_of_trainings_die_with_their_recipe(monkeypatch):
    before = digest_all()
    recipe = load_recipe("sr-smoke").replace(steps=7)
    monkeypatch.setattr(validity, "load_recipe", lambda name: recipe)
    assert died(before) == TRAINED


def test_records_die_with_the_values_of_weights_that_ship_and_not_with_their_header(
    tmp_path, monkeypatch
):
    shutil.copytree(zoo.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(zoo, "WEIGHTS", tmp_path / "weights")
    shipped = make_cell("training", model="kgt-tiny-x4", task="sr-x4")
    monkeypatch.setitem(CELLS, "shipped", shipped)
    before = digest_all()
    path = tmp_path / "weights" / "kgt-tiny-x4.safetensors"
    content = path.read_bytes()
    header = int.from_bytes(content[:8], "little")
    path.write_bytes((header + 1).to_bytes(8, "little") + b"{ " + content[9:])
    assert list(kgt.create_model("kgt-tiny-x4", pretrained=True).parameters())
    assert died(before) == set()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert died(before) == {"quality", "shipped"}


@pytest.mark.parametrize(
    ("source", "dying"),
    [
        ("native/tile.cpp", KERNELS - {"auto on a GPU", "KGT on a GPU"} | {"restoration"}),
        ("native/simd.h", KERNELS - {"auto on a GPU", "KGT on a GPU"} | {"restoration"}),
        ("native/loader.py", set()),
        ("triton/backend.py", set()),
        ("triton/tile.py", {"auto on a GPU", "KGT on a GPU"}),
    ],
)
def test_times_die_with_their_kernels(source, dying, tmp_path, monkeypatch):
    shutil.copytree(components.KERNELS, tmp_path / "attention")
    monkeypatch.setattr(components, "KERNELS", tmp_path / "attention")
    before = digest_all()
    path = tmp_path / "attention" / source
    comment = "# text" if path.suffix == ".py" else "// text"
    content = path.read_text()
    path.write_text(f"{content}\n\n{comment}\n")
    assert died(before) == set()
    path.write_text(f"{content}\nint(0);\n")
    assert died(before) == dying | ({"latency of a trained"} if "restoration" in dying else set())


def find_valid():
    """Places of all committed records that are valid, by file."""
    specs = {spec.stem: spec for kind in ("table", "study") for spec in load_specs(kind).values()}
    valid = {}
    for path in sorted((ROOT / "results" / "records").glob("*.jsonl")):
        table, _, profile = path.stem.rpartition("-")
        limits = specs[table].profiles[profile].limits
        records = map(Record.model_validate_json, path.read_bytes().splitlines())
        valid[path.stem] = [
            place for place, record in enumerate(records) if is_valid(record, limits)
        ]
    return valid


@pytest.mark.slow
def test_a_comment_in_every_source_leaves_all_records_valid(tmp_path):
    skip = shutil.ignore_patterns("__pycache__")
    for folder in ("kgt", "baselines", "benchmarks", "results/records"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=skip)
    for path in tmp_path.rglob("*"):
        if path.suffix in (".py", ".cpp", ".h"):
            with path.open("a") as file:
                file.write("\n# text\n" if path.suffix == ".py" else "\n// text\n")
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import json, runpy\nprint(json.dumps(runpy.run_path({__file__!r})['find_valid']()))",
        ],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout) == find_valid()


def test_a_digest_of_bytes_counts_as_version_1_and_dies_with_it(monkeypatch):
    cell = CELLS["native"]
    monkeypatch.setitem(validity.BYTE_DIGESTS, code_digest(cell, LIMITS), "of bytes")
    record = make_record(cell).model_copy(update={"code": "of bytes"})
    assert is_valid(record, LIMITS)
    assert not is_valid(record, (2.0,))
    assert not is_valid(record.model_copy(update={"code": "of others"}), LIMITS)
    assert not is_valid(make_record(cell, "failed"), LIMITS)
    monkeypatch.setitem(VERSIONS, "attention-native", 2)
    assert not is_valid(record, LIMITS)
