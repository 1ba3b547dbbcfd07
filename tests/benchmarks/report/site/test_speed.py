from benchmarks.records.result import Quantity
from benchmarks.report.site.pages.speed import find_ratios
from tests.benchmarks.making import make_cell, make_result


def test_the_baseline_and_dense_attention_take_part_at_every_k():
    def time(ratio, **fields):
        cell = make_cell("latency", n=256, baseline="torch-mask", **fields)
        return cell, make_result(cell, ratio=Quantity(value=ratio), baseline="torch-mask")

    timed = dict(
        [
            time(0.5, k=32, backend="dense"),
            time(0.4, k=256, backend="dense"),
            time(0.1, k=64, backend="native"),
            time(0.2, k=64, backend="native", bias=True),
            time(0.3, k=64, backend="native", mode="backward"),
        ]
    )
    assert find_ratios(timed) == {
        (256, 32): {"dense": 0.5, "torch-mask": 1.0},
        (256, 64): {"dense": 0.5, "torch-mask": 1.0, "native": 0.1},
        (256, 256): {"dense": 0.4, "torch-mask": 1.0},
    }
