import pytest

from benchmarks.records.result import Quantity
from benchmarks.report.claims import judge_claims
from tests.benchmarks import making

NEAR_BEST = "auto is at least 0.95x as fast as the best backend at every (N, k)"
CROSSES = "native is faster than dense where few keys are kept"


def make_record(
    backend,
    ratio,
    k=128,
    n=1024,
    graph="photo",
    ran=None,
    reach=0.01,
    floor=0.005,
    baseline="dense",
    **fields,
):
    """A contender's time over its baseline's, with an interval of a relative reach."""
    label = "FASTER" if ratio < 0.95 else "SLOWER" if ratio > 1.05 else "SAME"
    problem = {"n": n, "k": k, "graph": graph}
    return making.make_record(
        making.make_cell("latency", backend=backend, baseline=baseline, **problem, **fields),
        ratio=Quantity(value=ratio, lo=ratio / (1 + reach), hi=ratio * (1 + reach)),
        floor=Quantity(value=floor),
        backend=ran or backend,
        verdict=label,
    )


def judge(claim, records):
    judgments = judge_claims((claim,), {record.cell: record for record in records})
    return {judgment.claim: (judgment.verdict, judgment.evidence) for judgment in judgments}


def judge_auto(*records):
    return judge("auto-near-best", records)[NEAR_BEST]


@pytest.mark.parametrize(
    ("rival", "verdict"), [(0.25, "FAILS"), (0.5, "HOLDS"), (0.9, "HOLDS"), (0.475, "UNCLEAR")]
)
def test_auto_is_held_to_the_rivals_it_did_not_choose(rival, verdict):
    found, evidence = judge_auto(
        make_record("auto", 0.5, ran="native"),
        make_record("native", 0.5),
        make_record("sdpa", rival),
    )
    assert found == verdict
    assert evidence.startswith(
        "worst at N = 1,024, k = 128, photo graph: native, which auto chose, "
        f"takes {0.5 / rival:.2f}"
    )


@pytest.mark.parametrize(("reach", "floor"), [(0.2, 0.005), (0.01, 0.2)])
def test_noise_of_intervals_or_twins_makes_it_unclear(reach, floor):
    for rival in (0.4, 0.5):
        verdict, _ = judge_auto(
            make_record("auto", 0.5, ran="native"),
            make_record("sdpa", rival, reach=reach, floor=floor),
        )
        assert verdict == "UNCLEAR"


@pytest.mark.parametrize(("ratio", "verdict"), [(1.0, "HOLDS"), (1.1, "FAILS"), (1.05, "UNCLEAR")])
def test_rounds_in_common_with_a_rival_tell_more(ratio, verdict):
    apart = [
        make_record("auto", 1.0, ran="native", reach=0.1),
        make_record("sdpa", 1.0, reach=0.1),
    ]
    assert judge_auto(*apart)[0] == "UNCLEAR"
    together = make_record("auto", ratio, ran="native", baseline="sdpa", floor=0.2)
    assert judge_auto(*apart, together)[0] == verdict


def test_one_bad_point_fails_the_claim_and_is_named():
    good = [
        record
        for k in (16, 64)
        for record in (
            make_record("auto", 0.2, k=k, ran="native"),
            make_record("sdpa", 1.5, k=k),
            make_record("torch-mask", 2.5, k=k),
        )
    ]
    bad = [
        make_record("auto", 1.5, k=1024, graph="random", ran="native"),
        make_record("sdpa", 1.0, k=1024, graph="random"),
    ]
    assert judge_auto(*good)[0] == "HOLDS"
    verdict, evidence = judge_auto(*good, *bad)
    assert verdict == "FAILS"
    assert "N = 1,024, k = 1,024, random graph" in evidence
    assert "takes 1.50" in evidence
    assert evidence.endswith(
        "of the time of sdpa; of 5 comparisons 1 have a rival too far ahead, 0 are unclear; "
        "ahead at N = 1,024, k = 1,024, random graph"
    )


def test_what_auto_chose_is_not_ahead_of_it_by_noise():
    records = [make_record("auto", 0.6, ran="native"), make_record("native", 0.5)]
    assert judge_auto(*records)[0] == "NOT MEASURED"
    assert judge_auto(*records, make_record("sdpa", 1.2))[0] == "HOLDS"


@pytest.mark.parametrize(
    "records",
    [
        [],
        [make_record("sdpa", 0.5)],
        [make_record("auto", 0.5, ran="native"), make_record("sdpa", 0.1, k=64)],
        [make_record("auto", 0.5, ran="native"), make_record("sdpa", 0.1, bias=True)],
    ],
)
def test_auto_without_a_rival_is_not_judged(records):
    assert judge_auto(*records)[0] == "NOT MEASURED"


def test_kernel_crosses_dense_where_a_power_law_between_two_k_is_one():
    line = [make_record("native", 4 * k / 1024, k=k) for k in (16, 64, 512, 1024)]
    ((claim, (verdict, evidence)),) = judge("kernel-crosses-dense", line).items()
    assert claim == f"{CROSSES} (N = 1,024, photo graph)"
    assert verdict == "HOLDS"
    assert evidence == (
        "crosses dense at k = 256 (k/N = 0.25); time / dense 0.06 at k = 16, 4.00 at k = 1,024; "
        "FASTER up to k = 64; SLOWER from k = 512"
    )


@pytest.mark.parametrize(
    ("ratio", "verdict", "side"),
    [(0.5, "HOLDS", "below"), (1.5, "FAILS", "above"), (1.0, "FAILS", "above")],
)
def test_native_that_never_crosses_dense_is_told(ratio, verdict, side):
    line = [make_record("native", ratio, k=k, n=64) for k in (16, 32)]
    ((found, evidence),) = judge("kernel-crosses-dense", line).values()
    assert found == verdict
    assert evidence == (
        f"{side} dense at every k measured: "
        f"time / dense {ratio:.2f} at k = 16, {ratio:.2f} at k = 32"
    )


def test_each_size_and_graph_is_judged_by_itself():
    records = [
        make_record("native", 0.5, k=16, n=1024),
        make_record("native", 2.0, k=16, n=64),
        make_record("native", 0.5, k=16, n=1024, graph="random"),
    ]
    found = judge("kernel-crosses-dense", records)
    assert {claim.removeprefix(CROSSES): verdict for claim, (verdict, _) in found.items()} == {
        " (N = 64, photo graph)": "FAILS",
        " (N = 1,024, photo graph)": "HOLDS",
        " (N = 1,024, random graph)": "HOLDS",
    }


def test_without_a_kernel_nothing_crosses():
    ((verdict, _),) = judge("kernel-crosses-dense", [make_record("sdpa", 0.5)]).values()
    assert verdict == "NOT MEASURED"


def test_the_kernel_of_gpus_is_judged_as_that_of_cpus():
    (claim,) = judge("kernel-crosses-dense", [make_record("triton", 0.5, k=16, n=1024)])
    assert claim == f"{CROSSES} (N = 1,024, photo graph)".replace("native", "triton")
