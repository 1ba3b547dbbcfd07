import numpy as np
import pytest

from benchmarks.plan.paper_rows import load_printed
from benchmarks.plan.specs import get_spec
from benchmarks.records.cell import PrintedCell
from benchmarks.records.record import Record
from benchmarks.records.result import PrintedResult, Quantity
from benchmarks.report.claims import judge_claims
from tests.benchmarks.making import make_cell, make_record

KS = (32, 64, 128)
NS = (256, 512)
GATHER_GROWS = "C1 Torch-Gather memory grows with k"
MASK_FLAT = "C1 Torch-Mask memory is flat in k"
MASK_QUADRATIC = "C1 Torch-Mask memory grows with N^2"
TRITON_LEAST = "C1 Triton needs less memory than Torch-Mask and Torch-Gather"
TIME_LINEAR = "C2 attention time is linear in k at fixed N"
FLOPS_LINEAR = "C2 attention FLOPs are linear in k at fixed N"


def judge(claim, records):
    """Verdicts by claim."""
    judgments = judge_claims((claim,), {record.cell: record for record in records})
    assert all(judgment.evidence for judgment in judgments)
    return {judgment.claim: judgment.verdict for judgment in judgments}


def make_memory(backend, value_of, name="live_tensors", ns=NS, ks=KS, byte_budget=None, **fields):
    return [
        make_record(
            make_cell("memory", n=n, k=k, backend=backend, byte_budget=byte_budget),
            **(fields if "status" in fields else {name: Quantity(value=value_of(n, k)), **fields}),
        )
        for n in ns
        for k in ks
    ]


def make_latency(backend, time_of, noise=0.01, ks=KS, floor=0.01):
    """Cells measured one after the other on a machine that slows down by a third each time."""
    random = np.random.default_rng(0)
    records = []
    for place, k in enumerate(ks):
        drift = 1.33**place
        samples = drift * time_of(k) * np.exp(noise * random.standard_normal(40))
        baseline = drift * np.exp(noise * random.standard_normal(40))
        quantities = {
            "latency": Quantity(value=float(np.median(samples)), samples=tuple(samples.tolist())),
            "baseline_latency": Quantity(value=drift, samples=tuple(baseline.tolist())),
            "floor": Quantity(value=floor),
        }
        cell = make_cell("latency", n=1024, k=k, backend=backend)
        records.append(make_record(cell, **quantities))
    return records


@pytest.mark.parametrize(
    ("value_of", "verdict"),
    [
        (lambda n, k: 1000 * n * k, "HOLDS"),
        (lambda n, k: 1000 * n * n, "FAILS"),
        (lambda n, k: n * k**2, "FAILS"),
    ],
)
def test_gather_memory_grows_with_k(value_of, verdict):
    assert (
        judge("C1", make_memory("torch-gather", value_of, byte_budget=0))[GATHER_GROWS] == verdict
    )


@pytest.mark.parametrize(
    ("value_of", "flat", "quadratic"),
    [
        (lambda n, k: 24 * n * n, "HOLDS", "HOLDS"),
        (lambda n, k: n * n * k, "FAILS", "HOLDS"),
        (lambda n, k: 1000 * n, "HOLDS", "FAILS"),
        (lambda n, k: n * n * (1 + 0.06 * (k == 64)), "FAILS", "HOLDS"),
    ],
)
def test_mask_memory_is_flat_in_k_and_quadratic_in_n(value_of, flat, quadratic):
    verdicts = judge("C1", make_memory("torch-mask", value_of))
    assert (verdicts[MASK_FLAT], verdicts[MASK_QUADRATIC]) == (flat, quadratic)


@pytest.mark.parametrize(("triton", "verdict"), [(9, "HOLDS"), (10, "FAILS"), (11, "FAILS")])
def test_triton_needs_least(triton, verdict):
    records = [
        *make_memory("torch-mask", lambda n, k: 10.0),
        *make_memory("torch-gather", lambda n, k: 20.0),
        *make_memory("triton", lambda n, k: triton),
    ]
    assert judge("C1", records)[TRITON_LEAST] == verdict


def test_whatever_needs_less_memory_than_triton_is_named():
    records = [
        *make_memory("torch-mask", lambda n, k: 10.0),
        *make_memory("triton", lambda n, k: 5.0),
        *make_memory("dense", lambda n, k: 1.0),
    ]
    judgments = judge_claims(("C1",), {record.cell: record for record in records})
    (found,) = (judgment for judgment in judgments if judgment.claim == TRITON_LEAST)
    assert found.verdict == "HOLDS"
    cells = len(NS) * len(KS)
    assert f"torch-mask in 0 of {cells} cells, dense in {cells} of {cells} cells" in found.evidence


