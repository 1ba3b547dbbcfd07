import pytest
import torch

from benchmarks.measure.builders import BUILDERS, choose_builders, count_wrong_rows
from benchmarks.measure.problems import photo_tokens


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("k", [1, 9, 48, 60])
def test_builders_select_the_most_similar(name, k):
    tokens = photo_tokens(2, 48, channels=24)
    assert count_wrong_rows(tokens, k, BUILDERS[name](tokens, k)) == 0


def test_float64_selection_is_that_of_a_sort():
    tokens = torch.randn(1, 20, 5, dtype=torch.float64)
    ranked = [
        sorted(range(20), key=lambda j: -float(tokens[0, i] @ tokens[0, j]))[:6] for i in range(20)
    ]
    right = torch.tensor([ranked])
    assert count_wrong_rows(tokens, 6, right) == 0
    wrong = right.clone()
    # The least similar key gives way to the next but none that is chosen.
    for i in (3, 11):
        order = sorted(range(20), key=lambda j: -float(tokens[0, i] @ tokens[0, j]))
        wrong[0, i, 5] = order[6]
    assert count_wrong_rows(tokens, 6, wrong) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda indices: indices[..., :-1],
        lambda indices: indices.roll(1, dims=1),
        lambda indices: torch.where(indices == indices[..., :1], indices[..., -1:], indices),
        lambda indices: indices - 1,
    ],
    ids=["too-few", "of-another-node", "one-twice", "one-off"],
)
def test_wrong_graphs_are_found(spoil):
    tokens = photo_tokens(2, 48, channels=24)
    assert count_wrong_rows(tokens, 9, spoil(BUILDERS["kgt"](tokens, 9))) > 40


def test_what_rounding_may_turn_around_is_right_either_way():
    # All similarities are equal: any 2 of 4.
    tokens = torch.ones(1, 4, 3)
    for pair in ([0, 1], [2, 3], [3, 1]):
        assert count_wrong_rows(tokens, 2, torch.tensor([[pair] * 4])) == 0
    close = torch.tensor([[[1.0], [1 + 1e-7], [0.9]]])
    for keys, wrong in (([0], 0), ([1], 0), ([2], 3)):
        assert count_wrong_rows(close, 1, torch.tensor([[keys] * 3])) == wrong


def test_unknown_builder_lists_the_valid_ones():
    with pytest.raises(ValueError, match="unknown builder 'faiss'; valid: matmul-topk, kgt"):
        choose_builders(["kgt", "faiss"])
