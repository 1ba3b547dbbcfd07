import json
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
# Small ones of each kind: quality, time and memory of attention, networks, quoted numbers.
FILES = (
    *("study-small-cpu", "study-attention-crossover-gpu", "study-rates-cpu"),
    *("table-semanir-3-cpu", "table3-smoke", "table7-cpu"),
)
EVIL = "<script>alert('x')</script> | =cmd()\n**bold** & \"quoted\""
# What must never stand in a page.
MARKUP = "<script>alert("


def copy_results(folder):
    """A folder of results with a few committed records, and some that nobody would write."""
    records = folder / "records"
    records.mkdir(parents=True)
    for name in FILES:
        shutil.copy(ROOT / "results" / "records" / f"{name}.jsonl", records)
    crossover = records / "study-attention-crossover-gpu.jsonl"
    record = json.loads(crossover.read_text().splitlines()[-1])
    record["command"] = EVIL
    record["metrics"], record["checks"] = {}, {}
    lines = [
        json.dumps({**record, "status": "failed", "reason": EVIL}),
        '{"cell": {"kind": "latency", "<script>alert(1)</script>": 1}}',
        "cut sho",
    ]
    with crossover.open("a") as file:
        file.write("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    return copy_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def few_pictures():
    """One task with its pictures instead of all."""
    from benchmarks.report.site import pictures
    from benchmarks.tasks import get_task

    patch = pytest.MonkeyPatch()
    patch.setattr(pictures, "_list_tasks", lambda: [get_task("denoise-color-s50")])
    patch.setattr(pictures, "_list_beyond", list)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def site(results, few_pictures):
    from benchmarks.report.site.build import build_site

    return build_site(results)


@pytest.fixture(scope="session")
def folder(site, tmp_path_factory):
    """The site in files."""
    target = tmp_path_factory.mktemp("built") / "site"
    site.write(target)
    return target
