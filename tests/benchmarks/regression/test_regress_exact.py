import json
from dataclasses import replace

import pytest
import torch

import kgt
from benchmarks import regress
from benchmarks.measure.kernels import Usage
from benchmarks.records.environment import capture_environment
from benchmarks.regression import exact, values
from benchmarks.regression.counting import count_call
from benchmarks.regression.exact import (
    Blessed,
    ExactReport,
    bless,
    describe_change,
    judge_kernels,
    judge_values,
    load_blessed,
)
from benchmarks.regression.summary import summarize_exact
from benchmarks.regression.values import KINDS, Value
from kgt.network import layers
from kgt.network.layers import KGTLayer

TORCH = torch.__version__.split("+")[0]
TINY = "kgt-tiny-x4:k=16:backend=sdpa@16"
MIB = 2**20


@pytest.fixture(autouse=True)
def _comparable(monkeypatch):
    """Values are blessed and judged in one process, so a missing compiler changes nothing."""
    monkeypatch.setattr(exact, "unavailable_reason", lambda: "")
    monkeypatch.setattr(values, "FORWARDS", (TINY,))
    monkeypatch.setattr(values, "OUTPUTS", (TINY,))


@pytest.fixture
def blessed_file(tmp_path, monkeypatch):
    path = tmp_path / "blessed" / "exact.json"
    monkeypatch.setattr(exact, "BLESSED", path)
    return path


def as_blessed(measured):
    kinds = {}
    for value in measured:
        kinds.setdefault(value.kind, {})[value.name] = value.content
    return Blessed(TORCH, "because", kinds)


def failures(measured, blessed):
    found = [finding for finding in judge_values(measured, blessed) if finding.failed]
    return {(finding.kind, finding.name): finding for finding in found}


def compare_before_and_after(measure, plant):
    """What fails after something is planted; that nothing fails before it is asserted."""
    blessed = as_blessed(measure())
    assert failures(measure(), blessed) == {}
    plant()
    return failures(measure(), blessed)


def wrap_layer(monkeypatch, extra):
    forward = KGTLayer.forward

    def planted(self, x, graph):
        extra(x)
        return forward(self, x, graph)

    monkeypatch.setattr(KGTLayer, "forward", planted)


def test_a_planted_mebibyte_is_caught_though_it_does_not_raise_the_peak(monkeypatch):
    monkeypatch.setattr(values, "FORWARDS", ("kgt-tiny-x4:k=16:backend=torch-mask@32",))

    def plant():
        wrap_layer(monkeypatch, lambda x: torch.empty(MIB, dtype=torch.uint8))

    found = compare_before_and_after(lambda: [*values._count_forwards()], plant)
    kinds = {kind for kind, _ in found}
    assert kinds == {"allocated", "operators"}
    before, after = (
        int(number.replace(",", ""))
        for number in found["allocated", values.FORWARDS[0]].detail.split(" -> ")
    )
    assert after - before == 6 * MIB  # kgt-tiny has six layers
    assert "aten.empty" in found["operators", values.FORWARDS[0]].detail


def test_a_planted_operator_is_caught_and_named(monkeypatch):
    def plant():
        wrap_layer(monkeypatch, lambda x: x.add_(0))

    found = compare_before_and_after(lambda: [*values._count_forwards()], plant)
    assert list(found) == [("operators", TINY)]
    before, after = found["operators", TINY].detail.removeprefix("aten.add_.Tensor ").split(" -> ")
    assert int(after) - int(before) == 6


def drop_a_key(monkeypatch, module):
    """Every graph that the module builds lacks the last key of its first row."""
    build = kgt.build_key_graph

    def planted(*arguments, **options):
        graph = build(*arguments, **options)
        indices = graph.indices.clone()
        degrees = graph.degrees
        if degrees is None:
            degrees = torch.full(indices.shape[:2], graph.k, dtype=torch.int32)
        indices[0, 0, degrees[0, 0] - 1] = -1
        degrees = degrees.clone()
        degrees[0, 0] -= 1
        return replace(graph, indices=indices, degrees=degrees)

    monkeypatch.setattr(module, "build_key_graph", planted)


def test_a_dropped_key_changes_the_digest_of_every_graph(monkeypatch):
    found = compare_before_and_after(
        lambda: [*values._digest_graphs()], lambda: drop_a_key(monkeypatch, kgt)
    )
    assert {name for kind, name in found if kind == "graph" and name.endswith("torch")} == {
        f"{case} torch"
        for case in ("dot k=8", "cosine k=8", "others k=8", "regions k=24", "clamped k=100")
    }


def test_a_dropped_key_changes_the_output_of_a_network(monkeypatch):
    found = compare_before_and_after(
        lambda: [*values._compute_outputs()], lambda: drop_a_key(monkeypatch, layers)
    )
    assert list(found) == [("output", TINY)]


