import math

import pytest
import torch

from kgt.attention.bias import dense_bias, pair_bias, window_of
from kgt.network.position import ContinuousPositionBias


def test_dense_and_pair_bias_read_the_offset_of_query_and_key():
    window, table = 3, torch.randn(2, 5, 5)
    dense = dense_bias(table, 9)
    for query in range(9):
        for key in range(9):
            dy, dx = query // 3 - key // 3, query % 3 - key % 3
            assert dense[:, query, key].equal(table[:, dy + 2, dx + 2])
    keys = torch.randint(0, 9, (4, 9, 5))
    looked_up = pair_bias(table, torch.arange(9)[:, None], keys, window)
    assert looked_up.equal(dense[:, torch.arange(9)[:, None], keys])


def test_offsets_are_log_spaced_as_in_swin_v2():
    offsets = ContinuousPositionBias(8, 2).offsets
    for index in (0, 3, 7, 12, 14):
        delta = 8 * (index - 7) / 7
        expected = math.copysign(math.log2(1 + abs(delta)) / math.log2(8), delta)
        assert offsets[index, 0, 0].item() == pytest.approx(expected, abs=1e-6)
        assert offsets[0, index, 1].item() == pytest.approx(expected, abs=1e-6)


def test_bias_is_bounded_and_trains():
    bias = ContinuousPositionBias(4, 3, hidden=16)
    table = bias()
    assert table.shape == (3, 7, 7)
    assert 0 < table.min() <= table.max() < 16
    table.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in bias.parameters())


def test_window_of_refuses_what_is_not_square():
    assert window_of(1024) == 32
    with pytest.raises(ValueError, match="N = 1000"):
        window_of(1000)


def test_the_table_follows_every_change_of_the_weights():
    bias = ContinuousPositionBias(4, 2)
    with torch.no_grad():
        first = bias()
        assert bias() is first
        # `.data` changes values without leaving a trace in the tensor's version.
        for change in (lambda p: p.add_(0.1), lambda p: p.data.mul_(1.5)):
            change(bias.mlp[2].weight)
            changed = bias()
            assert not changed.equal(first)
            first = changed
    torch.testing.assert_close(bias(), first)
    assert bias().requires_grad
