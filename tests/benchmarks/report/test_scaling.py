import numpy as np
import pytest
from scipy import stats

from benchmarks.plan.runner import Run, measure_cell
from benchmarks.plan.specs import get_spec
from benchmarks.records.environment import capture_environment
from benchmarks.records.record import RecordStore
from benchmarks.records.result import NetworkMemory, Quantity
from benchmarks.report.claims import judge_claims
from benchmarks.report.networks import (
    FIRST_PIXELS,
    fit_growth,
    network_lines,
    trace_all,
    trace_time,
)
from tests.benchmarks.making import make_cell, make_record

SIDES = (32, 128, 192, 256, 384, 512)


def make_line(
    quantity, value, model="net", backend="native", floor=None, halfwidth=None, sides=SIDES
):
    """Records of one contender whose quantity is a function of the pixels."""
    kind, metric = {"time": ("latency", "growth"), "memory": ("memory", "peak")}.get(
        quantity, ("cost", "flops")
    )
    records = {}
    for side in sides:
        cell = make_cell(kind, model=model, backend=backend, input=f"{side}x{side}")
        quantities = {metric: Quantity(value=value(side * side))}
        if kind == "latency":
            if side * side <= FIRST_PIXELS:
                continue
            ratio = value(side * side) / value(FIRST_PIXELS)
            wide = 1 + (halfwidth or 0.0)
            quantities["growth"] = Quantity(value=ratio, lo=ratio / wide, hi=ratio * wide)
            quantities["floor"] = Quantity(value=floor or 0.0)
        records[cell] = make_record(cell, **quantities)
    return records


def growth_of(records):
    peaks = trace_all(network_lines(records, "memory"), NetworkMemory, lambda result: result.peak)
    times = map(trace_time, network_lines(records, "latency").values())
    (curve,) = (*peaks.values(), *times)
    return fit_growth(curve)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_exponent_of_a_power_is_found_exactly(exponent):
    growth = growth_of(make_line("memory", lambda pixels: 7 * pixels**exponent))
    assert growth.value == pytest.approx(exponent)
    assert growth.hi - growth.lo == pytest.approx(0, abs=1e-9)


def test_interval_is_that_of_least_squares():
    noise = dict(zip(SIDES, np.random.default_rng(0).normal(0, 0.1, len(SIDES)), strict=True))
    records = make_line("memory", lambda pixels: pixels * np.exp(noise[round(pixels**0.5)]))
    growth = growth_of(records)
    sides = [side for side in SIDES if side * side >= FIRST_PIXELS]
    x = np.log([side * side for side in sides])
    y = x + [noise[side] for side in sides]
    design = np.stack([x, np.ones_like(x)], axis=1)
    (slope, _), residual, *_ = np.linalg.lstsq(design, y, rcond=None)
    error = np.sqrt(residual[0] / (len(x) - 2) / ((x - x.mean()) ** 2).sum())
    reach = stats.t.interval(0.99, len(x) - 2)[1] * error
    assert growth.value == pytest.approx(slope)
    assert (growth.lo, growth.hi) == (pytest.approx(slope - reach), pytest.approx(slope + reach))


def test_small_sizes_do_not_count():
    def value(pixels):
        return pixels if pixels >= FIRST_PIXELS else 1e9

    assert growth_of(make_line("memory", value)).value == pytest.approx(1)


def test_noise_floors_and_the_intervals_of_ratios_widen_the_interval():
    growth = growth_of(make_line("time", float, floor=0.1, halfwidth=0.05))
    reach = np.log(1.1 * 1.05) / np.log(512**2 / 128**2)
    assert growth.value == pytest.approx(1)
    assert growth.hi - 1 == pytest.approx(reach)


def test_two_sizes_make_no_exponent():
    assert growth_of(make_line("memory", float, sides=(32, 128, 256))) is None


