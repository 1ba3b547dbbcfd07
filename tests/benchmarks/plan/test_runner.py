import ast
import operator
from pathlib import Path

import pytest

from benchmarks.plan import runner
from benchmarks.plan.runner import Run, measure_cell
from benchmarks.plan.specs import Profile
from benchmarks.records import sources
from benchmarks.records.cell import Cell
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import RecordStore
from benchmarks.training import load_recipe

ROOT = Path(runner.__file__).parents[2]
NATIVE = ROOT / "kgt" / "native"


KINDS = {
    "attention": Cell(kind="latency", n=64, k=8, backend="native"),
    "network": Cell(kind="memory", model="kgt-tiny-x4", input="32x32"),
    "cost": Cell(kind="cost", model="kgt-tiny-x4", input="32x32"),
    "restoration": Cell(kind="restoration", model="kgt-tiny-x4", input="32x32"),
    "quality": Cell(kind="quality", model="bicubic", task="sr-x4"),
    "training": Cell(kind="training", model="kgt-tiny-x4", recipe="sr-smoke"),
    "trained": Cell(kind="quality", model="kgt-tiny-x4", recipe="sr-smoke", task="sr-x4"),
    "latency of a trained": Cell(kind="latency", model="kgt-tiny-x4", recipe="sr-smoke"),
}
ALL = {*KINDS}
NETWORKS = ALL - {"attention"}
TIMED = {"network", "latency of a trained"}
SCORED = {"quality", "training", "trained"}


def _digest_after(change, cell, tmp_path, monkeypatch):
    """Digests of a cell without and with a file of the tree that is at hand in `tmp_path`."""
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    digests = []
    for content in ("1", "2"):
        sources.digest_sources.cache_clear()
        path = tmp_path / change
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        digests.append(runner.code_digest(cell, (1.0,)))
        assert digests[-1] == runner.code_digest(cell, (1.0,)) != runner.code_digest(cell, (2.0,))
    sources.digest_sources.cache_clear()
    return digests


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["loader.py", "tile.cpp", "simd.h"])
def test_records_die_with_every_kind_of_native_source(kind, name, tmp_path, monkeypatch):
    assert (NATIVE / name).exists()
    before, after = _digest_after(f"kgt/native/{name}", KINDS[kind], tmp_path, monkeypatch)
    assert before != after


@pytest.mark.parametrize(
    ("source", "dying"),
    [
        ("kgt/attention/graph.py", ALL),
        ("kgt/attention/registry.py", ALL),
        ("kgt/network/layers.py", NETWORKS),
        ("kgt/zoo.py", NETWORKS),
        ("kgt/tiles/inference.py", {"restoration"} | SCORED),
        ("kgt/pictures/png.py", {"restoration"} | SCORED),
        ("kgt/__init__.py", set()),
        ("baselines/swinir.py", NETWORKS),
        ("benchmarks/measure/timing.py", {"attention"} | TIMED),
        ("benchmarks/measure/networks.py", {"cost", "restoration"} | TIMED),
        ("benchmarks/measure/cost.py", {"cost"}),
        ("benchmarks/measure/restoration.py", {"restoration"}),
        ("benchmarks/measure/kernels.py", set()),
        ("benchmarks/tasks/metrics.py", {"restoration"} | SCORED),
        ("benchmarks/training/loop.py", {"training", "trained"}),
        ("benchmarks/training/cards.py", set()),
        ("benchmarks/report/tables.py", set()),
    ],
)
def test_records_die_with_what_they_depend_on_alone(source, dying, tmp_path, monkeypatch):
    assert (ROOT / source).exists()
    died = set()
    for kind, cell in KINDS.items():
        before, after = _digest_after(source, cell, tmp_path, monkeypatch)
        if before != after:
            died.add(kind)
    assert died == dying