def test_a_graph_off_by_one_changes_what_attention_yields(monkeypatch):
    build = kgt.build_key_graph

    def planted(tokens, *arguments, **options):
        graph = build(tokens, *arguments, **options)
        following = (graph.indices + 1) % tokens.shape[1]
        return replace(graph, indices=following.sort().values)

    monkeypatch.setattr(values, "_ATTENTION_BACKENDS", ("torch-mask", "sdpa"))
    found = compare_before_and_after(
        lambda: [*values._measure_attention()],
        lambda: monkeypatch.setattr(kgt, "build_key_graph", planted),
    )
    wrong = {name for kind, name in found if kind == "output-float32"}
    assert wrong == {"attention backend=torch-mask", "attention backend=sdpa"}


def test_both_builders_give_one_digest_and_all_backends_one_output():
    graphs = load_blessed().values["graph"]
    for name, digest in graphs.items():
        assert digest == graphs[name.replace("native", "torch")]
    outputs = load_blessed().values["output"]
    by_network = {}
    for name, numbers in outputs.items():
        by_network.setdefault(name.split(":")[0], []).append(numbers)
    assert len(by_network["kgt-tiny-x4"]) == 4
    for numbers in by_network["kgt-tiny-x4"]:
        assert numbers == pytest.approx(by_network["kgt-tiny-x4"][0], abs=1e-12)


def test_the_portable_gate_holds(monkeypatch):
    monkeypatch.undo()
    measured = [*values.measure_portable(), *values._digest_graphs()]
    blessed = load_blessed()
    kinds = {value.kind for value in measured}
    found = [finding for finding in judge_values(measured, blessed) if finding.kind in kinds]
    assert [finding for finding in found if finding.failed] == []
    assert {finding.kind for finding in found} == {"parameters", "quality", "output", "graph"}


def test_every_kind_and_case_is_blessed(monkeypatch):
    monkeypatch.undo()
    blessed = load_blessed()
    assert set(blessed.values) == set(KINDS)
    assert set(values.FORWARDS) <= set(blessed.values["flops"])
    assert set(values.FORWARDS) <= set(blessed.values["operators"])
    assert set(values.OUTPUTS) == set(blessed.values["output"])
    assert set(kgt.list_models()) <= set(blessed.values["parameters"])
    assert blessed.values["parameters"]["swinir-m-x4"] == 11_900_199  # the authors' print 11.9 M


def test_flops_are_those_counted_by_hand():
    q, k, v = torch.randn(3, 2, 3, 16, 5).unbind()
    attend = torch.nn.functional.scaled_dot_product_attention
    assert count_call(lambda: attend(q, k, v)).flops == 2 * 2 * (2 * 3 * 16 * 16 * 5)
    weight = torch.randn(7, 5)
    assert count_call(lambda: q @ weight.T).flops == 2 * (2 * 3 * 16) * 5 * 7


def test_what_is_freed_counts_as_allocated_but_not_at_the_peak():
    def call():
        for _ in range(3):
            torch.zeros(1024, dtype=torch.uint8)

    counts = count_call(call)
    assert (counts.allocated_bytes, counts.peak_bytes) == (3 * 1024, 1024)
    assert counts.operators == {"aten.zeros.default": 3}


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "change"),
    [
        (3, 3, 0, ""),
        (3000, 4000, 0, "3,000 -> 4,000"),
        ("ab", "cd", 0, "ab -> cd"),
        (1.0, 1.0 + 1e-10, 1e-9, ""),
        (1.0, 1.0 + 2e-9, 1e-9, "1.0 -> "),
        (1.0, float("nan"), 1e-9, "1.0 -> nan"),
        ({"aten.mm": 3}, {"aten.mm": 3, "aten.add": 1}, 0, "aten.add 0 -> 1"),
        ({"aten.mm": 3, "aten.add": 1}, {"aten.mm": 3}, 0, "aten.add 1 -> 0"),
        (3, "3", 0, "3 -> 3"),
    ],
)
def test_a_change_is_described_and_a_tolerance_kept(before, after, tolerance, change):
    described = describe_change(before, after, tolerance)
    assert described.startswith(change)
    assert bool(described) == bool(change)


COUNT = Value("operators", "net", {"aten.mm": 1})
SIZE = Value("parameters", "net", 5)


def verdicts(measured, blessed):
    return [(f.name, f.verdict) for f in judge_values(measured, blessed)]


def test_new_and_deleted_values_are_reported():
    blessed = as_blessed([SIZE])
    other = replace(SIZE, name="other")
    assert verdicts([SIZE, other], blessed) == [("net", "SAME"), ("other", "NOT BLESSED")]
    assert verdicts([other], blessed) == [("other", "NOT BLESSED"), ("net", "GONE")]


def test_counts_of_another_torch_are_not_judged_but_sizes_are():
    blessed = replace(as_blessed([COUNT, SIZE]), torch="0.0")
    changed = [replace(COUNT, content={"aten.mm": 2}), replace(SIZE, content=6)]
    found = [*judge_values(changed, blessed)]
    assert [f.verdict for f in found] == ["NOT COMPARABLE", "CHANGED"]
    assert "torch 0.0" in found[0].detail


