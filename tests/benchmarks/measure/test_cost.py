from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from baselines.swinir import PRESETS, SwinIRConfig
from benchmarks.measure import cost as cost_module
from benchmarks.measure.closed_form import tally_kgt, tally_swinir
from benchmarks.measure.cost import count_cost, describe_cost
from benchmarks.measure.counters import (
    PARTS,
    UncountedOperatorError,
    count_with_fvcore,
    count_with_torch,
)
from benchmarks.models import create_described
from kgt.config import preset

COUNTERS = [count_with_torch, count_with_fvcore]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("description", "size", "padded"),
    [
        ("kgt-s-x4", (32, 32), (32, 32)),
        ("kgt-s-x4", (32, 40), (32, 64)),
        ("kgt-b-x4", (32, 32), (32, 32)),
        ("kgt-b-x4", (40, 32), (64, 32)),
        ("kgt-u", (64, 64), (64, 64)),
        ("kgt-u", (40, 70), (64, 128)),
        ("swinir-m-x4", (16, 16), (16, 16)),
        ("swinir-m-x4", (20, 27), (24, 32)),
    ],
)
def test_three_counts_of_large_networks_agree(description, size, padded):
    cost = count_cost(description, size)
    assert cost.padded == padded
    assert cost.flops == cost.by_fvcore == cost.closed_form.flops
    assert cost.parameters == cost.closed_form.parameters
    assert cost.agrees


FIELDS = [
    "",
    ":graph_scope=layer",
    ":include_self=false:k=300",
    ":score=cosine:norm=post:learned_scale=false",
    ":position_bias=none:window_offset=none",
    ":upsampler=pixelshuffle:upsample_features=24",
    ":in_channels=1",
]


@pytest.mark.parametrize(
    "description",
    [
        *(f"kgt-tiny-x4{fields}" for fields in FIELDS),
        "kgt-tiny-x3:upsampler=pixelshuffle",
        "kgt-tiny-deblur",
        "deconvolved-kgt-tiny-deblur",
        "deconvolved-swinir-tiny-deblur",
        "kgt-tiny-x2-dense",
        "swinir-tiny-x3:upsampler=pixelshuffle",
        "swinir-tiny-x2:scale=1:upsampler=''",
        "kgt-tiny-x2:scale=1:unshuffle=2",
        "swinir-tiny-weather",
    ],
)
def test_three_counts_agree_whatever_the_fields(description):
    cost = count_cost(description, (34, 40))
    assert cost.closed_form is not None
    assert cost.flops == cost.by_fvcore == cost.closed_form.flops
    assert cost.parameters == cost.closed_form.parameters


@pytest.mark.parametrize(
    ("backend", "pairs"),
    [("native", 64), ("torch-gather", 64), ("torch-mask", 256), ("sdpa", 256)],
)
def test_attention_costs_the_pairs_that_the_backend_computes(backend, pairs):
    cost = count_cost(f"kgt-tiny-x4:backend={backend}", (32, 16))
    tokens, layers, dim = 32 * 16, 6, 48
    assert cost.agrees
    assert cost.closed_form.pairs_in_graph == layers * tokens * 64
    assert cost.closed_form.pairs_computed == layers * tokens * pairs
    assert cost.flops["attention"] == 4 * dim * layers * tokens * pairs


def test_a_closed_form_at_full_size_is_that_of_the_paper():
    """KGT, Sec. 3: six layers cost 6 x (4HWC^2 + 2k HWC) and one similarity, 2N HWC in FLOP."""
    config = preset("kgt-s-x4")
    pixels, dim = 512 * 960, 180
    flops = tally_kgt(config, pixels).flops
    assert flops["attention"] == 2 * 36 * 2 * 512 * pixels * dim
    assert flops["graph"] == 6 * 2 * 1024 * pixels * dim
    # Queries, keys, values and projection; the MLP of ratio 2 costs as much.
    assert flops["linear"] == 2 * 36 * 2 * 4 * pixels * dim**2