def test_records_die_with_the_weights_that_ship(tmp_path, monkeypatch):
    cell = Cell(kind="quality", model="kgt-tiny-x4", task="sr-x4", dataset="Set5")
    weights = "kgt/weights/kgt-tiny-x4.safetensors"
    before, after = _digest_after(weights, cell, tmp_path, monkeypatch)
    assert before != after
    training = Cell(kind="training", model="kgt-tiny-x4", task="sr-x4")
    before, after = _digest_after(weights, training, tmp_path, monkeypatch)
    assert before != after
    other = cell.model_copy(update={"model": "kgt-tiny-x2"})
    before, after = _digest_after(weights, other, tmp_path, monkeypatch)
    assert before == after


def test_records_of_trainings_die_with_their_recipe(monkeypatch):
    cells = [KINDS["training"], KINDS["trained"]]
    before = [runner.code_digest(cell, (1.0,)) for cell in cells]
    recipe = load_recipe("sr-smoke").replace(steps=7)
    monkeypatch.setattr(runner, "load_recipe", lambda name: recipe)
    after = [runner.code_digest(cell, (1.0,)) for cell in cells]
    assert all(map(operator.ne, before, after))


def _imported(path):
    """Modules of kgt that a file imports, themselves or names of theirs."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    files = (ROOT / name.replace(".", "/") for name in names if name.partition(".")[0] == "kgt")
    candidates = (
        path for file in files for path in (file.with_suffix(".py"), file / "__init__.py")
    )
    return {path for path in candidates if path.exists()}


def _reachable(*names):
    """Files of kgt that the named files import, directly or not, and those of the names."""
    found, waiting = set(), [ROOT / name for name in names]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return {path for path in found if path.is_relative_to(ROOT / "kgt")}


@pytest.mark.parametrize(
    ("kind", "entries"),
    [
        ("network", ["kgt/zoo.py", "benchmarks/measure/memory.py"]),
        ("cost", ["kgt/zoo.py"]),
        ("restoration", ["kgt/zoo.py", "kgt/tiles/inference.py"]),
        ("quality", ["kgt/zoo.py", "kgt/tiles/inference.py"]),
        ("training", ["kgt/zoo.py", "kgt/tiles/inference.py"]),
    ],
)
def test_every_module_that_a_network_imports_ends_its_records(kind, entries):
    modules = {*(ROOT / "baselines").glob("*.py")}
    command_line = ROOT / "baselines" / "__main__.py"
    needed = _reachable(*entries, *(path.relative_to(ROOT) for path in modules - {command_line}))
    assert {ROOT / "kgt" / name for name in ("layers.py", "native/loader.py")} <= needed
    listed = {path for pattern in sources.SOURCES[kind] for path in ROOT.glob(pattern)}
    # It finds weights, which end records themselves.
    assert needed - {ROOT / "kgt" / "pretrained.py"} <= listed
    assert modules - listed == {command_line}


def test_every_module_of_training_ends_its_records_but_those_that_only_tell_of_it():
    modules = set((ROOT / "benchmarks" / "training").glob("*.py"))
    listed = {path for pattern in sources.SOURCES["training"] for path in ROOT.glob(pattern)}
    telling = {path.stem for path in modules - listed}
    assert telling == {"__init__", "cards", "files", "journal"}


def test_every_source_that_ends_records_exists():
    for patterns in sources.SOURCES.values():
        assert all(any(ROOT.glob(pattern)) for pattern in patterns)


def test_memory_within_compiled_code_is_refused_with_the_reason(tmp_path):
    cell = Cell(kind="memory", n=64, k=8, backend="flex", heads=1, head_dim=8)
    store = RecordStore(tmp_path / "records.jsonl")
    run = Run(Profile(about="", grids=()), store, capture_environment(), "test", tmp_path)
    record = measure_cell(cell, run)
    assert record.status == "unsupported"
    assert "tensors within compiled code are not counted" in record.reason
    assert store.latest([cell], run.environment.key) == {cell: record}
