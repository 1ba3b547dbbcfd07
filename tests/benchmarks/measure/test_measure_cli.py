import json

import pytest
import torch

from benchmarks.measure import builders, problems
from benchmarks.measure.__main__ import main
from benchmarks.measure.sandbox import Outcome
from kgt import KeyGraph, list_backends
from kgt.attention.similarity import SIMILARITIES

ATTENTION = "attention --tokens 64 --k 8 --windows 1 --heads 2 --head-dim 4 --budget 0.2"
GRAPH = "graph --tokens 64 --k 8 --windows 1 --budget 0.2"
MODEL = "model --input 16x32 --budget 0.2"


def run(arguments, capsys):
    """Exit code, standard output and standard error of the command line."""
    try:
        code = main(arguments.split())
    except SystemExit as end:
        code = end.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def check_rows(rows, contenders):
    assert [row["contender"] for row in rows] == contenders
    for row in rows:
        assert {"contender", "median_ms", "ratio", "lo", "hi", "floor"} <= set(row)
        assert row["median_ms"] > 0
        assert row["lo"] <= row["ratio"] <= row["hi"]
        assert row["floor"] >= 0
    assert [rows[0][key] for key in ("ratio", "lo", "hi")] == [1, 1, 1]
    assert len({row["floor"] for row in rows}) == 1


def test_attention_prints_one_row_per_contender(capsys):
    command = "attention --tokens 64 --k 8 --backends sdpa,torch-mask --budget 0.2 --json"
    code, out, _ = run(command, capsys)
    assert code == 0
    rows = json.loads(out)
    check_rows(rows, ["sdpa", "torch-mask"])
    assert {(row["tokens"], row["k"]) for row in rows} == {(64, 8)}


def test_attention_takes_lists_of_sizes_dense_and_a_backward_pass(capsys):
    options = "--tokens 16,64 --k 4,8 --backends dense,torch-gather --mode backward --graph random"
    code, out, _ = run(f"{ATTENTION} {options} --budget 0.02 --json", capsys)
    assert code == 0
    rows = json.loads(out)
    sizes = [(row["tokens"], row["k"]) for row in rows]
    assert sizes == [(n, k) for n in (16, 64) for k in (4, 8) for _ in "ab"]
    for start in range(0, len(rows), 2):
        check_rows(rows[start : start + 2], ["dense", "torch-gather"])