def test_counts_without_the_native_kernels_are_not_judged(monkeypatch):
    monkeypatch.setattr(exact, "unavailable_reason", lambda: "no C++ compiler")
    blessed = as_blessed([COUNT, SIZE])
    assert verdicts([COUNT, SIZE], blessed) == [("net", "NOT COMPARABLE"), ("net", "SAME")]


def test_kernels_are_judged_by_their_own_blessed_values(monkeypatch):
    usage = Usage(64, 0, 512, 4096)
    known = exact.kernels.Blessed(exact.kernels.version("triton"), "", {"sm_90": {"a": usage}})
    monkeypatch.setattr(exact.kernels, "load_blessed", lambda: known)
    changed = {"sm_90": {"b": usage, "a": replace(usage, registers=65)}}
    found = {f.name: (f.verdict, f.detail) for f in judge_kernels(changed)}
    assert found["sm_90 a"] == ("CHANGED", "registers 64 -> 65")
    assert found["sm_90 b"][0] == "NOT BLESSED"
    assert next(judge_kernels({"sm_90": {}})).verdict == "GONE"
    assert [f.verdict for f in judge_kernels(None)] == ["NOT COMPARABLE"]


def run(command, capsys):
    code = regress.main(["exact", *command])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def measured(monkeypatch):
    found = [SIZE, COUNT]
    monkeypatch.setattr(exact, "measure", lambda on_step: (found, None))
    return found


def test_a_blessing_needs_a_reason_and_is_then_judged_by(blessed_file, measured, capsys):
    code, _, err = run([], capsys)
    assert code == 2
    assert "make the file with --bless REASON" in err
    assert run(["--bless", " "], capsys)[0] == 2
    assert not blessed_file.exists()
    assert run(["--bless", "first values"], capsys)[0] == 0
    assert load_blessed().reason == "first values"
    assert run([], capsys)[0] == 0


def test_a_change_is_printed_and_fails(blessed_file, measured, capsys, tmp_path):
    bless(measured, "because")
    measured[1] = replace(COUNT, content={"aten.mm": 1, "aten.clone": 2})
    summary = tmp_path / "summary.md"
    code, out, _ = run(["--markdown", str(summary)], capsys)
    assert code == 1
    assert "aten.clone 0 -> 2" in out
    assert "parameters: 1 SAME" in out
    assert "| operators | net | CHANGED | aten.clone 0 -> 2 |" in summary.read_text()
    code, out, _ = run(["--json"], capsys)
    assert code == 1
    printed = {f["name"] + f["kind"]: f["verdict"] for f in json.loads(out)["findings"]}
    assert printed["netoperators"] == "CHANGED"
    assert printed["netparameters"] == "SAME"


def test_standard_output_is_json_or_markdown_but_not_both(blessed_file, measured, capsys):
    bless(measured, "because")
    code, out, err = run(["--json", "--markdown", "-"], capsys)
    assert (code, out) == (2, "")
    assert "would both print" in err
    code, out, _ = run(["--markdown", "-"], capsys)
    assert code == 0
    assert "### Exact tier: all 2 values are as blessed" in out


def test_a_deleted_blessed_value_fails(blessed_file, measured, capsys):
    bless(measured, "because")
    content = json.loads(blessed_file.read_text())
    del content["values"]["parameters"]["net"]
    blessed_file.write_text(json.dumps(content))
    code, out, _ = run([], capsys)
    assert code == 1
    assert "NOT BLESSED" in out


def test_what_cannot_be_had_here_cannot_be_blessed(blessed_file, measured, capsys):
    measured[1] = replace(COUNT, content=None, reason="no C++ compiler")
    code, _, err = run(["--bless", "because"], capsys)
    assert code == 2
    assert "no C++ compiler" in err
    assert not blessed_file.exists()


def test_a_run_that_judged_nothing_says_so(blessed_file, measured, capsys):
    bless([COUNT], "because")
    measured[:] = [replace(COUNT, content=None, reason="no C++ compiler")]
    code, _, err = run([], capsys)
    assert code == 2
    assert "no value could be judged" in err


def test_a_failure_of_the_harness_has_its_own_code(blessed_file, measured, monkeypatch, capsys):
    bless(measured, "because")

    def fail(on_step):
        raise RuntimeError("out of order")

    monkeypatch.setattr(exact, "measure", fail)
    code, _, err = run([], capsys)
    assert code == 3
    assert "out of order" in err


def test_the_summary_tells_how_to_bless_what_differs():
    environment = capture_environment()
    blessed = as_blessed([SIZE])
    same = tuple(judge_values([SIZE], blessed))
    changed = tuple(judge_values([replace(SIZE, content=6)], blessed))
    good = summarize_exact(ExactReport(same, environment, "")).render()
    assert good.startswith("### Exact tier: all 1 values are as blessed")
    assert "--bless" not in good
    bad = summarize_exact(ExactReport(changed, environment, "")).render()
    assert bad.startswith("### Exact tier: 1 of 1 values differ")
    assert "| parameters | net | CHANGED | 5 -> 6 |" in bad
    assert "`python -m benchmarks.regress exact --bless REASON`" in bad
    assert environment.describe() in bad
