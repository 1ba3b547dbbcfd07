import pytest

from benchmarks.records.result import Quantity
from benchmarks.report.site.findings.speed import describe_ratio
from benchmarks.report.site.pages.speed import find_ratios, is_ahead
from tests.benchmarks.making import make_cell, make_result


def time(ratio, reach=0.0, floor=0.0, rounds=8, **fields):
    """A cell timed beside torch-mask, and its result; its interval reaches so far, relatively."""
    cell = make_cell("latency", n=256, baseline="torch-mask", **fields)
    found = Quantity(value=ratio, lo=ratio / (1 + reach), hi=ratio * (1 + reach))
    floor = Quantity(value=floor)
    return cell, make_result(cell, ratio=found, baseline="torch-mask", floor=floor, rounds=rounds)


def test_the_baseline_and_dense_attention_take_part_at_every_k():
    timed = dict(
        [
            time(0.5, k=32, backend="dense"),
            time(0.4, k=256, backend="dense"),
            time(0.1, k=64, backend="native"),
            time(0.2, k=64, backend="native", bias=True),
            time(0.3, k=64, backend="native", mode="backward"),
        ]
    )
    found = {
        place: {name: beside.ratio.value for name, beside in ratios.items()}
        for place, ratios in find_ratios(timed).items()
    }
    assert found == {
        (256, 32): {"dense": 0.5, "torch-mask": 1.0},
        (256, 64): {"dense": 0.5, "torch-mask": 1.0, "native": 0.1},
        (256, 256): {"dense": 0.4, "torch-mask": 1.0},
    }


@pytest.mark.parametrize(
    ("native", "sdpa", "ahead"),
    [
        ({"ratio": 0.5}, {"ratio": 0.6}, True),
        ({"ratio": 0.5, "reach": 0.15}, {"ratio": 0.6, "reach": 0.1}, False),  # they overlap
        ({"ratio": 0.5, "reach": 0.05}, {"ratio": 0.6, "reach": 0.05}, True),
        ({"ratio": 0.5}, {"ratio": 0.6, "floor": 0.08}, False),  # less than thrice the floor
        ({"ratio": 0.5}, {"ratio": 0.6, "floor": 0.05}, True),
        ({"ratio": 0.5}, {"ratio": 0.505}, False),  # too little to matter
        ({"ratio": 0.1}, {"ratio": 0.6, "floor": 0.3}, True),  # noisy, and far behind
        ({"ratio": 0.1, "floor": 0.3}, {"ratio": 0.6}, False),
        ({"ratio": 0.5, "rounds": 7}, {"ratio": 0.6}, False),  # no interval
    ],
)
def test_a_backend_is_ahead_only_beyond_intervals_and_noise(native, sdpa, ahead):
    timed = dict([time(k=32, backend="native", **native), time(k=32, backend="sdpa", **sdpa)])
    place = find_ratios(timed)[256, 32]
    assert is_ahead(place["native"], place["sdpa"]) is ahead
    assert not is_ahead(place["sdpa"], place["native"])


@pytest.mark.parametrize("ratio", [0.2, 0.8, 0.9, 0.96, 0.99])
@pytest.mark.parametrize("floor", [0.0, 0.03, 0.06, 0.3])
def test_beside_the_baseline_the_verdict_of_the_record_decides(ratio, floor):
    cell, result = time(ratio, reach=0.02, floor=floor, k=32, backend="native")
    place = find_ratios({cell: result})[256, 32]
    assert is_ahead(place["native"], place["torch-mask"]) is (result.judged == "FASTER")


@pytest.mark.parametrize(
    ("lo", "hi", "text"),
    [
        (0.3012, 0.3049, "0.301 to 0.305 (99 %)"),
        (0.0333, 0.0345, "0.0333 to 0.0345 (99 %)"),
        (1.2, 12.345, "1.20 to 12.35 (99 %)"),
        (1.0012, 1.0043, "1.001 to 1.004 (99 %)"),
        (0.5, 0.5, "0.500 to 0.500 (99 %)"),
    ],
)
def test_the_ends_of_an_interval_have_digits_that_tell_them_apart(lo, hi, text):
    cell = make_cell("latency", backend="native")
    result = make_result(cell, ratio=Quantity(value=(lo + hi) / 2, lo=lo, hi=hi), rounds=8)
    assert describe_ratio(result) == text