@pytest.mark.parametrize("mode", ["forward", "backward"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_attention_with_a_position_bias(mode, dtype, capsys):
    options = f"--backends dense,sdpa,torch-gather --bias --mode {mode} --dtype {dtype}"
    code, out, _ = run(f"{ATTENTION} {options} --budget 0.02 --json", capsys)
    assert code == 0
    rows = json.loads(out)
    check_rows(rows, ["dense", "sdpa", "torch-gather"])
    assert {row["stage_calls"] for row in rows} == {1}


def test_threads_are_those_asked_for(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    code, _, _ = run(f"{ATTENTION} --backends sdpa --threads 3", capsys)
    assert code == 0
    assert asked == [3]


def test_layers_share_what_a_backend_derives(monkeypatch, capsys):
    def attend(q, k, v, graph, bias, backend, byte_budget=None):
        if backend == "torch-mask":
            graph.derive(KeyGraph.to_mask)
        return attention(q, k, v, graph, bias, backend, byte_budget=byte_budget)

    attention = problems.key_graph_attention
    monkeypatch.setattr(problems, "key_graph_attention", attend)
    options = f"{ATTENTION} --backends torch-mask,sdpa --layers 4 --json"
    code, out, _ = run(options, capsys)
    assert code == 0
    assert {row["contender"]: row["stage_calls"] for row in json.loads(out)} == {
        "torch-mask": 4,
        "sdpa": 1,
    }


def test_roofline_sets_native_beside_what_the_processor_allows(capsys):
    command = "roofline --tokens 64 --k 8,64 --windows 1 --heads 2 --head-dim 4 --budget 0.1 --json"
    code, out, _ = run(command, capsys)
    assert code == 0
    few, every = json.loads(out)
    assert (few["k"], every["k"]) == (8, 64)
    assert every["graph_gflop"] == pytest.approx(8 * few["graph_gflop"])
    assert every["union_gflop"] == every["graph_gflop"]
    assert min(few["native_ms"], few["peak_gflop_s"], few["peak_gb_s"], few["memory_ms"]) > 0


def test_graph_compares_the_builders(capsys):
    code, out, _ = run(f"{GRAPH} --json", capsys)
    assert code == 0
    check_rows(json.loads(out), ["matmul-topk", "kgt"])


@pytest.mark.parametrize(
    ("graph", "similarities"), [("photo", [*SIMILARITIES]), ("random", ["none"])]
)
def test_structure_is_printed_and_nothing_timed(graph, similarities, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.measure.commands.measure_latency", lambda *_, **__: 1 / 0)
    code, out, _ = run(f"{GRAPH} --structure --graph {graph} --channels 12 --json", capsys)
    assert code == 0
    rows = json.loads(out)
    assert [(row["graph"], row["similarity"]) for row in rows] == [(graph, s) for s in similarities]
    for row in rows:
        assert (row["tokens"], row["k"]) == (64, 8)
        assert 8 / 64 <= row["largest_in_degree"] <= 1
        assert 0 <= row["nobodys_key"] < 1
        unions = [row[f"union_{size}_over_k"] for size in (4, 8, 16, 64)]
        assert 1 <= unions[0] <= unions[1] <= unions[2] <= unions[3] <= 8


def test_wrong_graph_is_never_timed(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.measure.commands.measure_latency", lambda *_, **__: 1 / 0)
    monkeypatch.setitem(builders.BUILDERS, "kgt", lambda tokens, k: torch.zeros(1, 64, k).long())
    code, out, err = run(GRAPH, capsys)
    assert code == 3
    assert not out
    assert "kgt: 64 rows are not the 8 most similar" in err


def test_model_takes_fields_behind_the_name(capsys):
    models = ["kgt-tiny-x2", "kgt-tiny-x2:k=4:backend=torch-mask"]
    code, out, _ = run(f"{MODEL} --models {','.join(models)} --json", capsys)
    assert code == 0
    rows = json.loads(out)
    check_rows(rows, models)
    assert {row["input"] for row in rows} == {"16x32"}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["forward", "train-step"])
def test_model_in_bfloat16_with_its_peak_memory(mode, capsys):
    options = f"--models swinir-tiny-x2,kgt-tiny-x2 --dtype bfloat16 --mode {mode} --memory --json"
    code, out, _ = run(f"{MODEL} {options}", capsys)
    assert code == 0
    rows = json.loads(out)
    check_rows(rows, ["swinir-tiny-x2", "kgt-tiny-x2"])
    # An image of 3 x 32 x 64 float32 at least, and not what a process takes.
    assert all(0.02 < row["tensors_mib"] < 100 for row in rows)
    assert all(row["peak_mib"] is None or row["peak_mib"] < 400 for row in rows)


def test_a_model_that_cannot_be_measured_in_its_own_process_says_so(monkeypatch, capsys):
    monkeypatch.setattr(
        "benchmarks.measure.commands.run_isolated",
        lambda *_, **__: Outcome("oom", reason="tried to allocate too much"),
    )
    code, _, err = run(f"{MODEL} --models kgt-tiny-x2 --memory", capsys)
    assert code == 3
    assert "kgt-tiny-x2: memory: oom: tried to allocate too much" in err


@pytest.mark.slow
def test_a_network_is_measured_by_every_runtime(capsys):
    model = "swinir-tiny-x2:depths=[1]"
    runtimes = "eager,compiled,onnxruntime"
    code, out, _ = run(f"{MODEL} --models {model} --runtimes {runtimes} --json", capsys)
    assert code == 0
    found = [row["contender"] for row in json.loads(out)]
    assert found == [model, f"{model} compiled", f"{model} onnxruntime"]


def test_table_for_people_names_the_environment(capsys):
    code, out, _ = run(f"{ATTENTION} --backends sdpa", capsys)
    assert code == 0
    for text in ("contender", "sdpa", "verdict", "floor"):
        assert text in out
    assert f"torch {torch.__version__}" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (f"{ATTENTION} --backends sdpa,torch-magic", ["'torch-magic'", *list_backends()]),
        (f"{ATTENTION} --backends sdpa,triton", ["triton runs on cuda devices, not on cpu"]),
        (f"{ATTENTION} --backends sdpa --dtype int8", ["'int8'", "bfloat16"]),
        (f"{ATTENTION} --backends sdpa --tokens 64,0", ["--tokens", "'0' is not a whole number"]),
        (f"{ATTENTION} --backends sdpa --k -1", ["--k", "-1"]),
        (f"{ATTENTION} --backends sdpa --windows 0", ["--windows", "at least 1"]),
        (
            f"{ATTENTION} --backends sdpa --budget 0",
            ["--budget", "'0' is not a number of seconds above 0"],
        ),
        (f"{GRAPH} --seed -1", ["--seed", "'-1' is not a whole number from 0 to 2^63"]),
        (f"{GRAPH} --seed {2**63}", ["--seed", f"'{2**63}' is not a whole number from 0 to 2^63"]),
        (f"{GRAPH} --builders kgt,faiss,annoy", ["unknown builder 'faiss'", "matmul-topk"]),
        (f"{GRAPH} --tokens 1048576", ["1024x1024", "random graphs"]),
        (f"{MODEL} --models no-such-net", ["'no-such-net'", "kgt-s-x4", "swinir-m-x4"]),
        (f"{MODEL} --models kgt-tiny-x2:colour=1", ["colour"]),
        (f"{MODEL} --models kgt-tiny-x2 --runtimes onnx", ["unknown runtime 'onnx'", "eager"]),
        (
            f"{MODEL} --models kgt-tiny-x2 --runtimes onnxruntime --mode train-step",
            ["onnxruntime is measured forward"],
        ),
        (f"{MODEL} --models bicubic --mode train-step", ["bicubic has no parameters to train"]),
        ("cost --models kgt-tiny-x2,bicubic", ["bicubic is a classical method"]),
        (f"{MODEL} --models kgt-tiny-x2:fast", ["NAME:field=value", "'fast'"]),
        (f"{MODEL} --models kgt-tiny-x2 --input text", ["--input", "'text' is not two numbers"]),
        (
            f"{MODEL} --models kgt-tiny-x2 --input 96",
            ["'96' is not two numbers", "HEIGHTxWIDTH"],
        ),
        (f"{MODEL} --models kgt-tiny-x2 --input 0x8", ["'0x8' is not two numbers"]),
    ],
)
def test_wrong_use_exits_with_2_and_says_what_is_valid(arguments, messages, capsys):
    code, out, err = run(arguments, capsys)
    assert code == 2
    assert not out
    for message in messages:
        assert message in err
    assert "Traceback" not in err


def test_wrong_output_is_never_timed(monkeypatch, capsys):
    def time_nothing(*_, **__):
        pytest.fail("a wrong contender was timed")

    monkeypatch.setattr("benchmarks.measure.commands.measure_latency", time_nothing)
    monkeypatch.setattr(
        "benchmarks.measure.problems.key_graph_attention",
        lambda q, k, v, graph, bias, backend, **_: v if backend == "reference" else 2 * v,
    )
    code, out, err = run(f"{ATTENTION} --backends torch-mask", capsys)
    assert code == 3
    assert not out
    assert "torch-mask: error" in err