@pytest.mark.parametrize("description", ["kgt-tiny-x4", "swinir-tiny-x2", "dncnn-gray:depth=3"])
@pytest.mark.parametrize("count", COUNTERS)
def test_a_large_input_costs_what_it_would_if_it_ran(description, count):
    size = (70, 100)
    network = create_described(description).eval()
    direct = count(network, torch.rand(1, network.in_channels, *size))
    assert count_cost(description, size).flops == direct


def test_a_large_input_of_a_large_network_takes_no_run_of_it():
    cost = count_cost("kgt-s-x4:depths=[1,1]", (540, 960))
    assert cost.padded == (544, 960)
    assert cost.agrees


@pytest.mark.parametrize("description", ["hat-x4:depths=[1]:embed_dim=60", "nafnet-64:width=8"])
def test_networks_without_a_closed_form_are_counted_twice(description):
    cost = count_cost(description, (20, 24))
    assert cost.closed_form is None
    assert cost.flops == cost.by_fvcore
    assert cost.agrees
    assert cost.total_flops > 0


def test_the_position_bias_counts_once_for_every_layer():
    cost = count_cost("kgt-tiny-x4", (16, 16))
    assert cost.flops["position_bias"] == 6 * 31**2 * 2 * (2 * 32 + 32 * 6)
    assert (
        count_cost("kgt-tiny-x4", (64, 64)).flops["position_bias"] == (cost.flops["position_bias"])
    )


class Product(nn.Module):
    """A network of one operation; what baselines have, it has, too."""

    size_multiple, in_channels = 4, 3

    def __init__(self, operation):
        super().__init__()
        self.operation = operation
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.operation(x)


@pytest.mark.parametrize("count", COUNTERS)
@pytest.mark.parametrize(
    ("operation", "part", "flops"),
    [
        (lambda x: F.scaled_dot_product_attention(x, x, x[..., :2]), "attention", 2 * 3 * 25 * 9),
        (lambda x: x[0, 0].mT @ x, "attention", 2 * 3 * 7 * 5 * 7),
        (lambda x: torch.einsum("bcij,bckj->bcik", x, x), "attention", 2 * 3 * 5 * 5 * 7),
        (lambda x: F.conv2d(x, x.new_ones(6, 1, 3, 3), groups=3), "convolution", 2 * 6 * 9 * 15),
        (lambda x: F.conv_transpose2d(x, x.new_ones(3, 2, 2, 2), stride=2), "convolution", 1680),
        (lambda x: F.linear(x, x.new_ones(4, 7)), "linear", 2 * 3 * 5 * 7 * 4),
        (lambda x: F.layer_norm(x, (7,)).softmax(-1) + 1, "other", 0),
        (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), "other", 0),
    ],
)
def test_single_products_cost_their_multiply_adds(count, operation, part, flops):
    counts = count(Product(operation), torch.rand(1, 3, 5, 7))
    assert counts[part] == flops
    assert counts.total() == flops


@pytest.mark.parametrize("count", COUNTERS)
@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (lambda x: torch.mv(x[0, 0], x[0, 0, 0]), "aten::mv"),
        (lambda x: x[0, 0, 0].dot(x[0, 0, 0]), "aten::dot"),
        (lambda x: torch.fft.rfft2(x).real, "aten::.*fft"),
    ],
)
def test_a_product_without_a_formula_is_named(count, operation, name):
    with pytest.raises(UncountedOperatorError, match=name):
        count(Product(operation), torch.rand(1, 3, 4, 4))


def test_elementwise_products_are_refused():
    with pytest.raises(ValueError, match="reference"):
        count_cost("kgt-tiny-x4:backend=reference", (16, 16))