@pytest.mark.parametrize(
    ("exponent", "floor", "verdict"),
    [(1.0, 0.01, "HOLDS"), (1.4, 0.01, "FAILS"), (0.6, 0.01, "FAILS"), (1.0, 0.6, "UNCLEAR")],
)
def test_linear_growth_is_judged_on_the_interval(exponent, floor, verdict):
    records = make_line("time", lambda pixels: pixels**exponent, floor=floor)
    (judgment,) = judge_claims(("C8",), records)
    assert judgment.verdict == verdict
    assert f"pixels^{exponent:.3f}" in judgment.evidence
    assert "inputs 128x128 to 512x512" in judgment.evidence


def test_times_that_were_taken_apart_say_nothing_of_growth():
    cells = [make_cell("latency", model="net", input=f"{side}x{side}") for side in SIDES]
    records = {c: make_record(c, latency=Quantity(value=float(c.pixels))) for c in cells}
    (judgment,) = judge_claims(("C8",), records)
    assert judgment.verdict == "NOT MEASURED"


def test_every_quantity_of_every_contender_is_judged():
    records = {}
    for quantity in ("time", "memory", "FLOPs"):
        for backend in ("native", "sdpa"):
            records |= make_line(quantity, float, backend=backend)
    claims = [judgment.claim for judgment in judge_claims(("C8",), records)]
    assert len(claims) == len(set(claims)) == 6


def make_memory(**contenders):
    """Records of one network by backend: sides that fit, and sides that do not."""
    records = {}
    for backend, (fits, ends) in contenders.items():
        records |= make_line("memory", lambda pixels: 1024.0 * pixels, backend=backend, sides=fits)
        for side in ends:
            cell = make_cell("memory", model="net", backend=backend, input=f"{side}x{side}")
            reason = "needs more than the 9 MiB allowed; RuntimeError: long"
            records[cell] = make_record(cell, status="oom", reason=reason)
    return records


@pytest.mark.parametrize(
    ("native", "sdpa", "verdict"),
    [
        (([128, 512], []), ([128], [512]), "HOLDS"),
        (([128], [512]), ([128], [512]), "HOLDS"),
        (([128], [512]), ([128, 512], []), "FAILS"),
        (([], [128]), ([128], []), "FAILS"),
        (([128], []), ([128, 512], []), "HOLDS"),
        (([128], []), ([], [128]), "NOT MEASURED"),
        (([], []), ([128], [512]), "NOT MEASURED"),
    ],
)
def test_native_must_fit_wherever_another_backend_does(native, sdpa, verdict):
    (judgment,) = judge_claims(("memory-wall",), make_memory(native=native, sdpa=sdpa))
    assert judgment.verdict == verdict


def test_wall_names_what_fits_and_what_does_not():
    records = make_memory(native=([128, 512], []), sdpa=([128], [512])) | make_line(
        "memory", lambda pixels: 2048.0 * pixels, model="twin", backend=None, sides=[128]
    )
    (judgment,) = judge_claims(("memory-wall",), records)
    assert judgment.evidence == (
        "net, native: 512x512 takes 256 MiB; "
        "net, sdpa: 128x128 takes 16 MiB, 512x512 needs more than the 9 MiB allowed; "
        "twin: 128x128 takes 32 MiB"
    )
    (judgment,) = judge_claims(
        ("memory-wall",), make_memory(native=([128], [512]), sdpa=([128, 512], []))
    )
    assert judgment.evidence.startswith("farther than native: net, sdpa at 512x512; net, native: ")


def test_a_network_without_backends_is_no_rival_of_native():
    records = make_memory(native=([128], [512])) | make_line(
        "memory", float, model="twin", backend=None, sides=[512]
    )
    (judgment,) = judge_claims(("memory-wall",), records)
    assert judgment.verdict == "NOT MEASURED"