@pytest.mark.parametrize("rivals", [[], make_memory("torch-mask", lambda n, k: 10.0, ns=[256])])
def test_triton_alone_has_beaten_nobody(rivals):
    triton = make_memory("triton", lambda n, k: 1.0, ns=[4096])
    assert judge("C1", [*rivals, *triton])[TRITON_LEAST] == "NOT MEASURED"


@pytest.mark.parametrize(
    "fields",
    [{"status": "oom", "reason": "too large"}, {"clamped": True}],
)
def test_cells_without_a_value_of_their_own_are_not_judged(fields):
    records = make_memory("torch-gather", lambda n, k: n * k, **fields)
    assert set(judge("C1", records).values()) == {"NOT MEASURED"}


@pytest.mark.parametrize(
    ("time_of", "noise", "verdict"),
    [
        (lambda k: 0.1 * k, 0.01, "HOLDS"),
        (lambda k: 5.0, 0.01, "FAILS"),
        (lambda k: 0.01 * k**1.5, 0.01, "FAILS"),
        (lambda k: 0.1 * k**1.15, 0.1, "UNCLEAR"),
    ],
)
def test_time_is_linear_in_k(time_of, noise, verdict):
    verdicts = judge("C2", make_latency("torch-gather", time_of, noise))
    assert verdicts[f"{TIME_LINEAR} (torch-gather, N = 1,024)"] == verdict


def test_a_noisy_machine_makes_no_claim_fail():
    verdicts = judge("C2", make_latency("torch-gather", lambda k: 0.01 * k**1.5, floor=0.9))
    assert verdicts[f"{TIME_LINEAR} (torch-gather, N = 1,024)"] == "UNCLEAR"


def test_two_k_tell_nothing_about_linearity():
    records = make_latency("torch-gather", lambda k: k, ks=KS[:2])
    assert judge("C2", records)[TIME_LINEAR] == "NOT MEASURED"


@pytest.mark.parametrize(
    ("flops_of", "verdict"), [(lambda n, k: 720 * n * k, "HOLDS"), (lambda n, k: n * n, "FAILS")]
)
def test_flops_are_linear_in_k(flops_of, verdict):
    records = make_memory("torch-gather", flops_of, name="flops")
    assert judge("C2", records)[FLOPS_LINEAR] == verdict


def make_quality(model, scores, gain=None, *, trained="small-sr-x4@1", partial=None, **fields):
    """A record; a gain is its mean, the ends of its interval and the number of images."""
    cell = make_cell("quality", model=model, **fields)
    if gain:
        mean, lo, hi, images = gain
        gain = Quantity(value=mean, lo=lo, hi=hi, samples=(mean,) * images)
    per_image = {f"image{index}": {"psnr": score} for index, score in enumerate(scores)}
    return make_record(cell, gain=gain, per_image=per_image, trained=trained, partial=partial)


@pytest.mark.parametrize(
    ("gain", "images", "verdict"),
    [
        ((0.2, 0.1, 0.3), 18, "HOLDS"),
        ((-0.2, -0.3, -0.1), 18, "FAILS"),
        ((0.2, -0.1, 0.3), 18, "UNCLEAR"),
        ((-0.1, -0.3, 0.1), 18, "UNCLEAR"),
        ((0.2, 0.1, 0.3), 17, "UNCLEAR"),
        ((0.2, None, None), 1, "UNCLEAR"),
    ],
)
def test_weights_beat_bicubic_only_by_the_whole_interval_on_enough_images(gain, images, verdict):
    record = make_quality("kgt-tiny-x4", [30.0], (*gain, images))
    claim = (
        "these weights of kgt-tiny-x4 (as it ships, small-sr-x4@1, k = 64) restore better than "
        "bicubic, small-scale: sr-x4 on Set5"
    )
    assert judge("beats-reference", [record]) == {claim: verdict}


def test_each_training_is_weights_of_its_own():
    records = [
        make_quality("kgt-tiny-x4", [30.0], (0.2, 0.1, 0.3, 20), recipe="small-sr-x4", seed=seed)
        for seed in (1, 2)
    ]
    first, second = judge("beats-reference", records)
    assert "(small-sr-x4@1, k = 64), seed 1 restore" in first
    assert "(small-sr-x4@1, k = 64), seed 2 restore" in second


