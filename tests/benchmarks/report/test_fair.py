"""C7 on equal terms: who is compared with whom, and on which terms."""

import pytest

from benchmarks.plan.specs import get_spec
from benchmarks.records.result import Quantity
from benchmarks.report.claims.fair import judge_fair, judge_random_k, list_fair
from benchmarks.report.plots import draw_plot
from benchmarks.report.plots import fair as plot
from tests.benchmarks.making import make_cell, make_record
from tests.benchmarks.report.test_training_claims import NETWORK, S25, SWINIR, train

RECIPE = "small-denoise-color:steps=1000:ema=0.99"
COLUMNAR = f"{NETWORK}:shape=columnar:embed_dim=60:heads=6:depths=[2,2,2]:window=16"
DENSE = f"{NETWORK}-dense"
SWINIR_U = "swinir-u-tiny-denoise-color"
END = f", small-scale: {S25} on CBSD68"


def arm(model, psnr, recipe=RECIPE, parameters=None, **fields):
    pairs = train(model, psnr, recipe, **fields)
    if parameters:
        cell = make_cell("training", model=model, recipe=recipe, seed=1)
        pairs.append((cell, make_record(cell, parameters=Quantity(value=parameters))))
    return pairs


def timed(model, baseline, ratio, k=None):
    cell = make_cell("latency", model=model, baseline=baseline, task=S25, k=k)
    return [(cell, make_record(cell, ratio=Quantity(value=ratio, lo=ratio, hi=ratio)))]


def verdicts(*pairs):
    return {j.claim.removesuffix(END): j.verdict for j in judge_fair(dict(pairs))}


def test_each_shape_is_compared_with_its_like_at_equal_parameters():
    pairs = [
        *arm(NETWORK, 30.2, parameters=324_790),
        *arm(DENSE, 30.0, parameters=324_790),
        *arm(SWINIR_U, 30.4, parameters=333_622),
        *arm(COLUMNAR, 30.0, parameters=321_636),
        *arm(SWINIR, 29.5, parameters=327_972),
    ]
    assert verdicts(*pairs) == {
        "C7 KGT, U-shaped, restores better than its dense twin at equal parameters": "HOLDS",
        "C7 KGT, U-shaped, restores better than SwinIR of the same shape at equal parameters": (
            "FAILS"
        ),
        "C7 KGT, columnar, restores better than SwinIR of the same shape at equal parameters": (
            "HOLDS"
        ),
    }


def test_families_may_differ_in_their_rate_and_a_graph_in_k_and_in_nothing_else():
    random_k = f"{RECIPE}:k=[64,128]"
    ours = arm(NETWORK, 30.2, random_k, parameters=1e5, k=64)
    at_rate = arm(SWINIR_U, 30.0, f"{RECIPE}:lr=0.001", parameters=1e5)
    longer = arm(SWINIR_U, 30.0, "small-denoise-color:steps=2000:ema=0.99", parameters=1e5)
    (claim,) = verdicts(*ours, *at_rate)
    fixed = arm(NETWORK, 30.2, f"{RECIPE}:k=64", parameters=1e5, k=128)
    (judgment,) = judge_random_k(dict([*ours, *fixed, *at_rate]))
    assert judgment.claim.removesuffix(END) == claim
    assert claim == (
        "C7 KGT, U-shaped, with 64 keys restores better than SwinIR of the same shape at equal "
        "parameters"
    )
    assert [j.verdict for j in judge_fair(dict([*ours, *longer]))] == ["NOT MEASURED"]


def test_a_dense_twin_is_that_of_the_same_network():
    other = f"{NETWORK}-dense:level_windows=[32,16]"
    pairs = arm(NETWORK, 30.2, parameters=1e5) + arm(other, 30.0, parameters=1e5)
    assert [j.verdict for j in judge_fair(dict(pairs))] == ["NOT MEASURED"]
    ours = arm(f"{NETWORK}:level_windows=[32,16]:k=128", 30.2, parameters=1e5)
    assert list(verdicts(*ours, *arm(other, 30.0, parameters=1e5)).values()) == ["HOLDS"]


