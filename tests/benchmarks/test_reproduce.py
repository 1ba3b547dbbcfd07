import json
import re
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

from benchmarks.plan import specs
from benchmarks.plan.specs import get_spec
from benchmarks.records.cell import QualityCell
from benchmarks.records.record import Record, RecordStore
from benchmarks.report.judgment import Judgment
from benchmarks.reproduce import main
from kgt import list_backends

ROOT = Path(__file__).resolve().parents[2]
REPORTS = sorted(
    page
    for page in (ROOT / "reports").rglob("*.md")
    if re.search(r"benchmarks.reproduce .+ --from-records`$", page.read_text())
)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="memory limits need Linux")

TINY = """
name: "3"
aliases: ["semanir:1"]
title: Tiny
text: Four cells and their limits.
default_profile: smoke
rows: [k, backend]
columns:
  - {header: tensors, kind: memory, metric: live_tensors, format: mib}
  - {header: form, kind: memory, metric: closed_form, format: mib}
  - {header: time, kind: latency, metric: ratio, format: interval}
plot: attention
profiles:
  smoke:
    about: tiny
    budget_s: 0.05
    claims: [C1]
    grids:
      - &memory
        {kind: memory, n: 64, k: [8, 128], backend: [torch-mask, triton], windows: 1, heads: 2,
         head_dim: 4, graph: photo, byte_budget: 0, dtype: float32, mode: forward}
      - {<<: *memory, kind: latency, k: 8, backend: torch-gather, baseline: torch-mask}
  cpu:
    about: one cell beyond its limit
    memory_limit_mib: 128
    grids:
      - {<<: *memory, n: 1024, k: 512, heads: 6, head_dim: 30, backend: torch-gather}
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Replaces the shipped tables by one of five cells, three of which can be measured."""
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "table3.yaml").write_text(TINY)
    monkeypatch.setattr(specs, "_SPECS", folder)
    specs.load_specs.cache_clear()
    yield get_spec("3")
    specs.load_specs.cache_clear()


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the command line on folders of its own; gives code, output and messages."""

    def run_in_folder(arguments):
        folders = ["--results", str(tmp_path / "results"), "--reports", str(tmp_path / "reports")]
        try:
            code = main([*arguments.split(), *folders])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_in_folder


def read_statuses(path):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record.get("status", "ok") for record in records]


def test_list_names_every_table_and_study_and_both_numberings(run):
    code, out, _ = run("--list")
    assert code == 0
    lines = out.splitlines()
    names = [line.split()[0].rstrip(":") for line in lines if line.startswith("  ")]
    assert names == [
        *("1", "2", "3", "4", "5", "6", "7", "8", "semanir-3"),
        *("attention-axes", "attention-crossover", "distance", "fair", "judge", "k", "keys"),
        *("method", "network-keys", "paper", "pareto", "rates", "restoration", "scaling"),
        *("sharing", "small", "window"),
    ]
    assert any("semanir-3 (semanir:3)" in line and "smoke, cpu*" in line for line in lines)
    assert any("3 (semanir:1)" in line and "smoke, cpu*" in line for line in lines)
    assert any("attention-axes: What" in line and "smoke, cpu*" in line for line in lines)
    assert any("  1: Artifacts of gray" in line and "smoke*, cpu" in line for line in lines)
    assert "arXiv 2402.02634" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--table 99", "unknown table '99'; valid: 1, 2, 3, semanir:1, 4, semanir:2"),
        ("--table 4 --profile gpu --from-records", "no profile 'gpu'; valid: smoke"),
        pytest.param(
            "--table 3 --profile gpu",
            "profile gpu needs a CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        ("--table 3 --profile large", "unknown value 'large'; valid: "),
        (
            "--study attention-size",
            "unknown study 'attention-size'; valid: attention-axes, ",
        ),
        ("--study pareto --profile gpu --from-records", "study pareto has no profile 'gpu'"),
        ("--table 3 --from-records", "results/records of records; --results names"),
        ("--table 3 --study attention-axes", "not allowed with argument --table"),
        ("", "one of the arguments --table --study --summary --list is required"),
    ],
)
def test_wrong_use_exits_with_2_and_the_valid_names(run, tmp_path, arguments, message):
    code, out, err = run(arguments)
    assert code == 2
    assert message in err
    assert not out
    assert list(tmp_path.iterdir()) == []


def test_dry_run_measures_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "benchmarks.report.reproduction.measure_cells", lambda *_: pytest.fail("measured")
    )
    code, out, err = run("--table 3 --profile smoke --dry-run")
    assert code == 0
    cells = get_spec("3").profile("smoke")[1].cells()
    assert f"{len(cells)} cells, 0 recorded, {len(cells)} to measure" in err
    assert out.splitlines() == [f"measure  {cell.hash} {cell.id}" for cell in cells]
    assert list(tmp_path.iterdir()) == []


def test_rendering_an_empty_store_gives_reasons(run, tmp_path):
    (tmp_path / "results" / "records").mkdir(parents=True)
    code, _, err = run("--table semanir:10 --from-records")
    assert code == 2
    assert "nothing was measured" in err
    page = (tmp_path / "reports" / "smoke" / "table8-smoke.md").read_text()
    assert "not measured: run without --from-records (profile smoke)" in page
    assert "| SwinIR | as printed | 11.90 M | 32.92 / 0.9044 |" in page
    assert "| C7 KGT beats SwinIR at the same parameters | NOT MEASURED |" in page
    assert [*(tmp_path / "results" / "records").iterdir()] == []


def test_run_is_recorded_rendered_and_not_repeated(tiny, run, tmp_path):
    code, out, err = run("--table 3 --json")
    assert code == 0
    assert "5 cells, 0 recorded, 5 to measure" in err
    store = tmp_path / "results" / "records" / "table3-smoke.jsonl"
    assert sorted(read_statuses(store)) == ["ok", "ok", "ok", "unsupported", "unsupported"]
    reports = tmp_path / "reports"
    names = [f"table3-smoke.{form}" for form in ("csv", "md", "svg", "tex")]
    assert sorted(path.name for path in reports.iterdir()) == ["README.md", "smoke"]
    assert sorted(path.name for path in (reports / "smoke").iterdir()) == names
    assert "[Table 3 (smoke): Tiny](smoke/table3-smoke.md)" in (reports / "README.md").read_text()
    page = (reports / "smoke" / "table3-smoke.md").read_text()
    assert "triton runs on cuda devices, not on cpu" in page
    assert "k is clamped to the N tokens of the window" in page

    answer = json.loads(out)
    assert answer["table"] == "table3-smoke"
    assert answer["environment"].endswith(tiny_environment(store).key)
    by_key = {(row["k"], row["backend"]): row for row in answer["rows"]}
    assert by_key[8, "torch-mask"]["tensors"] > 0
    assert by_key[8, "triton"]["tensors status"] == "unsupported"
    assert {claim["verdict"] for claim in answer["claims"]} == {"NOT MEASURED"}

    first = {path.name: path.read_bytes() for path in reports.rglob("*.*")}
    recorded = store.read_bytes()
    for arguments in ("--table 3", "--table 3 --from-records"):
        code, _, err = run(arguments)
        assert code == 0
        assert ("5 recorded, 0 to measure" in err) == ("--from-records" not in arguments)
        assert store.read_bytes() == recorded
        assert {path.name: path.read_bytes() for path in reports.rglob("*.*")} == first

    stale = re.sub(rb'"code":"\w+"', b'"code":"0123456789ab"', recorded, count=2)
    store.write_bytes(stale)
    _, out, _ = run("--table 3 --dry-run")
    assert [line.split()[0] for line in out.splitlines()] == ["measure"] * 2 + ["recorded"] * 3
    code, _, err = run("--table 3")
    assert "3 recorded, 2 to measure" in err
    assert store.read_bytes().startswith(stale)
    assert len(read_statuses(store)) == 7


def test_all_tables_end_with_a_site_of_them(tiny, run, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.report.site.build.restore_all", list)
    (tmp_path / "results" / "records").mkdir(parents=True)
    _, _, err = run("--table all --from-records")
    assert f"wrote {tmp_path / 'site' / 'index.html'}" in err
    assert "Does a key-graph help" in (tmp_path / "site" / "index.html").read_text()


def test_where_a_site_cannot_be_made_all_tables_say_so(tiny, run, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.reproduce.find_spec", lambda name: None)
    (tmp_path / "results" / "records").mkdir(parents=True)
    _, _, err = run("--table all --from-records")
    assert "no site was written: pip install 'kgt[site]'" in err
    assert not (tmp_path / "site").exists()


TINY_STUDY = """
kind: study
name: tiny
title: A study
text: Two cells.
default_profile: smoke
rows: [k, bias, contender]
columns:
  - {header: ran, kind: latency, metric: backend, format: text}
  - {header: ratio, kind: latency, metric: ratio, format: interval}
