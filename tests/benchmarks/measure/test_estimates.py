import pytest

from benchmarks.measure.estimates import GPUS, Gpu, bound, estimate_kernels

SLOW_L2 = Gpu(memory=1e6, l2=1, float32=1e6, matrix_float32=1e6, matrix_bfloat16=1e6, source="")
SLOW_MATH = Gpu(memory=1e6, l2=1e6, float32=1, matrix_float32=2, matrix_bfloat16=4, source="")


def test_gathers_read_a_key_and_a_value_for_every_pair():
    found = bound("gather", SLOW_L2, size=4, k=64, union=300)
    # 4 windows x 6 heads x 1024 queries x 64 keys, of 2 x 30 float32 and an index of 4 bytes.
    assert found["l2_mb"] == pytest.approx(4 * 6 * 1024 * 64 * 244 / 1e6)
    assert found["bound_by"] == "L2"
    assert found["bound_us"] == pytest.approx(found["l2_mb"])


def test_tiles_read_the_union_once_for_32_queries():
    found = bound("tile", SLOW_L2, size=2, k=64, union=320)
    assert found["l2_mb"] == pytest.approx(4 * 6 * 32 * 320 * (2 * 30 * 2 + 8) / 1e6)


def test_flops_are_done_by_the_units_of_the_kernel():
    # Two products of 2 x 32 (padded) FLOPs for every pair of a query and its tile's union.
    tile = 4 * 6 * 1024 * 320 * 4 * 32 / 1e6
    assert bound("tile", SLOW_MATH, 4, 64, 320)["bound_us"] == pytest.approx(tile / 2)
    assert bound("tile", SLOW_MATH, 2, 64, 320)["bound_us"] == pytest.approx(tile / 4)
    gather = 4 * 6 * 1024 * 64 * 4 * 30 / 1e6
    assert bound("gather", SLOW_MATH, 2, 64, 320)["bound_us"] == pytest.approx(gather)


def test_estimates_name_their_source_and_grow_with_k():
    rows = list(estimate_kernels())
    assert {row["gpu"] for row in rows} == set(GPUS)
    assert all(row["source"] for row in rows)
    for kernel in ("gather", "tile"):
        times = [
            row["bound_us"]
            for row in rows
            if (row["estimate"], row["gpu"], row["dtype"]) == (kernel, "A100", "float32")
        ]
        assert len(times) == 4
        assert times == sorted(times)