def test_claims_on_a_part_of_a_set_say_so():
    part = make_quality("kgt-tiny-x4", [30.0], (0.2, 0.1, 0.3, 25), partial="25 of 100")
    ((claim, verdict),) = judge("beats-reference", [part]).items()
    assert claim.endswith("sr-x4 on Set5 (25 of 100 images)")
    assert verdict == "HOLDS"


def test_networks_that_others_trained_are_not_judged():
    untrained = make_quality("kgt-tiny-x4", [30.0], (0.2, 0.1, 0.3, 20), trained=None)
    assert set(judge("beats-reference", [untrained]).values()) == {"NOT MEASURED"}


def test_small_networks_are_told_but_do_not_judge_kgt_against_swinir():
    kgt = make_quality("kgt-tiny-x4", [30.0, 31.0, 33.0, 20.0])
    swinir = make_quality("swinir-tiny-x4", [29.0, 30.0, 34.0])
    records = {record.cell: record for record in (kgt, swinir)}
    (judgment,) = judge_claims(("C7",), records)
    assert judgment.verdict == "NOT MEASURED"
    assert judgment.summary == (
        "only small networks were trained, which decide nothing: +0.333 dB on average, from +0.33 "
        "to +0.33, ahead in 1 of 1 values"
    )
    assert "sr-x4 on Set5: kgt-tiny-x4 (as it ships, small-sr-x4@1, k = 64)" in judgment.evidence
    assert "+0.333 dB, 1 seed each, 3 images" in judgment.evidence
    (alone,) = judge_claims(("C7",), {kgt.cell: kgt})
    assert alone.evidence.startswith("no pair of networks that were trained for it; ")


def make_printed(model, psnr, variant="one model per level", task="jpeg-gray-q10"):
    cell = PrintedCell(
        kind="quality",
        task=task,
        dataset="LIVE1",
        model=model,
        source="as printed",
        variant=variant,
    )
    return Record(cell=cell, result=PrintedResult(psnr=Quantity(value=psnr)))


def test_print_is_quoted_but_does_not_judge():
    one = "one model for all levels"
    records = [
        make_printed("KGT", 29.9),
        make_printed("KGT", 32.0, task="jpeg-gray-q20"),
        make_printed("KGT", 29.7, one),
        make_printed("SwinIR", 29.8),
        make_printed("SwinIR", 32.3, task="jpeg-gray-q20"),
        make_printed("SwinIR", 20.0, "another"),
    ]
    records = {record.cell: record for record in records}
    against, alone, windows = judge_claims(("C7", "C6", "C5"), records)
    assert {against.verdict, alone.verdict, windows.verdict} == {"NOT MEASURED"}
    said = "as printed -0.100 dB on average, from -0.30 to +0.10, ahead in 1 of 2 values"
    assert said in against.evidence
    assert "as printed -0.200 dB on average" in alone.evidence
    assert "ahead in 0 of 1 values" in alone.evidence
    assert windows.evidence == "no trained networks; no comparable rows are printed"


def test_printed_windows_of_different_sizes_are_compared():
    (judgment,) = judge_claims(("C5",), load_printed(get_spec("5")))
    assert judgment.verdict == "NOT MEASURED"
    # SemanIR's text: 33.20 dB with windows of 8, 33.38 dB with windows of 32.
    assert "as printed +0.180 dB on average" in judgment.evidence


def test_claims_are_judged_in_the_order_asked_for():
    claims = [judgment.claim for judgment in judge_claims(("C2", "C1"), {})]
    assert claims == [
        TIME_LINEAR,
        GATHER_GROWS,
        MASK_FLAT,
        MASK_QUADRATIC,
        TRITON_LEAST,
    ]
    with pytest.raises(ValueError, match="unknown claim 'C99'; valid: C"):
        judge_claims(("C99",), {})


@pytest.mark.parametrize(
    ("ratio", "mebibytes", "verdict"),
    [
        (1.05, 100, "HOLDS"),
        (1.31, 100, "FAILS"),
        (0.89, 100, "FAILS"),
        (0.9, 63, "NOT MEASURED"),
        (2.0, 40, "FAILS"),
    ],
)
def test_closed_form_is_held_to_the_peak_of_large_cells(ratio, mebibytes, verdict):
    quantities = {
        "closed_form": Quantity(value=mebibytes * 2**20, unit="bytes"),
        "peak": Quantity(value=ratio * mebibytes * 2**20, unit="bytes"),
        "peak_over_closed_form": Quantity(value=ratio),
    }
    record = make_record(make_cell("memory"), **quantities)
    (found,) = judge("closed-form", [record]).values()
    assert found == verdict