plot: crossover
profiles:
  smoke:
    about: tiny
    budget_s: 0.05
    claims: [auto-near-best]
    common:
      {kind: latency, n: 64, k: 8, windows: 1, heads: 2, head_dim: 4, graph: photo,
       dtype: float32, mode: forward}
    grids:
      - {backend: auto, baseline: dense}
      - {backend: sdpa, baseline: dense, bias: true}
"""


def test_a_study_is_run_like_a_table(tiny, run, tmp_path):
    (specs._SPECS / "study-tiny.yaml").write_text(TINY_STUDY)
    specs.load_specs.cache_clear()
    code, out, err = run("--study tiny --json")
    assert code == 0
    assert "study tiny, profile smoke (tiny): 2 cells, 0 recorded, 2 to measure" in err
    assert read_statuses(tmp_path / "results" / "records" / "study-tiny-smoke.jsonl") == ["ok"] * 2
    answer = json.loads(out)
    assert answer["table"] == "study-tiny-smoke"
    assert [row["bias"] for row in answer["rows"]] == [None, True]
    assert answer["rows"][0]["ran"] in list_backends()
    reports = tmp_path / "reports"
    page = (reports / "smoke" / "study-tiny-smoke.md").read_text()
    assert page.startswith("# Study tiny (smoke): A study\n")
    assert "| 8 | yes | sdpa | sdpa |" in page
    command = "python -m benchmarks.reproduce --study tiny --profile smoke --from-records"
    assert f"`{command}`" in page
    assert (
        "[Study tiny (smoke): A study](smoke/study-tiny-smoke.md)"
        in (reports / "README.md").read_text()
    )
    first = {path.name: path.read_bytes() for path in reports.rglob("*.*")}
    assert run("--study all --from-records")[0] == 0
    assert {path.name: path.read_bytes() for path in reports.rglob("*.*")} == first


def tiny_environment(store):
    return RecordStore(store).newest_environment(get_spec("3").profile(None)[1].cells())


@linux_only
def test_cell_beyond_the_memory_limit_is_recorded_with_what_it_wanted(tiny, run, tmp_path):
    code, _, _ = run("--table 3 --profile cpu")
    assert code == 2
    (line,) = (tmp_path / "results" / "records" / "table3-cpu.jsonl").read_text().splitlines()
    record = Record.model_validate_json(line)
    assert record.status == "oom"
    assert "the limit is 128 MiB" in record.reason
    wanted = record.result.closed_form.value
    # The gathered keys alone are N K H D floats.
    assert wanted >= 1024 * 512 * 6 * 30 * 4
    assert f"wanted {wanted / 2**20:,.0f} MiB" in record.reason
    assert re.search(r"\d+ bytes", record.reason)
    page = (tmp_path / "reports" / "table3-cpu.md").read_text()
    assert "| oom [1] |" in page
    assert record.reason in page


def test_a_cell_that_raises_is_a_failed_record_and_the_rest_goes_on(
    tiny, run, tmp_path, monkeypatch
):
    def fail(*_, **__):
        raise RuntimeError("out of order")

    monkeypatch.setattr("benchmarks.plan.runner.run_isolated", fail)
    code, _, err = run("--table 3")
    assert code == 3
    assert "failed: memory/n=64/k=8/torch-mask" in err
    assert "RuntimeError: out of order" in err
    store = tmp_path / "results" / "records" / "table3-smoke.jsonl"
    assert read_statuses(store).count("failed") == 3
    _, _, err = run("--table 3 --dry-run")
    assert "2 recorded, 3 to measure" in err


def test_a_dataset_that_was_absent_is_looked_for_again(run, tmp_path, monkeypatch):
    monkeypatch.setenv("KGT_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setattr(
        "benchmarks.plan.specs.Profile.cells",
        lambda _: [
            QualityCell(
                kind="quality",
                task="sr-x4",
                dataset="Set5",
                model="bicubic",
                protocol="sr-y601-crop-scale@1",
            )
        ],
    )
    code, _, err = run("--table 8")
    assert code == 2
    assert "[1/1] unsupported quality/sr-x4/Set5/bicubic" in err
    assert "Set5" in (tmp_path / "reports" / "smoke" / "table8-smoke.md").read_text()
    _, _, err = run("--table 8 --dry-run")
    assert "0 recorded, 1 to measure" in err


def test_a_score_is_computed_once_for_all_tables(run, tmp_path, monkeypatch):
    fields = {"task": "jpeg-gray-q10", "dataset": "embedded", "protocol": "jpeg-gray@1"}
    cell = QualityCell(kind="quality", model="identity", **fields)
    monkeypatch.setattr("benchmarks.plan.specs.Profile.cells", lambda _: [cell])
    _, _, err = run("--table 1")
    assert "0 recorded, 1 to measure" in err
    _, _, err = run("--table 2 --dry-run")
    assert "1 recorded (1 of them for another table or study), 0 to measure" in err
    store = tmp_path / "results" / "records" / "table2-smoke.jsonl"
    assert not store.exists()
    run("--table 2")
    assert read_statuses(store) == ["ok"]
    _, _, err = run("--table 2 --fresh")
    assert "0 recorded, 1 to measure" in err


def test_a_claim_that_fails_exits_with_1(tiny, run, monkeypatch):
    judgment = Judgment("C1 it grows", "FAILS", "it does not")
    monkeypatch.setattr("benchmarks.report.reproduction.judge_claims", lambda *_: [judgment])
    code, _, err = run("--table 3")
    assert code == 1
    assert "FAILS: C1 it grows (it does not)" in err


@pytest.mark.parametrize("page", REPORTS, ids=lambda page: page.stem)
def test_committed_report_is_what_its_records_render_to(page, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (command,) = re.findall(r"benchmarks.reproduce (.+)`", page.read_text())
    arguments = command.split()
    assert "--from-records" in arguments
    assert main([*arguments, "--reports", str(tmp_path)]) in (0, 1)
    place = page.parent.relative_to(ROOT / "reports")
    for suffix in (".md", ".csv", ".tex"):
        name = page.with_suffix(suffix).name
        assert (tmp_path / place / name).read_bytes() == page.with_suffix(suffix).read_bytes(), name
    committed = page.with_suffix(".svg").read_text()
    drawn_by = re.search(r"Matplotlib v([\w.]+)", committed)[1]
    if drawn_by != mpl.__version__:
        pytest.skip(f"the plot was drawn by matplotlib {drawn_by}, here is {mpl.__version__}")
    assert (tmp_path / place / f"{page.stem}.svg").read_text() == committed