def test_what_is_not_linear_in_the_pixels_is_not_extrapolated(monkeypatch):
    network = Product(lambda x: x.flatten(2).mT @ x.flatten(2))
    monkeypatch.setattr(cost_module, "create_described", lambda description: network)
    assert count_cost("global", (16, 32)).total_flops == 2 * 3 * 512**2
    with pytest.raises(ValueError, match="attention are not linear"):
        count_cost("global", (64, 64))


@pytest.mark.parametrize("method", ["bicubic", "malvar"])
def test_a_classical_method_has_no_flops(method):
    with pytest.raises(ValueError, match=f"{method} is a classical method"):
        count_cost(method, (16, 16))


def test_an_image_smaller_than_a_window_is_refused():
    with pytest.raises(ValueError, match="smaller than one window"):
        count_cost("kgt-tiny-x4", (8, 800))


def count_as_swinirs_authors_do(config: SwinIRConfig, pixels: int) -> int:
    """MACs: LayerNorms added, a third of the last convolution of the body, no upsampler.

    The head's convolutions are the last ones of the network.
    """
    dim, layers = config.embed_dim, sum(config.depths)
    head = tally_swinir(replace(config, depths=()), pixels).flops["convolution"] // 2
    head -= (9 * config.in_channels * dim + 9 * dim**2) * pixels
    macs = tally_swinir(config, pixels).flops.total() // 2
    return macs - head - 6 * dim**2 * pixels + (2 * layers + 1) * dim * pixels


@pytest.mark.parametrize(
    ("scale", "size", "printed"),
    [(2, (520, 368), 195.6), (3, (344, 248), 87.2), (4, (264, 184), 49.6)],
)
def test_print_of_swinir_s_follows_from_counted_parts(scale, size, printed):
    assert size == tuple((side // scale // 8 + 1) * 8 for side in (1024, 720))
    pixels = size[0] * size[1]
    config = replace(PRESETS["s"], scale=scale)
    macs = count_as_swinirs_authors_do(config, pixels) + 27 * config.embed_dim * pixels
    assert round(macs / 1e9, 1) == printed


def test_print_of_the_gray_denoiser_follows_from_counted_parts():
    pixels = 256 * 256
    config = replace(PRESETS["m"], in_channels=1, scale=1, upsampler="")
    macs = count_as_swinirs_authors_do(config, pixels) + 9 * config.embed_dim * pixels
    assert round(macs / 1e9, 3) == 787.993


def test_print_of_swinir_m_lacks_its_upsampler():
    pixels = 256 * 256
    config = PRESETS["m"]
    without = count_as_swinirs_authors_do(config, pixels)
    assert round(without / 1e9, 1) == 788.1
    assert round((788.6 - without / 1e9), 1) == 0.5
    assert round(tally_swinir(config, pixels).flops.total() / 2e9, 1) == 856.9


def test_swinir_m_costs_what_hat_prints_of_it():
    """HAT (arXiv 2205.04437) prints 53.6 G multiply-adds at 64x64."""
    assert round(tally_swinir(PRESETS["m"], 64 * 64).flops.total() / 2e9, 1) == 53.6


def test_rows_give_units_sizes_and_shares():
    names = ["kgt-tiny-x4", "dncnn-gray:depth=3"]
    rows = [describe_cost(count_cost(name, (20, 40))) for name in names]
    assert [row["model"] for row in rows] == names
    kgt, dncnn = rows
    assert (kgt["input"], kgt["padded"], dncnn["padded"]) == ("20x40", "32x48", "20x40")
    assert kgt["gflop"] == 2 * kgt["gmac"] > 0
    for row in rows:
        assert sum(row[f"{part}_percent"] for part in PARTS) == pytest.approx(100)
        assert row["agrees"]
    assert dncnn["convolution_percent"] == 100
    assert dncnn["counted_by"] == "torch, fvcore"
    assert kgt["counted_by"] == "torch, fvcore, closed form"
    assert (kgt["pairs_in_graph"], dncnn["pairs_in_graph"]) == (6 * 32 * 48 * 64, None)