def make_cost(model, graph, status="ok"):
    cell = make_cell("cost", model=model, input="64x64", k=64)
    counts = {"flops": Quantity(value=10**12), "graph_share": Quantity(value=graph / 10**12)}
    return {cell: make_record(cell, status=status, **(counts if status == "ok" else {}))}


@pytest.mark.parametrize(
    ("fields", "shared", "rebuilt", "verdict"),
    [
        ("", 7_654_321, 2 * 7_654_321, "HOLDS"),
        ("", 7_654_321, 2 * 7_654_321 + 1, "FAILS"),
        ("", 7_654_321, 7_654_321, "FAILS"),
        ("", 0, 0, "FAILS"),
        (":depths=[1,5]", 10, 30, "HOLDS"),
        (":depths=[1,5]", 10, 20, "FAILS"),
    ],
)
def test_layers_pay_once_for_the_graph_of_their_stage(fields, shared, rebuilt, verdict):
    model = f"kgt-tiny-x4{fields}"
    records = make_cost(model, shared) | make_cost(f"{model}:graph_scope=layer", rebuilt)
    (judgment,) = judge_claims(("C2-graph",), records)
    assert judgment.verdict == verdict
    assert judgment.claim == f"C2 the stage's graph cost is paid once ({model}, k = 64)"


@pytest.mark.parametrize("model", ["kgt-tiny-x4", "kgt-tiny-x4:graph_scope=layer"])
def test_a_graph_is_not_compared_with_none(model):
    (judgment,) = judge_claims(("C2-graph",), make_cost(model, 10))
    assert judgment.verdict == "NOT MEASURED"
    failed = make_cost("kgt-tiny-x4:graph_scope=layer", 10, "failed")
    (judgment,) = judge_claims(("C2-graph",), make_cost("kgt-tiny-x4", 10) | failed)
    assert judgment.verdict == "NOT MEASURED"


def test_counted_networks_pay_once(tmp_path):
    spec = get_spec("semanir:3")
    profile = spec.profiles["smoke"]
    store = RecordStore(tmp_path / "records.jsonl")
    run = Run(profile, store, capture_environment(), "test", tmp_path)
    cells = [c for c in profile.cells() if c.kind == "cost" and c.model.startswith("kgt")]
    (judgment,) = judge_claims(("C2-graph",), {cell: measure_cell(cell, run) for cell in cells})
    # 64x64 tokens, each beside the 256 of its window, 48 channels, two FLOP, in each of 3 stages.
    once = 3 * 64 * 64 * 256 * 48 * 2
    assert judgment.evidence == (
        f"graphs cost {once:,} FLOP at 64x64, 2 times that with one per layer; 6 layers in 3 stages"
    )
    assert judgment.verdict == "HOLDS"


@pytest.mark.parametrize(("peak", "verdict"), [(99, "HOLDS"), (101, "FAILS")])
def test_budget_is_judged_by_the_worst(peak, verdict):
    records = {}
    for side, taken in ((32, 10), (64, peak)):
        cell = make_cell("restoration", model="net", input=f"{side}x{side}", byte_budget=100)
        held = {"peak": Quantity(value=taken), "budget": Quantity(value=100)}
        records[cell] = make_record(cell, **held)
    (judgment,) = judge_claims(("byte-budget",), records)
    assert judgment.verdict == verdict
    assert f"{peak}% of the budget, net at 64x64" in judgment.evidence


@pytest.mark.parametrize(("agrees", "verdict"), [(True, "HOLDS"), (False, "FAILS")])
def test_one_count_that_differs_is_named(agrees, verdict):
    records = {}
    for model, own in (("a", True), ("b", agrees)):
        cell = make_cell("cost", model=model, input="64x64")
        records[cell] = make_record(cell, agrees=own, counts={"torch": 1, "fvcore": 1})
    (judgment,) = judge_claims(("counts-agree",), records)
    assert judgment.verdict == verdict
    assert ("apart: b at 64x64" in judgment.evidence) == (not agrees)