@pytest.mark.parametrize(
    ("parameters", "ratio", "terms"),
    [
        (103_000, None, ["at equal parameters"]),
        (96_900, 2.0, []),
        (150_000, 1.09, ["at equal time"]),
        (150_000, 0.91, ["at equal time"]),
        (100_000, 1.0, ["at equal parameters", "at equal time"]),
        (150_000, 1.2, []),
        (150_000, None, []),
        (None, None, []),
    ],
)
def test_terms_are_read_from_the_records(parameters, ratio, terms):
    ours = arm(NETWORK, 31.0, parameters=100_000)
    theirs = arm(SWINIR_U, 30.0, parameters=parameters)
    times = [] if ratio is None else timed(NETWORK, NETWORK, 1.0) + timed(SWINIR_U, NETWORK, ratio)
    found = verdicts(*ours, *theirs, *times)
    claim = "C7 KGT, U-shaped, restores better than SwinIR of the same shape "
    if terms:
        assert found == {claim + on_terms: "HOLDS" for on_terms in terms}
    else:
        assert found == {f"{claim}on equal terms": "UNCLEAR"}


def test_what_is_not_equal_says_by_how_much():
    ours = arm(NETWORK, 31.0, parameters=100_000)
    theirs = arm(SWINIR_U, 30.0, parameters=200_000) + timed(NETWORK, SWINIR_U, 1.5)
    (judgment,) = judge_fair(dict([*ours, *theirs]))
    assert judgment.evidence.endswith("not comparable: parameters x 0.50, time x 1.50 of the peer")
    (judgment,) = judge_fair(dict([*train(NETWORK, 31.0, RECIPE), *train(SWINIR_U, 30.0, RECIPE)]))
    assert "parameters not recorded, times not recorded" in judgment.evidence


def test_seeds_are_needed():
    pairs = arm(NETWORK, 31.0, parameters=1e5, seeds=(1, 2))
    pairs += arm(SWINIR_U, 30.0, parameters=1e5, seeds=(1, 2))
    assert [*verdicts(*pairs).values()] == ["UNCLEAR"]


def test_the_plot_has_a_row_per_difference():
    pairs = arm(NETWORK, 30.5, parameters=1e5) + arm(SWINIR_U, 30.0, parameters=1e5)
    (axis,) = plot.draw(dict(pairs)).axes
    assert len(axis.get_yticks()) == len(list_fair(dict(pairs))) == 1
    assert "nothing measured" in draw_plot("fair", "t", {})


def test_the_study_compares_every_task_on_three_sets_with_three_seeds():
    cells = get_spec("fair", kind="study").profiles["cpu"].cells()
    scored = [cell for cell in cells if cell.kind == "quality"]
    tasks = {cell.task: set() for cell in scored}
    for cell in scored:
        tasks[cell.task].add(cell.dataset)
    assert len(tasks) == 8
    assert {len(sets) for sets in tasks.values()} == {3}
    assert {cell.seed for cell in scored} == {1, 2, 3}
    records = {
        cell: make_record(
            cell,
            psnr=Quantity(value=30.0),
            per_image={str(n): {"psnr": 30.0 + n} for n in range(20)},
            trained="r@1",
        )
        for cell in scored
    }
    claims = {
        tested.claim.partition(",")[2].partition(" on equal")[0] for tested in list_fair(records)
    }
    assert claims == {
        f" {shape}, restores better than {peer}"
        for shape in ("U-shaped", "columnar")
        for peer in ("its dense twin", "SwinIR of the same shape")
    }
    trained = {(c.model, c.recipe, c.seed) for c in cells if c.kind == "training"}
    assert trained == {(c.model, c.recipe, c.seed) for c in scored}
